//! Who and where we are, modules, fields, users.

use crmsync_plugin::egress::Request;
use crmsync_plugin::testing::{Crm, Reply};
use crmsync_plugin::{Connector, Kind};
use crmsync_zoho::Zoho as Connect;
use serde_json::json;

use crate::zoho::{self, START_S};

#[test]
fn check_tells_who_and_where_we_are() {
    let (_zoho, crm) = zoho::start();
    let report = Connect::check().expect("a report");
    assert_eq!(
        (report.org_id.as_str(), report.org_name.as_str(), report.org_kind.as_str()),
        ("42", "ACME", "production")
    );
    assert_eq!(
        (report.user_id.as_str(), report.user_name.as_str(), report.visible_scope.as_str()),
        ("7", "Åse Ek", "all")
    );
    assert_eq!((report.time_zone.as_str(), report.currency.as_str()), ("Europe/Oslo", "INR"));
    assert_eq!((report.edition.as_str(), report.server_clock_ms), ("enterprise", Some(START_S * 1_000)));
    assert!(report.missing.is_empty());
    assert!(crm.requests().len() <= 4);
}

#[test]
fn check_names_missing_scopes() {
    let (zoho, _crm) = zoho::start();
    let body = r#"{"code":"OAUTH_SCOPE_MISMATCH","message":"invalid oauth scope to access this URL"}"#;
    zoho.borrow_mut().answers.push(("GET", "org", Ok(Reply::json(401, body))));
    let report = Connect::check().expect("a report");
    assert_eq!(report.missing, ["ZohoCRM.org.READ (invalid oauth scope to access this URL)"]);
}

#[test]
fn check_tells_the_scopes_apart_that_counting_needs() {
    let (zoho, crm) = zoho::start();
    let refuse = |path: &'static str, code: &str| {
        let body = json!({"code": code, "message": "Unauthorized"}).to_string();
        let status = if code == "NO_PERMISSION" { 403 } else { 401 };
        zoho.borrow_mut().answers.push(("GET", path, Ok(Reply::json(status, body))));
    };
    let missing = || {
        crm.requests();
        let report = Connect::check().expect("a report");
        assert!(crm.requests().len() <= 4, "the contract allows 4 requests");
        report.missing
    };
    refuse("Contacts/actions/count", "OAUTH_SCOPE_MISMATCH");
    assert_eq!(missing(), ["ZohoSearch.securesearch.READ (Unauthorized)"]);
    refuse("Contacts/actions/count", "OAUTH_SCOPE_MISMATCH");
    refuse("Contacts", "OAUTH_SCOPE_MISMATCH");
    assert_eq!(missing(), ["ZohoCRM.modules.ALL (Unauthorized)"]);
    refuse("Contacts/actions/count", "NO_PERMISSION");
    assert!(missing().is_empty(), "nobody has to count");
    refuse("settings/modules", "OAUTH_SCOPE_MISMATCH");
    assert_eq!(missing(), ["ZohoCRM.settings.modules.READ (Unauthorized)"]);
}

#[test]
fn modules_are_those_that_can_be_synced() {
    let (zoho, crm) = zoho::start();
    let modules = Connect::modules().expect("modules");
    let [contacts] = modules.as_slice() else { panic!("one module: Leads cannot be seen, Deals are not synced") };
    assert_eq!((contacts.name.as_str(), contacts.label.as_str()), ("Contacts", "Customers"));
    assert_eq!((contacts.create_class.as_str(), contacts.key_field.as_str()), ("A", "CRMSync_Key"));
    assert_eq!((contacts.quiesce_ms, contacts.push_rows), (300_000, 100));
    assert_eq!(contacts.extra, [("deletable".to_owned(), "false".to_owned())]);
    zoho.borrow_mut().has_key_field = false;
    crm.fact("setting.quiesce_ms", "1500");
    let modules = Connect::modules().expect("modules");
    assert_eq!((modules[0].create_class.as_str(), modules[0].key_field.as_str()), ("B", ""));
    assert_eq!(modules[0].quiesce_ms, 1_500);
}

