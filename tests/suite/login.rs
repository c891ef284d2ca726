//! Logins and what they are bound to: the organisation, the settings, the places that secrets go to. And flows that must not outlive them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::Progress;
use crmsync::service::{self, Login, NewConnection, RunRequest};
use crmsync::store::{ConnectionState, JournalQuery};
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, name};
use crmsync_tests::product::{Answer, finish};
use crmsync_tests::workplace::{FLOW, Folder, Workplace, flow_file};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::product::{product, run};

const QUIESCE_MS: u64 = 700;

struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str, _done: u64, _of: Option<u64>) {}
}

async fn workplace() -> Workplace {
    Workplace::open(Crms::here(20, 3).await.unwrap(), QUIESCE_MS).await.unwrap()
}

async fn connection(workplace: &Workplace, side: Side) -> crmsync::store::ConnectionRow {
    workplace.app.store().connection(LOCAL_TENANT, name(side)).await.unwrap().unwrap()
}

async fn secrets(workplace: &Workplace, side: Side) -> BTreeMap<String, String> {
    let (_, kept) = workplace.app.vault().load(LOCAL_TENANT, name(side)).await.unwrap().unwrap();
    kept.values.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect()
}

/// The same connection again, with nothing changed yet.
fn again(side: Side) -> NewConnection {
    NewConnection { name: name(side).into(), plugin: name(side).into(), ..NewConnection::default() }
}

async fn browser_login(workplace: &Workplace) -> Result<(), String> {
    let callback = service::callback_address(1);
    let login = Login::begin(&workplace.app, LOCAL_TENANT, "zoho", callback).await.map_err(|failure| failure.code)?;
    let location = workplace.crms.press_accept(&login.url).await?;
    let parameters = service::parse_callback(&location).map_err(|failure| failure.code)?;
    login.finish(&parameters).await.map(drop).map_err(|failure| failure.code.to_owned())
}

/// Makes the connection one to another organisation, as if the CRM behind the same address had been exchanged.
async fn bind_to_another_org(workplace: &Workplace, side: Side) {
    let row = connection(workplace, side).await;
    let bound = Some(("another-org".to_owned(), "Another Org".to_owned()));
    let saved = workplace.app.store().set_connection_checked(LOCAL_TENANT, &row, row.state, bound, String::new()).await;
    assert!(saved.unwrap());
}

#[test]
fn a_login_to_the_wrong_organisation_changes_nothing() {
    run(async {
        let workplace = workplace().await;
        bind_to_another_org(&workplace, Side::Zoho).await;
        let before = secrets(&workplace, Side::Zoho).await;
        assert_eq!(browser_login(&workplace).await, Err("connection.other_org".to_owned()));
        assert_eq!(secrets(&workplace, Side::Zoho).await, before, "the old login's tokens are as they were");

        bind_to_another_org(&workplace, Side::Vtiger).await;
        let refused = service::login_with_session(&workplace.app, LOCAL_TENANT, "vtiger").await.unwrap_err();
        assert_eq!(refused.code, "connection.other_org");
        // Asked on its own, it is found out as well, and nothing uses it until a person has logged in.
        let refused = service::check(&workplace.app, LOCAL_TENANT, "vtiger").await.unwrap_err();
        assert_eq!(refused.code, "connection.other_org");
        assert_eq!(connection(&workplace, Side::Vtiger).await.state, ConnectionState::LoggedOut);
        let calls = workplace.crms.calls(Side::Vtiger).await.unwrap().len();
        let refused = service::preview(&workplace.app, LOCAL_TENANT, FLOW, Arc::new(Silent)).await.unwrap_err();
        assert_eq!(refused.code, "connection.logged_out");
        assert!(refused.hint.contains("crmsync connection login vtiger"), "{}", refused.hint);
        assert_eq!(workplace.crms.calls(Side::Vtiger).await.unwrap().len(), calls, "nothing was asked");
    });
}

