//! Lists, pages, single records, deleted records, search, metadata, limits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::{Client, start};

fn ids(body: &Value) -> Vec<String> {
    let rows = body["data"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

async fn refused(client: &Client, path: &str, code: &str) {
    assert_eq!(client.get(path).await.refusal(), (400, code.to_owned()), "{path}");
}

#[tokio::test]
async fn a_list_names_its_fields_and_keeps_its_limits() {
    let client = start("default", 30).await;
    let page = client.get("Contacts?fields=Last_Name,Owner,Nonsense,Email_Opt_Out&per_page=10").await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "application/json;charset=UTF-8"));
    let body = page.json();
    let row = &body["data"][0];
    assert_eq!(
        row.as_object().expect("a row").keys().collect::<Vec<_>>(),
        ["Last_Name", "Owner", "Email_Opt_Out", "id"]
    );
    assert!(row["Owner"]["email"].is_string() && row["Email_Opt_Out"].is_boolean() && row["id"].is_string());
    assert_eq!((&body["info"]["count"], &body["info"]["sort_by"]), (&json!(10), &json!("id")));
    assert!(ids(&body).is_sorted_by(|one, two| one > two), "by descending id");

    let many = format!("Contacts?fields={}", vec!["Email"; 51].join(","));
    for (path, code) in [
        ("Contacts", "REQUIRED_PARAM_MISSING"),
        ("Contacts?fields=", "REQUIRED_PARAM_MISSING"),
        (many.as_str(), "LIMIT_EXCEEDED"),
        ("Contacts?fields=Email&per_page=201", "INVALID_DATA"),
        ("Contacts?fields=Email&per_page=0", "INVALID_DATA"),
        ("Contacts?fields=Email&page=11", "DISCRETE_PAGINATION_LIMIT_EXCEEDED"),
        ("Contacts?fields=Email&page=1&page_token=x", "AMBIGUITY_DURING_PROCESSING"),
        ("Contacts?fields=Email&page_token=x", "INVALID_DATA"),
        ("Contacts?fields=Email&sort_by=Email", "INVALID_DATA"),
        ("Payments?fields=Email", "INVALID_MODULE"),
        ("contacts?fields=Email", "INVALID_MODULE"),
    ] {
        refused(&client, path, code).await;
    }
    let patched = client.api("PATCH", "Contacts", &[], "").await;
    assert_eq!(patched.refusal(), (400, "INVALID_REQUEST_METHOD".to_owned()));
    let old = client.send("GET", "/crm/v1/Contacts", &[], "").await;
    assert_eq!(old.refusal(), (404, "INVALID_URL_PATTERN".to_owned()));
}

#[tokio::test]
async fn page_tokens_walk_everything_once_and_are_bound() {
    let client = start("default", 25).await;
    let base = "Contacts?fields=Email&per_page=10&sort_by=Modified_Time&sort_order=asc";
    let (mut seen, mut path, mut tokens) = (Vec::new(), base.to_owned(), Vec::new());
    loop {
        let body = client.get(&path).await.json();
        seen.extend(ids(&body));
        assert_eq!(body["info"]["page"], json!(tokens.len() + 1));
        match body["info"]["next_page_token"].as_str() {
            Some(token) => {
                tokens.push(token.to_owned());
                path = format!("{base}&page_token={token}");
            }
            None => {
                assert_eq!(body["info"]["more_records"], json!(false));
                assert!(body["info"]["page_token_expiry"].is_null());
                break;
            }
        }
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len(), tokens.len()), (25, 25, 2));

    let second = client.get(&format!("{base}&page_token={}", tokens[0])).await.json();
    let back = second["info"]["previous_page_token"].as_str().expect("a way back");
    assert_eq!(ids(&client.get(&format!("{base}&page_token={back}")).await.json()), seen[..10]);

    let other = base.replace("asc", "desc");
    refused(&client, &format!("{other}&page_token={}", tokens[0]), "TOKEN_BOUND_DATA_MISMATCH").await;
    client.advance_ms(23 * 3_600_000).await;
    let client = relogin(client).await;
    assert_eq!(client.get(&format!("{base}&page_token={}", tokens[0])).await.status, 200);
    client.advance_ms(3_600_000).await;
    let client = relogin(client).await;
    refused(&client, &format!("{base}&page_token={}", tokens[0]), "EXPIRED_VALUE").await;
}

async fn relogin(mut client: Client) -> Client {
    client.token = client.login(super::client::SCOPES).await["access_token"].as_str().expect("a token").to_owned();
    client
}

#[tokio::test]
async fn only_two_thousand_records_can_be_reached_by_number() {
    let client = start("default", 2_100).await;
    let last = client.get("Contacts?fields=Email&page=10").await.json();
    assert_eq!((ids(&last).len(), &last["info"]["more_records"]), (200, &json!(true)));
    refused(&client, "Contacts?fields=Email&page=11", "DISCRETE_PAGINATION_LIMIT_EXCEEDED").await;
    let token = last["info"]["next_page_token"].as_str().expect("a token goes further");
    let rest = client.get(&format!("Contacts?fields=Email&page_token={token}")).await.json();
    assert_eq!((ids(&rest).len(), &rest["info"]["more_records"]), (100, &json!(false)));
    assert_eq!(client.get("Contacts/actions/count").await.json(), json!({"count": 2_100}));
}

