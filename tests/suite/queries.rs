//! What connectors write for their CRMs is read as it was meant: no value, id or name changes what a query or a search asks for. The
//! connectors run natively, and the sandbox CRMs' own parsers read what they send.
//!
//! `PROPTEST_CASES=50000 cargo test -p crmsync --test suite queries` hunts further.

use crmsync_plugin::testing::{Crm, Reply};
use crmsync_plugin::{Connector, Cursor};
use crmsync_sandbox::{vtiger, zoho};
use crmsync_vtiger::Vtiger;
use crmsync_zoho::Zoho;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

/// Texts that would be syntax, if anybody forgot to quote them.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = vec![
        "'",
        "''",
        "\\",
        "\\'",
        "\"",
        ";",
        " or ",
        " and ",
        "id > '0",
        "' or id > '",
        "') or (",
        "%",
        "_",
        "--",
        "/*",
        "\n",
        "\t",
        "\0",
        "(",
        ")",
        ")or(",
        ",",
        ":",
        "equals",
        ")and(Email:equals:x",
        "select",
        "from Users",
        "12x5",
        "a",
        "é",
        "😀",
        "&",
        "+",
        "=",
        "#",
        "limit 0,1",
    ];
    let syntax = vec(select(pieces), 1..8).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => syntax, 1 => "\\PC{1,20}", 1 => "[0-9]{1,3}x[0-9]{1,6}"]
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A Vtiger that describes whatever module it is asked for, and has no records.
fn empty_vtiger() -> Crm {
    let crm = Crm::new(|request| {
        let text = json!({"name": "string"});
        let field = |name: &str, label: &str| json!({"name": name, "label": label, "mandatory": false, "editable": true, "type": text});
        let result = match request.parameter("operation") {
            Some("describe") => json!({
                "name": request.parameter("elementType"),
                "idPrefix": "12",
                "fields": [field("lastname", "Last Name"), field("modifiedtime", "Modified"), field("cf_901", "CRMSync Key")],
            }),
            _ if request.parameter("query").is_some_and(|query| query.contains("count(")) => json!([{"count": "0"}]),
            _ => json!([]),
        };
        Ok(Reply::json(200, json!({"success": true, "result": result}).to_string())
            .header("date", "Mon, 23 Nov 2026 17:33:06 GMT"))
    });
    crm.fact("user-id", "19x1");
    crm.fact("user-name", "admin");
    crm.fact("is-admin", "on");
    crm.fact("setting.base_url", "https://crm.acme.example/");
    crm
}

/// The queries that were sent, as the server reads them. One with the name of a module that no server has may be refused.
fn asked(crm: &Crm, module: &str) -> Result<Vec<vtiger::Asked>, TestCaseError> {
    let requests = crm.requests();
    let queries = requests.iter().filter_map(|request| request.parameter("query"));
    let read = |query: &str| match vtiger::asked(query) {
        None if module == "Contacts" => Some(Err(TestCaseError::fail(format!("the server refuses {query}")))),
        read => read.map(Ok),
    };
    queries.filter_map(read).collect()
}