#[test]
fn a_changed_connection_needs_a_new_login() {
    run(async {
        let workplace = workplace().await;
        let app = &workplace.app;
        // What changes nothing harms nothing.
        let mut same = again(Side::Zoho);
        let secret = workplace.crms.side(Side::Zoho).login("client_secret");
        same.secrets.insert("client_secret".into(), SecretString::from(secret));
        same.addresses.push("127.0.0.1:9".into());
        assert_eq!(service::add(app, LOCAL_TENANT, same).await.unwrap().state, ConnectionState::Ready);
        assert!(secrets(&workplace, Side::Zoho).await.contains_key("refresh_token"));

        let mut changed = again(Side::Zoho);
        changed.settings.insert("client_id".into(), "another-client".into());
        assert_eq!(service::add(app, LOCAL_TENANT, changed).await.unwrap().state, ConnectionState::LoggedOut);
        let kept: Vec<String> = secrets(&workplace, Side::Zoho).await.into_keys().collect();
        assert_eq!(kept, ["client_secret"], "the tokens of the old login are gone");
        assert!(connection(&workplace, Side::Zoho).await.checked.is_empty());
        assert!(app.store().metadata(LOCAL_TENANT, "zoho", "modules").await.unwrap().is_none());

        let mut rotated = again(Side::Vtiger);
        rotated.secrets.insert("access_key".into(), SecretString::from("another-key"));
        assert_eq!(service::add(app, LOCAL_TENANT, rotated).await.unwrap().state, ConnectionState::LoggedOut);
        for request in [service::check(app, LOCAL_TENANT, "vtiger").await.map(drop), {
            service::run(app, LOCAL_TENANT, FLOW, RunRequest::default(), Arc::new(Silent)).await.map(drop)
        }] {
            assert_eq!(request.unwrap_err().code, "connection.logged_out");
        }
        let mut right = again(Side::Vtiger);
        right
            .secrets
            .insert("access_key".into(), SecretString::from(workplace.crms.side(Side::Vtiger).login("access_key")));
        service::add(app, LOCAL_TENANT, right).await.unwrap();
        service::login_with_session(app, LOCAL_TENANT, "vtiger").await.unwrap();
        assert_eq!(connection(&workplace, Side::Vtiger).await.state, ConnectionState::Ready);
    });
}

#[test]
fn a_login_is_bound_to_where_its_secrets_go() {
    run(async {
        let workplace = workplace().await;
        let receivers = service::receivers(&workplace.app, LOCAL_TENANT, "zoho").await.unwrap();
        let origin = workplace.crms.side(Side::Zoho).url.trim_end_matches('/').to_owned();
        assert_eq!(receivers, [origin], "both hosts are pointed there");
        let row = connection(&workplace, Side::Zoho).await;
        let mut checked: serde_json::Value = serde_json::from_str(&row.checked).unwrap();
        assert_eq!(checked["consent"].as_str().unwrap().len(), 64);
        // As if a newer version of the plugin sent them elsewhere.
        checked["consent"] = "other".into();
        let store = workplace.app.store();
        store.set_connection_checked(LOCAL_TENANT, &row, row.state, None, checked.to_string()).await.unwrap();
        let refused = service::preview(&workplace.app, LOCAL_TENANT, FLOW, Arc::new(Silent)).await.unwrap_err();
        assert_eq!(refused.code, "connection.consent_changed");
        browser_login(&workplace).await.unwrap();
        service::preview(&workplace.app, LOCAL_TENANT, FLOW, Arc::new(Silent)).await.unwrap();
    });
}