#[tokio::test]
async fn if_modified_since_is_inclusive_and_says_304() {
    let client = start("default", 5).await;
    let id = client.insert(json!({"Last_Name": "Fresh"})).await;
    let time = client.get(&format!("Contacts/{id}")).await.json()["data"][0]["Modified_Time"].clone();
    let time = time.as_str().expect("a time");
    assert!(time.ends_with("+05:30"), "in the user's zone: {time}");
    let since = async |time: &str, path: &str| client.api("GET", path, &[("if-modified-since", time)], "").await;
    let same = since(time, "Contacts?fields=Email").await;
    assert_eq!(ids(&same.json()), [id.as_str()]);
    let later = "2999-01-01T00:00:00+05:30";
    for path in ["Contacts?fields=Email", "Contacts/deleted", "settings/modules", &format!("Contacts/{id}")] {
        let raw = since(later, path).await;
        assert_eq!((raw.status, raw.body.as_str()), (304, ""), "{path}");
    }
    assert_eq!(since("soon", "Contacts?fields=Email").await.refusal().1, "INVALID_DATA");
    assert_eq!(client.get("Contacts?fields=Email&page=2").await.status, 204);
}

#[tokio::test]
async fn one_record_and_what_became_of_deleted_ones() {
    let client = start("default", 5).await;
    let id = client.insert(json!({"Last_Name": "Gone", "First_Name": "Soon"})).await;
    let one = client.get(&format!("Contacts/{id}")).await.json();
    assert_eq!(
        (&one["data"][0]["Full_Name"], &one["data"][0]["$approval_state"]),
        (&json!("Soon Gone"), &json!("approved"))
    );
    assert_eq!(client.get("Contacts/5725767000000999999").await.status, 204);
    refused(&client, "Contacts/none", "INVALID_DATA").await;

    assert_eq!(
        client.api("DELETE", &format!("Contacts/{id}"), &[], "").await.rows(),
        (200, vec!["SUCCESS".to_owned()])
    );
    assert_eq!(
        client.api("DELETE", &format!("Contacts?ids={id}"), &[], "").await.rows(),
        (400, vec!["INVALID_DATA".to_owned()])
    );
    assert_eq!(client.get(&format!("Contacts/{id}")).await.status, 204);
    let deleted = client.get("Contacts/deleted?type=all").await.json();
    let row = &deleted["data"][0];
    assert_eq!((&row["id"], &row["type"], &row["display_name"]), (&json!(id), &json!("recycle"), &json!("Soon Gone")));

    client.advance_ms(61 * 24 * 3_600_000).await;
    let client = relogin(client).await;
    assert_eq!(client.get("Contacts/deleted?type=recycle").await.status, 204);
    let row = &client.get("Contacts/deleted?type=permanent").await.json()["data"][0];
    assert_eq!((&row["deleted_by"], &row["display_name"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn search_finds_what_its_index_knows_already() {
    let client = start("default", 5).await;
    let id =
        client.insert(json!({"Last_Name": "Sought", "Email": "sought@find.example", "Title": "Head (acting)"})).await;
    let criteria =
        r"Contacts/search?criteria=((Email:equals:SOUGHT@find.example)and(Title:starts_with:Head%20%5C(acting))";
    assert_eq!(client.get(&format!("{criteria})")).await.status, 400, "an escape is missing");
    let escaped = criteria.replace("acting", "acting%5C)");
    assert_eq!(client.get(&escaped).await.status, 204, "not indexed yet");
    client.advance_ms(5_000).await;
    for path in [
        escaped.as_str(),
        "Contacts/search?email=sought@find.example",
        "Contacts/search?word=sought",
        &format!("Contacts/search?criteria=(id:equals:{id})"),
    ] {
        assert_eq!(ids(&client.get(path).await.json()), [id.as_str()], "{path}");
    }
    refused(&client, "Contacts/search?criteria=Email:equals:x", "INVALID_QUERY").await;
    refused(&client, "Contacts/search", "EXPECTED_PARAM_MISSING").await;
}

#[tokio::test]
async fn users_organization_and_settings() {
    let client = start("default", 5).await;
    let emails = async |kind: &str| {
        let body = client.get(&format!("users?type={kind}")).await.json();
        let users = body["users"].as_array().cloned().unwrap_or_default();
        users.iter().map(|user| user["email"].as_str().expect("an address").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(emails("CurrentUser").await, ["office@acme.example"]);
    assert_eq!(emails("ActiveUsers").await.len(), 3);
    assert_eq!(emails("DeactiveUsers").await, ["zeb@acme.example"]);
    let org = client.get("org").await.json();
    assert_eq!(
        (&org["org"][0]["license_details"]["paid_type"], &org["org"][0]["time_zone"]),
        (&json!("enterprise"), &json!("Asia/Kolkata"))
    );

    let modules = client.get("settings/modules").await.json();
    assert_eq!(modules["modules"].as_array().map(Vec::len), Some(3));
    let fields = client.get("settings/fields?module=Contacts").await.json();
    let field = |name: &str| {
        let fields = fields["fields"].as_array().expect("fields").clone();
        fields.into_iter().find(|field| field["api_name"] == name).unwrap_or_default()
    };
    assert_eq!((&field("Last_Name")["system_mandatory"], &field("Last_Name")["length"]), (&json!(true), &json!(80)));
    assert_eq!(field("Account_Name")["lookup"]["module"]["api_name"], "Accounts");
    assert_eq!(field("crmsync_key")["unique"], json!({"casesensitive": "false"}));
    assert_eq!(field("Email")["unique"], json!({}));
    let layout = client.get("settings/layouts?module=Contacts").await.json();
    assert!(layout["layouts"][0]["sections"][0]["fields"].as_array().is_some_and(|fields| fields.len() > 30));
    refused(&client, "settings/fields?module=Nothing", "INVALID_MODULE").await;
    refused(&client, "settings/fields", "REQUIRED_PARAM_MISSING").await;

    let plain = start("plain", 5).await;
    assert!(!plain.get("settings/fields?module=Contacts").await.body.contains("crmsync_key"));
}

#[tokio::test]
async fn credits_and_calls_at_one_time() {
    let client = start("default,credits=6,concurrency=1", 5).await;
    for used in 1..=6_u64 {
        let raw = client.get("org").await;
        let shown = raw.headers.get("x-api-credits-remaining").map(String::as_str);
        assert_eq!(shown.map(str::to_owned), (used >= 3).then(|| (6 - used).to_string()), "{used}");
    }
    let raw = client.get("org").await;
    assert_eq!(raw.refusal(), (429, "TOO_MANY_REQUESTS".to_owned()));
    client.advance_ms(24 * 3_600_000).await;
    let client = relogin(client).await;
    let plan = json!({"commit_delay_ms": 300});
    client.control("faults", Some(plan)).await;
    let body = json!({"data": [{"Last_Name": "Slow"}]});
    let (slow, quick) = tokio::join!(client.write("POST", "Contacts", body), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        client.get("org").await
    });
    assert_eq!((slow.status, quick.refusal()), (201, (429, "TOO_MANY_REQUESTS".to_owned())));
    assert_eq!(client.get("org").await.status, 200);
}

#[tokio::test]
async fn ids_have_1024_characters_together() {
    let client = start("default", 60).await;
    let listed = client.get("Contacts?fields=Email&per_page=60").await.json();
    let all: Vec<String> = ids(&listed);
    let some = |count: usize| all[..count].join(",");
    let rows = client.get(&format!("Contacts?fields=Email&ids={}", some(50))).await.json();
    assert_eq!(ids(&rows).len(), 50);
    refused(&client, &format!("Contacts?fields=Email&ids={}", some(60)), "INVALID_DATA").await;
    let deleted = client.api("DELETE", &format!("Contacts?ids={}", some(60)), &[], "").await;
    assert_eq!(deleted.refusal(), (400, "INVALID_DATA".to_owned()));
}

#[tokio::test]
async fn a_token_that_counts_skips_what_moved() {
    for (profile, rows) in [("default", 3), ("default,tokens=offset", 2)] {
        let client = start(profile, 5).await;
        let base = "Contacts?fields=Email&per_page=2&sort_by=Modified_Time&sort_order=asc";
        let first = client.get(base).await.json();
        let token = first["info"]["next_page_token"].as_str().expect("a token");
        let id = ids(&first)[0].clone();
        client.api("DELETE", &format!("Contacts/{id}"), &[], "").await;
        let second = client.get(&format!("{base}&page_token={token}")).await.json();
        let third = second["info"]["next_page_token"].as_str();
        let third = client.get(&format!("{base}&page_token={}", third.unwrap_or(token))).await.json();
        let mut seen: BTreeSet<String> = ids(&second).into_iter().collect();
        seen.extend(ids(&third));
        assert_eq!(seen.len(), rows, "{profile}");
    }
}

#[tokio::test]
async fn unique_is_spelled_as_the_profile_says() {
    for (form, word) in [
        ("boolean", json!({"casesensitive": false})),
        ("null", json!({"casesensitive": null})),
        ("underscore", json!({"case_sensitive": false})),
        ("bare", json!(true)),
    ] {
        let client = start(&format!("default,unique={form}"), 1).await;
        let fields = client.get("settings/fields?module=Contacts").await.json();
        let fields = fields["fields"].as_array().expect("fields").clone();
        let unique = |name: &str| fields.iter().find(|field| field["api_name"] == name).map(|field| &field["unique"]);
        assert_eq!((unique("crmsync_key"), unique("Email")), (Some(&word), Some(&json!({}))), "{form}");
    }
}
