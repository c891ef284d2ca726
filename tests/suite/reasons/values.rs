//! Values that cannot go over as they are.

use crmsync::app::LOCAL_TENANT;
use crmsync::service::{self, AnswerWord};
use crmsync_core::decide::reason;
use crmsync_sandbox::people::Side;
use crmsync_tests::workplace::FLOW;
use serde_json::{Value, json};

use super::desk::{CONTACTS, Desk};
use super::leaving::LEADS;
use crate::product::run;

/// Contacts with a few rows, to which others are added.
const FEW_ROWS: &str = "[[module]]\nzoho = \"Contacts\"\nvtiger = \"Contacts\"\nfields = \"none\"\nmatch = [\"Email\"]\n\
     [[module.field]]\nzoho = \"Last_Name\"\nvtiger = \"lastname\"\n[[module.field]]\nzoho = \"Email\"\nvtiger = \"email\"\n\
     [[module.field]]\nzoho = \"Owner\"\nvtiger = \"assigned_user_id\"\n";

/// Organizations by their names, with the industry's number: a number in Zoho, any text in Vtiger.
const ORGANIZATIONS: &str = "[[module]]\nzoho = \"Accounts\"\nvtiger = \"Accounts\"\nfields = \"none\"\nmatch = [\"organization name\"]\n\
     [[module.field]]\nzoho = \"Account_Name\"\nvtiger = \"accountname\"\nsame = \"name\"\n\
     [[module.field]]\nzoho = \"SIC_Code\"\nvtiger = \"siccode\"\ntransform = \"transforms/trim\"\n\
     [[module.field]]\nzoho = \"Owner\"\nvtiger = \"assigned_user_id\"\n";