#[test]
fn a_flow_keeps_its_sides_until_it_is_removed() {
    run(async {
        let workplace = workplace().await;
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        let (app, lines) = (&workplace.app, workplace.log().await.unwrap().len());
        assert!(lines > 0);
        let reversed = flow_file().replace("[\"zoho\", \"vtiger\"]", "[\"vtiger\", \"zoho\"]");
        assert_ne!(reversed, flow_file());
        for refused in [
            service::check_flow(app, LOCAL_TENANT, "people.toml", &reversed).await.map(drop),
            service::apply(app, LOCAL_TENANT, "people.toml", &reversed).await.map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.code, "flow.other_sides");
            assert!(refused.hint.contains("crmsync flow remove people"), "{}", refused.hint);
        }
        let in_use = service::remove(app, LOCAL_TENANT, "zoho").await.unwrap_err();
        assert!(in_use.hint.contains("crmsync flow remove people"), "{}", in_use.hint);

        service::remove_flow(app, LOCAL_TENANT, FLOW).await.unwrap();
        let query = JournalQuery { most: usize::MAX, ..JournalQuery::default() };
        assert_eq!(service::log(app, LOCAL_TENANT, FLOW, query).await.unwrap().len(), lines, "the sync log stays");
        assert_eq!(service::remove_flow(app, LOCAL_TENANT, FLOW).await.unwrap_err().code, "flow.unknown");
        service::apply(app, LOCAL_TENANT, "people.toml", &reversed).await.unwrap();
        let preview = workplace.preview_and_approve().await.unwrap();
        let linked: u64 = preview.pairs.iter().map(|pair| pair.plan.linked).sum();
        assert!(linked > 0, "it begins with a first sync");
        let writes = |counts: [crmsync_sandbox::history::CallCounts; 2]| counts.map(|counts| counts.write);
        workplace.run(false).await.unwrap();
        let settled = writes(workplace.crms.counts().await.unwrap());
        workplace.run(false).await.unwrap();
        assert_eq!(writes(workplace.crms.counts().await.unwrap()), settled, "and comes to rest");
        service::remove_flow(app, LOCAL_TENANT, FLOW).await.unwrap();
        assert_eq!(service::remove(app, LOCAL_TENANT, "zoho").await.unwrap(), service::Revoked::Yes);
        assert_eq!(service::remove(app, LOCAL_TENANT, "vtiger").await.unwrap(), service::Revoked::Nothing);
    });
}

#[test]
fn a_run_that_fails_before_it_begins_is_ended() {
    run(async {
        let workplace = workplace().await;
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        // Who we are is asked anew, and the CRM does not say it.
        let row = connection(&workplace, Side::Vtiger).await;
        let mut checked: serde_json::Value = serde_json::from_str(&row.checked).unwrap();
        checked["last_at_ms"] = 0.into();
        let store = workplace.app.store();
        store.set_connection_checked(LOCAL_TENANT, &row, row.state, None, checked.to_string()).await.unwrap();
        let refusing =
            serde_json::json!({ "faults": [{ "on": { "times": 50 }, "do": { "type": "status", "status": 500 } }] });
        workplace.crms.faults(Side::Vtiger, &refusing).await.unwrap();
        let failed = workplace.run(false).await.unwrap_err();
        let runs = service::runs(&workplace.app, LOCAL_TENANT, FLOW, 1).await.unwrap();
        assert_eq!((runs[0].state.as_str(), runs[0].ended_at_ms > 0), ("failed", true), "{failed:?} {:?}", runs[0]);
    });
}

async fn ask(folder: &Path, arguments: &[&str], secret: Option<&str>) -> Answer {
    let mut command = product().command(arguments);
    command.env("CRMSYNC_DATA", folder);
    if let Some(secret) = secret {
        command.env("CRMSYNC_SECRET_ACCESS_KEY", secret);
    }
    finish(&mut command, arguments).await.unwrap()
}

const ADD: [&str; 7] = ["connection", "add", "crm", "--plugin", "vtiger", "--set", "base_url=https://crm.acme.example"];