/// A Zoho with a key field, and no records.
fn empty_zoho() -> Crm {
    Crm::new(|request| {
        let text = |name: &str| json!({"api_name": name, "field_label": name, "data_type": "text", "unique": {}});
        let mut fields = [text("Last_Name"), text("crmsync_key")];
        fields[1]["unique"] = json!({"casesensitive": "false"});
        let reply = match request.path() {
            path if path.ends_with("settings/fields") => Reply::json(200, json!({"fields": fields}).to_string()),
            path if path.ends_with("settings/layouts") => Reply::json(200, r#"{"layouts":[]}"#),
            _ => Reply::empty(204),
        };
        Ok(reply.header("date", "Mon, 23 Nov 2026 17:33:06 GMT"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_values_and_nothing_else_at_vtiger(keys in vec(hostile(), 1..6)) {
        let crm = empty_vtiger();
        let outcome = Vtiger::find("Contacts", "cf_901", &keys, &names(&["lastname"]));
        prop_assert!(outcome.is_ok(), "{:?}", outcome);
        let mut looked_for = Vec::new();
        for query in asked(&crm, "Contacts")? {
            prop_assert_eq!(&query.module, "Contacts");
            prop_assert_eq!(query.alternatives.len(), 1, "{:?}", query);
            let (column, values) = &query.alternatives[0][0];
            prop_assert_eq!(column, "cf_901");
            prop_assert!(query.alternatives[0][1..].iter().all(|(column, _)| column == "id"), "{:?}", query);
            looked_for.extend(values.clone());
        }
        let mut wanted = keys;
        wanted.sort();
        wanted.dedup();
        looked_for.sort();
        looked_for.dedup();
        prop_assert_eq!(looked_for, wanted);
    }

    #[test]
    fn ids_are_values_and_nothing_else_at_vtiger(
        ids in vec(hostile(), 1..6),
        module in prop_oneof![Just("Contacts".to_owned()), hostile()],
    ) {
        let crm = empty_vtiger();
        let _fetched = Vtiger::fetch(&module, &ids, &names(&["lastname"]));
        for query in asked(&crm, &module)? {
            prop_assert_eq!(&query.module, &module);
            for (column, values) in query.alternatives.iter().flatten() {
                prop_assert_eq!(column, "id");
                prop_assert!(values.iter().all(|value| ids.contains(value)), "{:?} of {:?}", values, ids);
            }
        }
    }

    #[test]
    fn places_are_values_and_nothing_else_at_vtiger(
        after in hostile(),
        fields in vec(hostile(), 0..3),
        module in prop_oneof![3 => Just("Contacts".to_owned()), 1 => hostile()],
        scans in any::<bool>(),
    ) {
        let crm = empty_vtiger();
        let place = match scans {
            true => json!({"scan": {"newest": null, "clock": 7, "population": 9, "seen": 1, "after": after, "skip": 0}}),
            false => json!({"changes": {"from": 5, "after": [6, after], "skip": 0, "clock": 7, "began": null,
                "settles": [null, null], "doubts": [null, null]}}),
        };
        let cursor = Cursor { format: 2, data: place.to_string().into_bytes() };
        let _page = Vtiger::pull(&module, &fields, Some(cursor));
        for query in asked(&crm, &module)? {
            prop_assert_eq!(&query.module, &module);
            let known = ["id", "modifiedtime", "lastname", "cf_901"];
            prop_assert!(query.columns.iter().all(|column| known.contains(&column.as_str())), "{:?}", query);
            prop_assert!(query.alternatives.len() <= 2);
            for (column, values) in query.alternatives.iter().flatten() {
                prop_assert!(column == "id" && values.iter().eq([&after]) || column == "modifiedtime", "{:?}", query);
            }
        }
    }

    #[test]
    fn keys_are_values_and_nothing_else_at_zoho(keys in vec(hostile(), 1..25)) {
        let crm = empty_zoho();
        let outcome = Zoho::find("Contacts", "crmsync_key", &keys, &names(&["Last_Name"]));
        prop_assert!(outcome.is_ok(), "{:?}", outcome);
        let mut looked_for = Vec::new();
        for request in crm.requests() {
            let Some(criteria) = request.parameter("criteria") else { continue };
            let read = zoho::equals_one_of(criteria);
            let Some((field, values)) = read else {
                return Err(TestCaseError::fail(format!("the server reads {criteria} as something else")));
            };
            prop_assert_eq!(field, "crmsync_key");
            looked_for.extend(values);
        }
        prop_assert_eq!(looked_for, keys);
    }

    #[test]
    fn ids_are_ids_at_zoho(
        ids in vec(prop_oneof![2 => hostile(), 1 => "[0-9]{1,19}"], 1..6),
        module in prop_oneof![Just("Contacts".to_owned()), hostile()],
    ) {
        let crm = empty_zoho();
        let _fetched = Zoho::fetch(&module, &ids, &names(&["Last_Name"]));
        for request in crm.requests() {
            let path = request.path();
            let is_known = path == format!("/crm/v8/{module}") || path.starts_with("/crm/v8/settings/");
            prop_assert!(is_known && !path.contains(['?', '#', '%', ' ', '.']), "{}", path);
            for id in request.parameter("ids").into_iter().flat_map(|ids| ids.split(',')) {
                prop_assert!(ids.iter().any(|known| known == id) && id.bytes().all(|byte| byte.is_ascii_digit()), "{}", id);
            }
        }
    }
}
