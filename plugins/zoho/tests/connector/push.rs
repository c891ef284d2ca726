//! Writes, and every way in which they can go wrong.

use crmsync_plugin::fault::Refusal;
use crmsync_plugin::rows::{self, RowsBuilder};
use crmsync_plugin::testing::Reply;
use crmsync_plugin::{Cell, Connector, Fault, Kind, Operation, PushOutcome, PushReport, PushRequest, PushRow, time};
use crmsync_zoho::Zoho as Connect;
use serde_json::json;

use crate::zoho::{self, START_S};

/// Rows that write one text field.
fn request(rows_to_write: &[(Operation, &str, &str, &str)]) -> PushRequest {
    let mut values = RowsBuilder::new(2, rows_to_write.len());
    let rows = rows_to_write.iter().map(|&(op, id, version_or_key, text)| {
        values.row([Cell::text_or_empty(text), Cell::Absent]);
        let is_create = op == Operation::Create;
        PushRow {
            op,
            id: id.to_owned(),
            version: if is_create { "" } else { version_or_key }.to_owned(),
            key: if is_create { version_or_key } else { "" }.to_owned(),
        }
    });
    let rows: Vec<PushRow> = rows.collect();
    PushRequest {
        module: "Contacts".to_owned(),
        columns: vec![rows::column("Email", Kind::Text), rows::column("Title", Kind::Text)],
        rows,
        values: values.finish(),
        automations: false,
        options: Vec::new(),
    }
}

fn version(at_s: i64) -> String {
    time::format_instant(at_s * 1_000_000)
}

fn push(request: &PushRequest) -> PushReport {
    Connect::push(request).expect("a report")
}

fn fault(report: &PushReport, row: usize) -> &Fault {
    match &report.outcomes[row] {
        PushOutcome::Failed(fault) => fault,
        other => panic!("row {row} did not fail: {other:?}"),
    }
}

#[test]
fn a_repeated_create_meets_its_own_record() {
    let (zoho, crm) = zoho::start();
    let creates =
        request(&[(Operation::Create, "", "k-1", "a@b.example"), (Operation::Create, "", "k-2", "c@d.example")]);
    let report = push(&creates);
    let PushOutcome::Stored(receipt) = &report.outcomes[0] else { panic!("not stored") };
    assert_eq!((receipt.version.as_str(), receipt.existed), (version(START_S).as_str(), false));
    let writes: Vec<Vec<u32>> =
        crm.requests().iter().filter_map(|request| request.written_rows().map(<[u32]>::to_vec)).collect();
    assert_eq!(writes, [[0, 1]]);
    // A person edits the record, and the create is sent again because its answer was lost.
    let id: u64 = receipt.id.parse().expect("an id");
    zoho.borrow_mut().edit(id, &[("Email", json!("person@b.example"))]);
    let report = push(&creates);
    let PushOutcome::Stored(receipt) = &report.outcomes[0] else { panic!("not stored") };
    assert_eq!((receipt.id.clone(), receipt.version.as_str(), receipt.existed), (id.to_string(), "", true));
    assert_eq!(zoho.borrow().records.len(), 2);
    assert_eq!(zoho.borrow().records[&id].values["Email"], json!("person@b.example"), "the edit survives");
}

#[test]
fn a_record_met_by_another_field_is_asked_for_its_key() {
    let (zoho, _crm) = zoho::start();
    let own = zoho.borrow_mut().create(&[("CRMSync_Key", json!("k-1"))]);
    let other = zoho.borrow_mut().create(&[("CRMSync_Key", json!("k-9"))]);
    let duplicate = |holder: u64| {
        json!({"code": "DUPLICATE_DATA", "message": "duplicate data", "status": "error",
        "details": {"api_name": "Email", "duplicate_record": {"id": holder.to_string()}}})
    };
    let body = json!({"data": [duplicate(own), duplicate(other)]}).to_string();
    zoho.borrow_mut().answers.push(("POST", "Contacts", Ok(Reply::json(400, body))));
    let report = push(&request(&[(Operation::Create, "", "k-1", "a"), (Operation::Create, "", "k-2", "b")]));
    assert!(
        matches!(&report.outcomes[0], PushOutcome::Stored(receipt) if receipt.existed && receipt.id == own.to_string())
    );
    assert_eq!(fault(&report, 1), &Fault::Duplicate(other.to_string()));
}