#[test]
fn a_connection_has_its_secrets_and_good_settings() {
    run(async {
        let folder = Folder::make().unwrap();
        let user = ["--set", "username=admin", "--json"];
        let answer = ask(folder.path(), &[&ADD[..], &user].concat(), None).await;
        assert_eq!((answer.code, answer.error_code().as_str()), (2, "connection.missing_secret"), "{}", answer.stdout);
        let hint = answer.json()["error"]["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("--secret access_key") && hint.contains("CRMSYNC_SECRET_ACCESS_KEY"), "{hint}");
        let secret = ["--secret", "access_key"];
        for (setting, code) in [
            (["--set", "quiesce_ms=99999999999999"], "connection.setting"),
            (["--set", "quiesce_ms=0"], "connection.setting"),
            (["--set", "username="], "connection.setting"),
            (["--set", "base_url=ftp://crm.acme.example"], "connection.address"),
            (["--set", "base_url=https://admin:pw@crm.acme.example"], "connection.address"),
            (["--origin", "api=https://crm.acme.example/?a=b"], "connection.address"),
            (["--ungrant", "127.0.0.1:1"], "connection.not_granted"),
            (["--unset-origin", "api"], "connection.not_granted"),
        ] {
            let arguments = [&ADD[..], &user, &secret, &setting].concat();
            let answer = ask(folder.path(), &arguments, Some("key-1234")).await;
            assert_eq!((answer.code, answer.error_code().as_str()), (2, code), "{setting:?}: {}", answer.stdout);
        }
        let list = ask(folder.path(), &["connection", "list", "--json"], None).await;
        assert_eq!(list.json(), serde_json::json!([]), "nothing of it was kept");
        let grants = ["--grant", "127.0.0.1:1", "--grant", "127.0.0.1:2", "--origin", "api=http://127.0.0.1:1"];
        let answer = ask(folder.path(), &[&ADD[..], &user, &secret, &grants].concat(), Some("key-1234")).await;
        assert_eq!(answer.code, 0, "{}", answer.stdout);
        let back = ["--ungrant", "127.0.0.1:2", "--unset-origin", "api"];
        let answer = ask(folder.path(), &[&ADD[..], &user, &back].concat(), None).await;
        assert_eq!((answer.code, &answer.json()["addresses"]), (0, &serde_json::json!(["127.0.0.1:1"])));
        assert_eq!(answer.json()["origins"], serde_json::json!({}), "{}", answer.stdout);
    });
}

#[test]
fn a_login_that_cannot_be_told_from_a_busy_crm_is_no_wrong_key() {
    run(async {
        let workplace = workplace().await;
        let data = workplace.data();
        let busy = serde_json::json!({ "type": "status", "status": 429, "retry_after": "60" });
        let plan = serde_json::json!({ "faults": [{ "on": { "times": 9 }, "do": busy }] });
        workplace.crms.faults(Side::Vtiger, &plan).await.unwrap();
        let answer = ask(&data, &["connection", "login", "vtiger", "--json"], None).await;
        assert_eq!((answer.code, answer.error_code().as_str()), (3, "connection.rate_limited"), "{}", answer.stdout);
        let Workplace { crms, folder, app, .. } = workplace;
        drop((crms, app));
        let answer = ask(&data, &["connection", "login", "vtiger", "--json"], None).await;
        assert_eq!((answer.code, answer.error_code().as_str()), (3, "connection.unreachable"), "{}", answer.stdout);
        assert!(answer.stderr.contains("secrets   go to http://127.0.0.1:"), "{}", answer.stderr);
        drop(folder);
    });
}

#[test]
fn only_the_answer_to_this_login_ends_the_wait() {
    run(async {
        let workplace = workplace().await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let arguments = ["connection", "login", "zoho", "--announce", "--json", "--callback-port", &port];
        let mut command = product().command(arguments);
        let mut process = command.env("CRMSYNC_DATA", workplace.data()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let announced: serde_json::Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        let (url, callback) = (&announced["authorize_url"], announced["callback"].as_str().unwrap());
        for stray in ["", "?code=1&state=guessed", "?error=access_denied", "?code=a&code=b"] {
            workplace.crms.visit(&format!("{callback}{stray}")).await.unwrap();
        }
        let location = workplace.crms.press_accept(&url.as_str().unwrap().parse().unwrap()).await.unwrap();
        workplace.crms.visit(&location).await.unwrap();
        assert_eq!(process.wait().await.unwrap().code(), Some(0));
    });
}