#[test]
pub(super) fn mandatory_missing() {
    run(async {
        let code = reason::MANDATORY_MISSING;
        let desk = Desk::open("", LEADS).await;
        let mut leads = Vec::new();
        for name in ["Filled", "Alone"] {
            let lead = json!({ "lastname": name, "email": format!("{name}@lead.example") });
            leads.push(desk.crms().create_in(Side::Vtiger, "Leads", &lead).await.unwrap());
        }
        desk.run().await;
        for lead in &leads {
            desk.is_listed(lead, code).await;
        }
        desk.crms().edit_in(Side::Vtiger, "Leads", &leads[0], &json!({ "company": "Filled Ltd" })).await.unwrap();
        desk.answer(&leads[1], code, AnswerWord::LeaveAlone, None).await;
        desk.run().await;
        desk.is_clear(&leads[0]).await;
        let records = desk.crms().records_of(Side::Zoho, "Leads").await.unwrap();
        let made = |name: &str| records.iter().find(|record| record["Last_Name"] == name);
        assert_eq!(made("Filled").expect("the next run creates it")["Company"], "Filled Ltd");
        assert!(made("Alone").is_none());
        desk.is_listed(&leads[1], reason::LEFT_ALONE).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn mandatory_emptied() {
    run(async {
        let code = reason::MANDATORY_EMPTIED;
        let desk = Desk::open("", LEADS).await;
        let lead = json!({ "Last_Name": "Emptied", "Company": "Full Ltd", "Email": "emptied@lead.example" });
        let left = desk.crms().create_in(Side::Zoho, "Leads", &lead).await.unwrap();
        desk.run().await;
        let right = desk.partner(&left).await.unwrap();
        for (again, company) in [("Full Ltd", "Full Ltd"), ("Fuller Ltd", "Fuller Ltd")] {
            desk.crms().edit_in(Side::Vtiger, "Leads", &right, &json!({ "company": "" })).await.unwrap();
            desk.run().await;
            desk.is_listed(&left, code).await;
            assert_ne!(desk.shown(Side::Zoho, "Leads", &left).await["Company"], Value::Null, "it keeps its value");
            desk.crms().edit_in(Side::Vtiger, "Leads", &right, &json!({ "company": again })).await.unwrap();
            desk.run().await;
            desk.is_clear(&left).await;
            assert_eq!(desk.shown(Side::Zoho, "Leads", &left).await["Company"], company);
            assert_eq!(desk.shown(Side::Vtiger, "Leads", &right).await["company"], company);
            desk.is_at_rest().await;
        }
    });
}

#[test]
pub(super) fn too_long() {
    run(async {
        let code = reason::TOO_LONG;
        let rows = format!("{FEW_ROWS}[[module.field]]\nzoho = \"Title\"\nvtiger = \"description\"\n");
        let desk = Desk::open("", &rows).await;
        let long = "long ".repeat(30).trim_end().to_owned();
        let shortened = desk.person(Side::Vtiger, "Shortened", &[("Description", &long)]).await;
        let taken = desk.person(Side::Vtiger, "Taken", &[("Description", &long)]).await;
        desk.run().await;
        let left = desk.is_listed(&shortened, code).await.left;
        assert_eq!(desk.value(Side::Zoho, &left, "Last_Name").await, "Shortened", "the rest was synced");
        assert_eq!(desk.value(Side::Zoho, &left, "Title").await, "");
        desk.edit(Side::Vtiger, &shortened, "Description", "short").await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Title").await, "short");
        desk.is_clear(&left).await;

        let left = desk.is_listed(&taken, code).await.left;
        desk.crms().set_field(Side::Zoho, "Title", &json!({ "chars_max": 255 })).await.unwrap();
        desk.retry(code).await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Title").await, long);
        desk.is_clear(&left).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn read_only() {
    run(async {
        let code = reason::READ_ONLY;
        let mut desk = Desk::open("", CONTACTS).await;
        let [left, right] = desk.pair("Barred", &[("Department", "Sales")]).await;
        desk.crms().set_field(Side::Vtiger, "department", &json!({ "read_only": true })).await.unwrap();
        let warnings = desk.change("winner = \"zoho\"", "winner = \"vtiger\"").await;
        let barred = "`department` of `vtiger` cannot be written";
        assert!(warnings.iter().any(|warning| warning.contains(barred)), "{warnings:?}");
        let created = desk.person(Side::Zoho, "Created", &[("Department", "Stores")]).await;
        desk.edit(Side::Zoho, &left, "Department", "Support").await;
        desk.edit(Side::Zoho, &left, "Title", "Chair").await;
        desk.run().await;
        for record in [&left, &created] {
            desk.is_listed(record, code).await;
        }
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Sales");
        assert_eq!(desk.value(Side::Vtiger, &right, "Title").await, "Chair", "the rest was synced");
        desk.is_at_rest().await;

        // The administrator lets the login write the field.
        desk.crms().set_field(Side::Vtiger, "department", &json!({ "read_only": false })).await.unwrap();
        desk.retry(code).await;
        desk.run().await;
        assert_eq!(desk.value(Side::Vtiger, &right, "Department").await, "Support");
        desk.is_in_step(&left).await;
        desk.is_in_step(&created).await;

        // Or the flow does without it.
        desk.crms().set_field(Side::Vtiger, "department", &json!({ "read_only": true })).await.unwrap();
        desk.change("winner = \"vtiger\"", "winner = \"zoho\"").await;
        desk.edit(Side::Zoho, &left, "Department", "Board").await;
        desk.run().await;
        desk.is_listed(&left, code).await;
        desk.add("skip = [\"Department\"]\n").await;
        desk.run().await;
        desk.is_clear(&left).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn did_not_parse() {
    run(async {
        let desk = Desk::open("", ORGANIZATIONS).await;
        let account = json!({ "accountname": "Numbered Ltd", "siccode": "about 12" });
        let right = desk.crms().create_in(Side::Vtiger, "Accounts", &account).await.unwrap();
        desk.run().await;
        let left = desk.is_listed(&right, reason::DID_NOT_PARSE).await.left;
        assert_eq!(desk.shown(Side::Zoho, "Accounts", &left).await["SIC_Code"], Value::Null);
        desk.crms().edit_in(Side::Vtiger, "Accounts", &right, &json!({ "siccode": "12" })).await.unwrap();
        desk.run().await;
        assert_eq!(desk.shown(Side::Zoho, "Accounts", &left).await["SIC_Code"], 12);
        desk.is_clear(&left).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn no_counterpart_value() {
    run(async {
        let code = reason::NO_COUNTERPART_VALUE;
        let table = "values = { \"Partner\" = \"Partner\" }";
        let row = format!("[[module.field]]\nzoho = \"Lead_Source\"\nvtiger = \"leadsource\"\n{table}\n");
        let mut desk = Desk::open("", &format!("{FEW_ROWS}{row}")).await;
        let right = desk
            .crms()
            .create_in(
                Side::Vtiger,
                "Contacts",
                &json!({ "lastname": "Sourced", "email": "s@reasons.example", "leadsource": "Conference" }),
            )
            .await
            .unwrap();
        desk.run().await;
        let left = desk.is_listed(&right, code).await.left;
        assert_eq!(desk.value(Side::Zoho, &left, "Last_Name").await, "Sourced", "the rest was synced");
        desk.change(table, "values = { \"Partner\" = \"Partner\", \"Seminar Partner\" = \"Conference\" }").await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Lead_Source").await, "Seminar Partner");
        desk.is_clear(&left).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn transform_failed() {
    run(async {
        let code = reason::TRANSFORM_FAILED;
        let transform = "transform = \"transforms/phone-digits\"";
        let rows = format!(
            "{FEW_ROWS}[[module.field]]\nzoho = \"Fax\"\nvtiger = \"description\"\n{transform}\ndirection = \"to-zoho\"\n\
             [[module.field]]\nzoho = \"Department\"\nvtiger = \"department\"\ntransform = \"transforms/trim\"\n"
        );
        let mut desk = Desk::open("", &rows).await;
        // More than the transform may have in its memory.
        let huge = "0".repeat(1_900_000);
        let corrected =
            desk.person(Side::Vtiger, "Corrected", &[("Description", &huge), ("Department", " Sales ")]).await;
        let other = desk.person(Side::Vtiger, "Other", &[("Description", &huge)]).await;
        let mut bystanders = Vec::new();
        for number in 0..5 {
            bystanders
                .push(desk.person(Side::Vtiger, &format!("By{number}"), &[("Description", "(555) 010-99 88")]).await);
        }
        desk.run().await;
        let left = desk.is_listed(&corrected, code).await.left;
        assert_eq!(
            desk.value(Side::Zoho, &left, "Department").await,
            "Sales",
            "the other transforms of the record work"
        );
        for right in &bystanders {
            desk.is_clear(right).await;
        }
        let faxes = desk.crms().records(Side::Zoho).await.unwrap();
        assert_eq!(faxes.iter().filter(|record| record["Fax"] == "5550109988").count(), 5, "nobody else waits");
        desk.is_at_rest().await;

        desk.edit(Side::Vtiger, &corrected, "Description", "(555) 010-99 77").await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Fax").await, "5550109977");
        desk.is_clear(&left).await;
        // With another transform it is said what is really wrong with the value.
        let left = desk.is_listed(&other, code).await.left;
        desk.change(transform, "transform = \"transforms/trim\"").await;
        desk.run().await;
        desk.is_over(&left, code).await;
        desk.is_listed(&left, reason::TOO_LONG).await;
        desk.edit(Side::Vtiger, &other, "Description", "555").await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &left, "Fax").await, "555");
        desk.is_clear(&left).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn what_a_transform_says_in_its_own_word_is_explained() {
    run(async {
        let desk = Desk::open("", CONTACTS).await;
        let right = desk.person(Side::Vtiger, "Wordy", &[("Fax", "ask Bob")]).await;
        desk.run().await;
        let need = desk.is_listed(&right, "not-a-phone-number").await;
        assert!(!need.points[0].meaning.is_empty() && need.points[0].fix.contains("correct the value"), "{need:?}");
        desk.edit(Side::Vtiger, &right, "Fax", "5550109966").await;
        desk.run().await;
        assert_eq!(desk.value(Side::Zoho, &need.left, "Fax").await, "5550109966");
        desk.is_in_step(&need.left).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn reference_not_linked() {
    run(async {
        let code = reason::REFERENCE_NOT_LINKED;
        let accounts = "[[module]]\nzoho = \"Accounts\"\nvtiger = \"Accounts\"\n";
        let mut desk = Desk::open("", &format!("{CONTACTS}{accounts}direction = \"to-zoho\"\n")).await;
        let crms = desk.crms();
        let account = |name: &str| json!({ "Account_Name": name });
        let by_module = crms.create_in(Side::Zoho, "Accounts", &account("Module Ltd")).await.unwrap();
        let by_hand = crms.create_in(Side::Zoho, "Accounts", &account("Hand Ltd")).await.unwrap();
        let itself = crms.create_in(Side::Zoho, "Accounts", &account("Itself Ltd")).await.unwrap();
        let mut people = Vec::new();
        for (last, account) in [("Module", &by_module), ("Hand", &by_hand), ("Itself", &itself)] {
            let set = json!({ "Last_Name": last, "Email": format!("{last}@reasons.example").to_lowercase(), "Account_Name": { "id": account } });
            people.push(crms.create_spelled(Side::Zoho, &set).await.unwrap());
        }
        desk.run().await;
        for left in &people {
            desk.is_listed(left, code).await;
        }
        let points_to = async |desk: &Desk, left: &str| {
            let right = desk.partner(left).await.unwrap();
            desk.shown(Side::Vtiger, "Contacts", &right).await["account_id"].as_str().unwrap().to_owned()
        };
        // It fills in by itself: a counterpart turns up.
        let same =
            desk.crms().create_in(Side::Vtiger, "Accounts", &json!({ "accountname": "Itself Ltd" })).await.unwrap();
        desk.run().await;
        assert_eq!(points_to(&desk, &people[2]).await, same);
        desk.is_in_step(&people[2]).await;
        // By hand, with an organization that nobody could know by its name.
        let other =
            desk.crms().create_in(Side::Vtiger, "Accounts", &json!({ "accountname": "HND Limited" })).await.unwrap();
        let app = &desk.workplace.app;
        service::link(app, LOCAL_TENANT, FLOW, Some("Accounts"), [by_hand, other.clone()]).await.unwrap();
        desk.run().await;
        assert_eq!(points_to(&desk, &people[1]).await, other);
        desk.is_in_step(&people[1]).await;
        // The module is synced.
        desk.change("direction = \"to-zoho\"\n", "").await;
        desk.run().await;
        let accounts = desk.crms().records_of(Side::Vtiger, "Accounts").await.unwrap();
        let made = accounts.iter().find(|record| record["accountname"] == "Module Ltd").unwrap();
        assert_eq!(points_to(&desk, &people[0]).await, made["id"].as_str().unwrap());
        desk.is_in_step(&people[0]).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn owner_unknown() {
    run(async {
        let code = reason::OWNER_UNKNOWN;
        let mut desk = Desk::open("", CONTACTS).await;
        let office = "19x1";
        let kim = desk.crms().set_user(Side::Zoho, "Kim New", "kim@acme.example").await.unwrap();
        let tom = desk.crms().set_user(Side::Zoho, "Tom Table", "tom@acme.example").await.unwrap();
        let [linked, _] = desk.pair("Linked", &[]).await;
        let owned = async |last: &str, owner: &str| {
            let set = json!({ "Last_Name": last, "Email": format!("{last}@reasons.example").to_lowercase(), "Owner": { "id": owner } });
            desk.crms().create_spelled(Side::Zoho, &set).await.unwrap()
        };
        let (by_user, by_table) = (owned("User", &kim).await, owned("Table", &tom).await);
        desk.crms().edit_in(Side::Zoho, "Contacts", &linked, &json!({ "Owner": { "id": kim } })).await.unwrap();
        desk.run().await;
        let owner = async |desk: &Desk, left: &str| {
            let right = desk.partner(left).await.unwrap();
            desk.shown(Side::Vtiger, "Contacts", &right).await["assigned_user_id"].as_str().unwrap().to_owned()
        };
        for left in [&by_user, &by_table, &linked] {
            desk.is_listed(left, code).await;
        }
        assert_eq!(owner(&desk, &by_user).await, office, "the fallback, for new records");
        desk.is_at_rest().await;
        assert_eq!(
            desk.shown(Side::Zoho, "Contacts", &by_user).await["Owner"]["id"],
            kim.as_str(),
            "never written back"
        );

        let there = desk.crms().set_user(Side::Vtiger, "Kim New", "kim@acme.example").await.unwrap();
        desk.retry(code).await;
        desk.run().await;
        for left in [&by_user, &linked] {
            assert_eq!(owner(&desk, left).await, there);
            desk.is_in_step(left).await;
        }
        desk.is_listed(&by_table, code).await;
        let nora = "19x6";
        desk.change("[owners]", "[owners.table]\n\"tom@acme.example\" = \"nora@acme.example\"\n[owners]").await;
        desk.retry(code).await;
        desk.run().await;
        assert_eq!(owner(&desk, &by_table).await, nora);
        desk.is_in_step(&by_table).await;
        desk.is_at_rest().await;
    });
}

#[test]
pub(super) fn an_address_of_two_users_is_nobodys() {
    run(async {
        let code = reason::OWNER_UNKNOWN;
        let mut desk = Desk::open("", CONTACTS).await;
        let sales = "5725767000000310002";
        desk.crms().set_user(Side::Vtiger, "Sam Second", "sales@acme.example").await.unwrap();
        let warnings = desk.change("winner = \"zoho\"", "winner = \"vtiger\"").await;
        let told = "has 2 active users with the address `sales@acme.example`";
        assert!(warnings.iter().any(|warning| warning.contains(told)), "{warnings:?}");
        let set = json!({ "Last_Name": "Whose", "Email": "whose@reasons.example", "Owner": { "id": sales } });
        let left = desk.crms().create_spelled(Side::Zoho, &set).await.unwrap();
        desk.run().await;
        desk.is_listed(&left, code).await;
        desk.crms().set_user(Side::Vtiger, "Sam Second", "second@acme.example").await.unwrap();
        desk.retry(code).await;
        desk.run().await;
        let right = desk.partner(&left).await.unwrap();
        assert_eq!(desk.shown(Side::Vtiger, "Contacts", &right).await["assigned_user_id"], "19x5");
        desk.is_in_step(&left).await;
        desk.is_at_rest().await;
    });
}
