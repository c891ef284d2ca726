use serde_json::{Value, json};

use super::client::{Client, denied, failure, start};

/// A server with eight known contacts beside the seeded ones; all known ones have `department` `Known`.
async fn known() -> Client {
    let client = start("default").await;
    let people = [
        json!({ "lastname": "Larsen", "firstname": "Åse", "donotcall": "1", "email": "ase@example.com" }),
        json!({ "lastname": "O'Brien & <Sons>", "firstname": "Pat" }),
        json!({ "lastname": "Müller", "firstname": "Jo", "birthday": "1980-02-29" }),
        json!({ "lastname": "muller", "firstname": "Al", "birthday": "1975-01-01" }),
        json!({ "lastname": "Zebra", "firstname": "10" }),
        json!({ "lastname": "Zebra", "firstname": "9" }),
        json!({ "lastname": "Bool", "donotcall": "on" }),
        json!({ "lastname": r"a\b", "description": "long" }),
    ];
    for mut person in people {
        person["department"] = json!("Known");
        client.create("Contacts", person).await;
    }
    client
}

/// The last names that a condition finds among the known contacts, in order of id.
async fn found(client: &Client, condition: &str) -> Vec<String> {
    let query = format!("select lastname from Contacts where department = 'known' and {condition} order by id;");
    let rows = client.query(&query).await;
    let names = rows.as_array().unwrap_or_else(|| panic!("{condition}: {rows}")).iter();
    names.map(|row| row["lastname"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn comparisons_follow_the_database() {
    let client = known().await;
    for (condition, expected) in [
        ("firstname = 'ase'", &["Larsen"][..]),
        ("lastname = 'MULLER  '", &["Müller", "muller"]),
        ("lastname like 'O''Brien%'", &["O'Brien & <Sons>"]),
        ("lastname like '%brien & <sons>%'", &["O'Brien & <Sons>"]),
        (r"lastname = 'a\b'", &[r"a\b"]),
        ("lastname in ('Larsen','Bool') and donotcall='1'", &["Larsen", "Bool"]),
        ("donotcall != '1' and lastname like 'z%'", &["Zebra", "Zebra"]),
        ("birthday < '1980-02-29'", &["muller"]),
        ("birthday >= '1980-02-29'", &["Müller"]),
        ("birthday >= 'garbage'", &["Müller", "muller"]),
        ("birthday < 'garbage'", &[]),
        ("firstname < '9' and firstname > '1'", &["Zebra"]),
        ("assigned_user_id = '1'", &[]),
        ("assigned_user_id = '19x5'", &[]),
        ("assigned_user_id = '19x1' and email = 'ASE@example.com'", &["Larsen"]),
        ("description = 'LONG'", &[r"a\b"]),
    ] {
        assert_eq!(found(&client, condition).await, expected, "{condition}");
    }
    assert_eq!(
        client.query("select id from Contacts where modifiedtime >= 'garbage';").await.as_array().map(Vec::len),
        Some(18)
    );
    let now =
        client.query("select modifiedtime from Contacts where lastname = 'Bool';").await[0]["modifiedtime"].clone();
    let with_t = now.as_str().expect("a time").replace(' ', "T");
    assert_eq!(found(&client, &format!("lastname = 'Bool' and modifiedtime = '{with_t}'")).await, ["Bool"]);
}

#[tokio::test]
async fn ids_compare_as_numbers_and_and_binds_tighter() {
    let client = known().await;
    let rows = client.query("select id from Contacts where department = 'Known' order by id;").await;
    let ids: Vec<&str> = rows.as_array().expect("rows").iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids.len(), 8);
    let after = client.query(&format!("select lastname from Contacts where id > {} limit 2;", ids[1])).await;
    assert_eq!(after, json!([{ "lastname": "Müller", "id": ids[2] }, { "lastname": "muller", "id": ids[3] }]));
    assert_eq!(
        client.query("select id from Contacts where id > '12x9';").await.as_array().map(Vec::len),
        Some(13),
        "9 < 10"
    );
    let either =
        client.query("select id from Contacts where lastname='Bool' or lastname='Zebra' and firstname='9';").await;
    assert_eq!(either, json!([{ "id": ids[5] }, { "id": ids[6] }]));
    let several = client
        .query(&format!("select firstname,id from Contacts where id in ('{}','{}','11x1');", ids[0], ids[4]))
        .await;
    assert_eq!(several, json!([{ "firstname": "Åse", "id": ids[0] }, { "firstname": "10", "id": ids[4] }]));
    let without_x = "select id from Contacts where account_id = '27';";
    assert_eq!(client.query_error(without_x).await["code"], json!("INTERNAL_SERVER_ERROR"));
}

#[tokio::test]
async fn order_has_several_columns_and_one_direction_for_the_last() {
    let client = known().await;
    let query = "select firstname from Contacts where lastname = 'Zebra' order by lastname, id desc;";
    let rows = client.query(query).await;
    let names: Vec<&Value> = rows.as_array().expect("rows").iter().map(|row| &row["firstname"]).collect();
    assert_eq!(names, [&json!("9"), &json!("10")]);
    let rows =
        client.query("select lastname from Contacts where department='Known' order by lastname desc limit 1,2;").await;
    let names: Vec<&Value> = rows.as_array().expect("rows").iter().map(|row| &row["lastname"]).collect();
    assert_eq!(names, [&json!("Zebra"), &json!("O'Brien & <Sons>")]);
    assert_eq!(
        client.query("select lastname from Contacts order by nosuch;").await,
        json!([]),
        "an unknown column empties the answer without an error",
    );
}

#[tokio::test]
async fn the_shape_of_rows_and_counts() {
    let client = known().await;
    let all = client.query("SELECT * FROM Contacts WHERE lastname = 'Larsen';").await;
    let row = all[0].as_object().expect("a row");
    assert!(row.len() == 50 && !row.contains_key("label"), "50 fields with the custom one, and no label");
    let named = client.query("select email,lastname from Contacts where lastname = 'Larsen';").await;
    let names: Vec<&String> = named[0].as_object().expect("a row").keys().collect();
    assert_eq!(names, ["email", "lastname", "id"], "in the order asked, the id last unless named");
    assert_eq!(client.query("select count(*) from Contacts;").await, json!([{ "count": "18" }]));
    assert_eq!(
        client.query("select count(*) from Contacts where department='Known';").await,
        json!([{ "count": "8" }])
    );
}

#[tokio::test]
async fn refused_queries() {
    let client = start("default").await;
    let error = async |query: &str| client.get("query", &[("query", query)]).await;
    assert_eq!(error("").await, denied(" for query"));
    assert_eq!(error("select * from NoSuch;").await, denied(" for name : NoSuch"));
    assert_eq!(error("select * from contacts;").await, denied(" for name : contacts"));
    assert_eq!(
        error("select nosuch from Contacts;").await,
        failure("ACCESS_DENIED", "Permission to access '.nosuch.' attribute denied."),
    );
    assert_eq!(
        error("select label from Contacts;").await,
        failure("ACCESS_DENIED", "Permission to access '.label.' attribute denied."),
    );
    assert_eq!(
        error("select lastname from Contacts where nosuch = 'x';").await,
        failure("ACCESS_DENIED", "Permission to access nosuch attribute denied."),
    );
    let internal = failure("INTERNAL_SERVER_ERROR", "Unknown Error while processing request");
    assert_eq!(error("select id from Contacts where email = '';").await, internal);
    assert_eq!(error("select id from Contacts where email = \"a\";").await, internal);
    for (query, token) in [
        ("select * from Contacts", "token '' "),
        ("delete from Contacts;", "Unexpected Unknown(delete), expected one of: SELECT"),
        ("select id from Contacts where (id = '12x1');", "Unexpected PARENOPEN(()"),
        ("select id from Contacts where lastname <> 'a';", "Unexpected GT(>), expected one of: VALUE"),
        ("select id from Contacts where lastname is null;", "COLUMNNAME(is)"),
        ("select id from Contacts limit 5 offset 5;", "COLUMNNAME(offset)"),
    ] {
        let answer = error(query).await;
        assert_eq!(answer["error"]["code"], json!("QUERY_SYNTAX_ERROR"), "{query}");
        assert!(answer["error"]["message"].as_str().expect("a message").contains(token), "{query}: {answer}");
    }
}

#[tokio::test]
async fn a_query_answers_a_hundred_rows_at_most() {
    let client = start("default").await;
    for number in 0..95 {
        client.create("Leads", json!({ "lastname": format!("Lead {number}") })).await;
    }
    for number in 95..120 {
        client.create("Leads", json!({ "lastname": format!("Lead {number}") })).await;
    }
    let rows = async |query: &str| client.query(query).await.as_array().map(Vec::len);
    assert_eq!(rows("select id from Leads;").await, Some(100));
    assert_eq!(rows("select id from Leads limit 500;").await, Some(100), "cut without a word");
    assert_eq!(rows("select id from Leads limit 100,100;").await, Some(20));
    assert_eq!(rows("select id from Leads limit 0;").await, Some(0));
}

#[tokio::test]
async fn permissions_come_after_the_limit() {
    let mut client = start("hidden=30").await;
    for number in 0..40 {
        client.create("Leads", json!({ "lastname": format!("Lead {number}") })).await;
    }
    let all = client.query("select id from Leads;").await;
    assert_eq!(all.as_array().map(Vec::len), Some(40), "nothing is hidden from an administrator");
    client.session = client.login("sales").await;
    let mut seen = Vec::new();
    let mut shortest = usize::MAX;
    for offset in (0..40).step_by(10) {
        let page = client.query(&format!("select id from Leads order by id limit {offset},10;")).await;
        let page = page.as_array().expect("a page").clone();
        shortest = shortest.min(page.len());
        seen.extend(page);
    }
    assert!(shortest < 10 && seen.len() < 40 && !seen.is_empty(), "pages are short before the end");
    assert_eq!(
        client.query("select count(*) from Leads;").await,
        json!([{ "count": "40" }]),
        "the count knows no permissions"
    );
    let hidden = all.as_array().expect("rows").iter().find(|row| !seen.contains(row)).expect("one is hidden");
    assert_eq!(client.retrieve(hidden["id"].as_str().expect("an id")).await, denied(""));
}

#[tokio::test]
async fn users_are_for_administrators_and_groups_for_everybody() {
    let mut client = start("default").await;
    let users = client.query("select user_name,email1,status,is_admin from Users where status = 'Active';").await;
    assert_eq!(
        users[0],
        json!({
            "user_name": "admin", "email1": "office@acme.example", "status": "Active", "is_admin": "on", "id": "19x1",
        }),
    );
    assert_eq!(users.as_array().map(Vec::len), Some(3));
    assert_eq!(client.query("select id from Users where status = 'inactive';").await, json!([{ "id": "19x7" }]));
    assert_eq!(client.query("select currency_id from Users where id = '19x1';").await[0]["currency_id"], json!("21x1"));
    client.session = client.login("sales").await;
    let company = client.query("select organizationname from CompanyDetails;").await;
    assert_eq!(company, json!([{ "organizationname": "Acme Office 7", "id": "23x1" }]));
    let currency = client.query("select currency_code,defaultid from Currency where id = '21x1';").await;
    assert_eq!(currency, json!([{ "currency_code": "USD", "defaultid": "-11", "id": "21x1" }]));
    assert_eq!(client.query_error("select id from Users;").await["code"], json!("ACCESS_DENIED"));
    let groups = client.query("select * from Groups;").await;
    assert_eq!(
        groups[0],
        json!({ "groupname": "Team Selling", "description": "Group Related to Sales", "id": "20x2" })
    );
    assert_eq!(
        client.query("select id from Groups;").await,
        json!([{ "id": "20x2" }, { "id": "20x3" }, { "id": "20x4" }])
    );
}