#[test]
fn without_a_key_field_creates_carry_no_key() {
    let (zoho, _crm) = zoho::start();
    zoho.borrow_mut().has_key_field = false;
    push(&request(&[(Operation::Create, "", "k-1", "a@b.example")]));
    let zoho = zoho.borrow();
    let record = zoho.records.values().next().expect("a record");
    assert_eq!(record.values.keys().collect::<Vec<_>>(), ["Email"]);
}

#[test]
fn updates_do_not_overwrite_what_they_have_not_seen() {
    let (zoho, crm) = zoho::start();
    let [first, second, third, gone] = [(); 4].map(|()| zoho.borrow_mut().create(&[]).to_string());
    let seen = version(START_S);
    zoho.borrow_mut().now_s += 60;
    zoho.borrow_mut().edit(second.parse().expect("an id"), &[("Email", json!("person"))]);
    zoho.borrow_mut().delete(gone.parse().expect("an id"));
    let report = push(&request(&[
        (Operation::Update, &first, &seen, "new"),
        (Operation::Update, &second, &seen, "new"),
        (Operation::Update, &third, &seen, "bad"),
        (Operation::Update, &gone, &seen, "new"),
        (Operation::Update, &first, "", "new"),
    ]));
    assert!(matches!(&report.outcomes[0], PushOutcome::Stored(receipt) if receipt.version == version(START_S + 60)));
    assert_eq!(fault(&report, 1), &Fault::Changed);
    assert_eq!(fault(&report, 2), &Fault::rejected("Email", "INVALID_DATA", "invalid data"));
    assert_eq!(fault(&report, 3), &Fault::Gone);
    assert_eq!(fault(&report, 4), &Fault::Changed);
    assert_eq!(crm.requests().len(), 1, "rows with one version share a request");
}

#[test]
fn a_time_is_named_before_which_every_change_was_seen() {
    let (zoho, crm) = zoho::start();
    let [old, late, recent, fresh] = [0, 50, 20, 30].map(|later_s| {
        zoho.borrow_mut().now_s += later_s;
        zoho.borrow_mut().create(&[]).to_string()
    });
    let mut updates = request(&[
        (Operation::Update, &old, &version(START_S), "new"),
        (Operation::Update, &fresh, &version(START_S + 100), "new"),
        (Operation::Update, &recent, &version(START_S + 70), "new"),
        // Its change of 50 s ago had not come to the lists when they were read.
        (Operation::Update, &late, &version(START_S), "new"),
    ]);
    updates.options.push(("read-at".to_owned(), ((START_S + 100) * 1_000 + 400).to_string()));
    zoho.borrow_mut().now_s += 5;
    let report = push(&updates);
    assert!(matches!(report.outcomes[0], PushOutcome::Stored(_)));
    // It was changed in the second in which it was read: nobody can tell what was seen.
    assert_eq!(fault(&report, 1), &Fault::Changed);
    assert!(matches!(report.outcomes[2], PushOutcome::Stored(_)));
    assert_eq!(fault(&report, 3), &Fault::Changed);
    let since: Vec<_> =
        crm.requests().iter().map(|request| request.header_value("if-unmodified-since").map(str::to_owned)).collect();
    assert_eq!(since, [39, 70, 99].map(|second| Some(version(START_S + second))));
}

#[test]
fn deletes_start_no_workflow() {
    let (zoho, crm) = zoho::start();
    let id = zoho.borrow_mut().create(&[]).to_string();
    let report = push(&request(&[(Operation::Delete, &id, "", ""), (Operation::Delete, "999", "", "")]));
    assert!(matches!(&report.outcomes[0], PushOutcome::Stored(receipt) if receipt.id == id));
    assert_eq!(fault(&report, 1), &Fault::Gone);
    assert_eq!(crm.requests()[0].parameter("wf_trigger"), Some("false"));
}