#[test]
fn what_was_described_within_the_day_is_not_described_again() {
    let (zoho, crm) = zoho::start();
    let path = |request: &Request| request.path().trim_start_matches("/crm/v8/").to_owned();
    let paths = |crm: &Crm| crm.requests().iter().map(path).collect::<Vec<_>>();
    let at = |minutes: i64| crm.fact("now-ms", (START_S * 1_000 + minutes * 60_000).to_string());
    at(0);
    Connect::modules().expect("modules");
    assert_eq!(paths(&crm), ["settings/modules", "settings/fields"], "nobody asked yet");
    Connect::describe("Contacts").expect("fields");
    assert_eq!(paths(&crm), ["settings/fields", "settings/layouts"]);
    at(61);
    let modules = Connect::modules().expect("modules");
    assert_eq!(paths(&crm), ["settings/modules"], "as it was described an hour ago");
    assert_eq!(modules[0].create_class, "A");
    let fields = Connect::describe("Contacts").expect("fields");
    assert!(fields.iter().any(|field| field.name == "Title" && field.mandatory), "a layout requires it");
    assert_eq!(paths(&crm), ["settings/fields"], "layouts were asked for today");
    zoho.borrow_mut().has_key_field = false;
    crm.forget_state();
    assert_eq!(Connect::modules().expect("modules")[0].create_class, "B", "the host wants to know it now");
    at(61 + 24 * 60);
    Connect::describe("Contacts").expect("fields");
    assert!(paths(&crm).contains(&"settings/layouts".to_owned()), "that was yesterday");
}

#[test]
fn the_key_field_is_found_however_unique_is_spelled() {
    let (zoho, _crm) = zoho::start();
    let check = |unique: serde_json::Value, class: &str| {
        zoho.borrow_mut().unique = unique.clone();
        let modules = Connect::modules().expect("modules");
        assert_eq!(modules[0].create_class, class, "{unique}");
        let fields = Connect::describe("Contacts").expect("fields");
        let key = fields.iter().find(|field| field.name == "CRMSync_Key").expect("the field");
        assert_eq!((key.unique, key.extra.len()), (class == "A", usize::from(class == "A")), "{unique}");
    };
    check(json!({"case_sensitive": true}), "A");
    check(json!({"casesensitive": "false"}), "A");
    check(json!({"casesensitive": null}), "A");
    check(json!(true), "A");
    check(json!({}), "B");
    check(json!(false), "B");
}

#[test]
fn fields_are_described() {
    let (_zoho, _crm) = zoho::start();
    let fields = Connect::describe("Contacts").expect("fields");
    let field = |name: &str| fields.iter().find(|field| field.name == name).expect("the field");
    let last_name = field("Last_Name");
    assert_eq!((last_name.mandatory, last_name.length, last_name.meaning.as_str()), (true, Some(80), "family-name"));
    assert!(field("Title").mandatory, "a layout requires it");
    assert!(field("Modified_Time").read_only);
    let account = field("Account_Name");
    assert_eq!((account.kind, account.targets.as_slice()), (Kind::Reference.code(), &["Accounts".to_owned()][..]));
    let source = field("Lead_Source");
    assert_eq!((source.choices.len(), source.choices[0].label.as_str()), (1, "Partner!"));
    assert!(field("CRMSync_Key").unique);
    assert!(fields.iter().all(|field| field.name != "Photo"), "files are no values");
}

#[test]
fn users_come_with_their_state() {
    let (_zoho, _crm) = zoho::start();
    let users = Connect::users().expect("users");
    let seen: Vec<_> = users.iter().map(|user| (user.id.as_str(), user.email.as_str(), user.active)).collect();
    assert_eq!(seen, [("7", "ase@acme.example", true), ("8", "old@acme.example", false)]);
}

#[test]
fn a_count_that_may_not_be_asked_is_none() {
    let (zoho, _crm) = zoho::start();
    assert_eq!(Connect::count("Contacts"), Ok(Some(0)));
    let body = r#"{"code":"OAUTH_SCOPE_MISMATCH","message":"Unauthorized"}"#;
    zoho.borrow_mut().answers.push(("GET", "Contacts/actions/count", Ok(Reply::json(401, body))));
    assert_eq!(Connect::count("Contacts"), Ok(None));
}