#[test]
fn lost_answers_leave_an_unknown_outcome() {
    let update = |id: &str| (Operation::Update, id.to_owned(), version(START_S));
    let answers: [Result<Reply, Refusal>; 5] = [
        Err(Refusal::NoAnswer("reset".to_owned())),
        Ok(Reply::json(500, r#"{"code":"INTERNAL_ERROR"}"#)),
        Ok(Reply::json(502, "<html>")),
        Ok(Reply::json(200, "<html>")),
        Ok(Reply::json(200, r#"{"data":[{"code":"SUCCESS","details":{}}]}"#)),
    ];
    for answer in answers {
        let (zoho, _crm) = zoho::start();
        zoho.borrow_mut().answers.push(("PUT", "Contacts", answer));
        let rows = [update("1"), update("2")];
        let report =
            push(&request(&rows.each_ref().map(|(op, id, version)| (*op, id.as_str(), version.as_str(), "x"))));
        for row in 0..2 {
            assert!(matches!(fault(&report, row), Fault::UnknownOutcome(_)), "{:?}", report.outcomes);
        }
    }
}

#[test]
fn what_was_refused_before_it_began_is_no_unknown_outcome() {
    let seen = version(START_S);
    let both = [(Operation::Create, "", "k-1", "x"), (Operation::Update, "1", seen.as_str(), "x")];
    let (zoho, crm) = zoho::start();
    let limited = Reply::json(429, r#"{"code":"TOO_MANY_REQUESTS","message":"concurrency"}"#);
    zoho.borrow_mut().answers.push(("POST", "Contacts", Ok(limited)));
    let report = push(&request(&both));
    assert_eq!(
        report.outcomes,
        [PushOutcome::Failed(Fault::RateLimited(2_000)), PushOutcome::NotSent],
        "the row was admitted"
    );
    assert_eq!(report.wait_ms, 2_000);
    let writes = crm.requests().iter().filter(|request| request.written_rows().is_some()).count();
    assert_eq!(writes, 1, "it stops at the first limit");

    zoho.borrow_mut().answers.push(("POST", "Contacts", Err(Refusal::RateLimited(700))));
    let report = push(&request(&both));
    assert_eq!((report.outcomes[0].clone(), report.wait_ms), (PushOutcome::NotSent, 700));

    zoho.borrow_mut().answers.push(("POST", "Contacts", Err(Refusal::NotSent("refused".to_owned()))));
    let report = push(&request(&both));
    assert_eq!(fault(&report, 0), &Fault::Transient("refused".to_owned()));
    assert_eq!(report.outcomes[1], PushOutcome::NotSent);
}

#[test]
fn a_refusal_of_the_call_that_names_a_row_spares_the_others() {
    let (zoho, _crm) = zoho::start();
    let body = r#"{"code":"INVALID_DATA","message":"invalid data","status":"error","details":{"json_path":"$.data[1].Email"}}"#;
    zoho.borrow_mut().answers.push(("POST", "Contacts", Ok(Reply::json(400, body))));
    let rows: Vec<_> = ["k-1", "k-2", "k-3"].into_iter().map(|key| (Operation::Create, "", key, "x")).collect();
    let report = push(&request(&rows));
    assert_eq!(fault(&report, 0), &Fault::RateLimited(0), "it was admitted and nothing was done");
    assert_eq!(fault(&report, 1), &Fault::rejected("Email", "INVALID_DATA", "invalid data"));
    assert_eq!(fault(&report, 2), &Fault::RateLimited(0));
}

#[test]
fn of_several_errors_the_first_is_told() {
    let (zoho, _crm) = zoho::start();
    let error = json!({"code": "MANDATORY_NOT_FOUND", "message": "required field not found", "details": {"api_name": "Last_Name"}});
    let row = json!({"code": "MULTIPLE_OR_MULTI_ERRORS", "message": "Multiple errors in the request", "status": "error",
        "details": {"errors": [error]}});
    zoho.borrow_mut().answers.push(("POST", "Contacts", Ok(Reply::json(400, json!({"data": [row]}).to_string()))));
    let report = push(&request(&[(Operation::Create, "", "k-1", "x")]));
    assert_eq!(fault(&report, 0), &Fault::rejected("Last_Name", "MANDATORY_NOT_FOUND", "required field not found"));
}

#[test]
fn values_that_zoho_cannot_have_hold_back_their_row_only() {
    let (zoho, _crm) = zoho::start();
    let mut creates = request(&[(Operation::Create, "", "k-1", "x"), (Operation::Create, "", "k-2", "x")]);
    let mut values = RowsBuilder::new(2, 2);
    values.row([Cell::Raw("31-02"), Cell::Absent]);
    values.row([Cell::Text("x"), Cell::Empty]);
    creates.values = values.finish();
    let report = push(&creates);
    assert!(matches!(fault(&report, 0), Fault::Rejected(_)));
    assert!(matches!(report.outcomes[1], PushOutcome::Stored(_)));
    assert_eq!(zoho.borrow().records.len(), 1);
}
