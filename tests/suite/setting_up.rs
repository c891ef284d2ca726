//! What a person does before the first sync: logins of every kind, the first flow file, changes of one setting.

use crmsync::app::{App, LOCAL_TENANT};
use crmsync::service::{self, NewConnection};
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::Crms;
use crmsync_tests::product::Answer;
use crmsync_tests::workplace::{FLOW, Folder, Workplace, flow_file};
use secrecy::SecretString;

use crate::product::{product, run};

const QUIESCE_MS: u64 = 700;

async fn workplace() -> Workplace {
    let crms = Crms::here(20, 3).await.unwrap();
    Workplace::open(crms, QUIESCE_MS).await.unwrap()
}

async fn ask(workplace: &Workplace, arguments: &[&str]) -> Answer {
    let answer = product().ask(&workplace.data(), arguments).await.unwrap();
    assert_eq!(answer.code, 0, "{arguments:?}: {} {}", answer.stdout, answer.stderr);
    answer
}

#[test]
fn one_setting_changes_and_the_comments_stay() {
    run(async {
        let workplace = workplace().await;
        workplace.preview_and_approve().await.unwrap();
        let answer = ask(&workplace, &["flow", "set", FLOW, "every=10 minutes", "--json"]).await.json();
        assert_eq!((&answer["version"], &answer["needs_preview"]), (&2.into(), &false.into()), "{answer}");
        let settings = ["flow", "set", FLOW, "winner=vtiger", "Contacts.direction=to-vtiger", "--json"];
        let answer = ask(&workplace, &settings).await.json();
        assert_eq!((&answer["version"], &answer["needs_preview"]), (&3.into(), &true.into()), "{answer}");
        let exported = ask(&workplace, &["flow", "export", FLOW]).await.stdout;
        let comments = |text: &str| text.lines().filter_map(|line| line.split_once('#')).count();
        assert_eq!(comments(&exported), comments(&flow_file()), "{exported}");
        assert!(
            exported.contains("every = \"10 minutes\"") && exported.contains("winner       = \"vtiger\""),
            "{exported}"
        );
        let wrong = product().ask(&workplace.data(), &["flow", "set", FLOW, "winer=zoho", "--json"]).await.unwrap();
        assert_eq!((wrong.code, wrong.error_code().as_str()), (2, "flow.problems"), "{}", wrong.stdout);
        assert!(wrong.stdout.contains("did you mean `winner`?"), "{}", wrong.stdout);
        assert_eq!(
            ask(&workplace, &["flow", "export", FLOW]).await.stdout,
            exported,
            "a refused setting changed the flow"
        );
        let file = workplace.folder.path().join("out.toml").display().to_string();
        ask(&workplace, &["flow", "export", FLOW, "--file", &file]).await;
        ask(&workplace, &["flow", "check", &file]).await;
    });
}

#[test]
fn a_check_tells_owners_limits_and_how_safe_creates_are() {
    run(async {
        let workplace = workplace().await;
        let file = workplace.folder.path().join("p.toml").display().to_string();
        std::fs::write(&file, flow_file()).unwrap();
        let checked = ask(&workplace, &["flow", "check", &file, "--json"]).await.json();
        let outlook = &checked["outlook"];
        assert_eq!((&outlook[0]["connection"], &outlook[1]["connection"]), (&"zoho".into(), &"vtiger".into()));
        // Every five minutes, two lists at one side and one query at the other.
        assert_eq!((&outlook[0]["calls_a_day"], &outlook[1]["calls_a_day"]), (&576.into(), &288.into()), "{outlook}");
        assert!(outlook[0]["allowed_a_day"].as_u64().unwrap() >= 5_000, "{outlook}");
        assert_eq!(outlook[1]["creates"][0]["class"], "B", "{outlook}");
        let warnings = checked["warnings"].to_string();
        assert!(warnings.contains("values = {"), "{warnings}");
        let prepared = ask(&workplace, &["connection", "prepare", "vtiger", "Contacts"]).await.stdout;
        assert!(prepared.contains("1. In Vtiger open Settings") && prepared.contains("Contacts"), "{prepared}");
        let ready = ask(&workplace, &["connection", "prepare", "zoho", "Contacts"]).await.stdout;
        assert!(ready.contains("ready; `crmsync_key`"), "{ready}");
    });
}

#[test]
fn fields_are_shown_with_a_glance_at_real_values() {
    run(async {
        let workplace = workplace().await;
        for side in ["zoho", "vtiger"] {
            let fields =
                ask(&workplace, &["connection", "fields", side, "Contacts", "--sample", "--json"]).await.json();
            let filled = fields.as_array().unwrap().iter().filter(|field| field["values"][0].is_string()).count();
            assert!(filled > 10, "{side}: {fields}");
            let table = ask(&workplace, &["connection", "fields", side, "Contacts"]).await.stdout;
            assert!(table.starts_with("LABEL") && table.contains("one of "), "{table}");
        }
        let list = ask(&workplace, &["connection", "list", "--json"]).await.json();
        assert!(list[0]["checked"]["last"]["org_id"].is_string(), "{list}");
    });
}

#[test]
fn a_self_client_s_code_logs_in_without_a_browser() {
    run(async {
        let workplace = workplace().await;
        let url = workplace.crms.side(Side::Zoho).url.trim_end_matches('/').to_owned();
        let scopes = service::scopes(&workplace.app, LOCAL_TENANT, "zoho").await.unwrap().unwrap();
        let page = format!("{url}/oauth/self-client?scope={scopes}");
        let made = reqwest::Client::new().get(page).send().await.unwrap().text().await.unwrap();
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        let code = made["code"].as_str().unwrap();
        let report = ask(&workplace, &["connection", "login", "zoho", "--code", code, "--json"]).await.json();
        assert!(report["org_id"].as_str().is_some_and(|id| !id.is_empty()), "{report}");
        ask(&workplace, &["connection", "check", "zoho"]).await;
        let again = ["connection", "login", "zoho", "--code", code, "--json"];
        let again = product().ask(&workplace.data(), &again).await.unwrap();
        assert_eq!((again.code, again.error_code().as_str()), (1, "connection.login_refused"), "{}", again.stdout);
        assert!(
            again.stdout.contains("a code is good once") && again.stdout.contains("`zoho` at http"),
            "{}",
            again.stdout
        );
        ask(&workplace, &["connection", "check", "zoho"]).await;
        let none = ["connection", "login", "vtiger", "--code", "1000.x", "--json"];
        let none = product().ask(&workplace.data(), &none).await.unwrap();
        assert_eq!(none.error_code(), "connection.no_code_login");
    });
}

#[test]
fn the_five_fields_of_other_integrations_only_choose_a_data_centre() {
    run(async {
        let folder = Folder::make().unwrap();
        let app = App::open(folder.path().join("data")).unwrap();
        let manual = |auth: &str, token: &str, scope: &str| {
            let mut new = NewConnection { name: "zoho".into(), plugin: "zoho".into(), ..NewConnection::default() };
            new.secrets.insert("client_secret".into(), SecretString::from("secret"));
            for (name, value) in [("client_id", "1000.A"), ("auth_url", auth), ("token_url", token), ("scope", scope)] {
                new.settings.insert(name.into(), value.into());
            }
            new
        };
        let eu = "https://accounts.zoho.eu/oauth/v2";
        let mut new = manual(&format!("{eu}/auth"), &format!("{eu}/token"), "ZohoCRM.modules.ALL,ZohoCRM.users.READ");
        let notes = service::read_manual(&app, LOCAL_TENANT, &mut new).await.unwrap();
        assert_eq!(new.settings["data_centre"], "eu");
        assert_eq!(new.settings.keys().collect::<Vec<_>>(), ["client_id", "data_centre"], "no address is kept");
        assert!(notes.len() == 1 && notes[0].contains("ZohoCRM.org.READ"), "{notes:?}");
        service::add(&app, LOCAL_TENANT, new).await.unwrap();
        let login = service::Login::begin(&app, LOCAL_TENANT, "zoho", service::callback_address(1)).await.unwrap();
        assert_eq!(login.url.host_str(), Some("accounts.zoho.eu"));

        let us = "https://accounts.zoho.com/oauth/v2/auth";
        let mut mixed = manual(us, &format!("{eu}/token"), "");
        let notes = service::read_manual(&app, LOCAL_TENANT, &mut mixed).await.unwrap();
        assert_eq!(mixed.settings["data_centre"], "eu");
        assert!(notes[0].contains("`us`") && notes[0].contains("`eu`"), "{notes:?}");

        for (auth, code) in [
            ("https://accounts.zoho.example/oauth/v2/auth", "connection.unknown_data_centre"),
            ("https://accounts.zoho.com.evil.example/oauth/v2/auth", "connection.unknown_data_centre"),
            ("https://accounts.zoho.com:8443/oauth/v2/auth", "connection.unknown_data_centre"),
            ("http://accounts.zoho.com/oauth/v2/auth", "connection.unknown_data_centre"),
            ("https://accounts.zoho.com/elsewhere", "connection.address"),
            ("accounts.zoho.com", "connection.address"),
        ] {
            let refused = service::read_manual(&app, LOCAL_TENANT, &mut manual(auth, us, "")).await.unwrap_err();
            assert_eq!(refused.code, code, "{auth}: {}", refused.message);
        }
    });
}

#[test]
fn setup_writes_the_first_flow_without_a_terminal() {
    run(async {
        let workplace = workplace().await;
        let data = workplace.data();
        let nothing = product().ask(&data, &["setup", "--json"]).await.unwrap();
        assert_eq!((nothing.code, nothing.error_code().as_str()), (2, "setup.missing"), "{}", nothing.stdout);
        for missing in ["--name", "--between", "--winner", "zoho"] {
            assert!(nothing.stdout.contains(missing), "{missing}: {}", nothing.stdout);
        }
        let file = workplace.folder.path().join("sales.toml").display().to_string();
        let answers = workplace.folder.path().join("answers.toml");
        let text = format!(
            "between = [\"zoho\", \"vtiger\"]\nwinner = \"vtiger\"\nmodules = [\"Contacts\"]\ndirection = \"to-vtiger\"\nfile = {file:?}\n\
             fallback = {{ vtiger = \"office@acme.example\" }}\n"
        );
        std::fs::write(&answers, text).unwrap();
        let answers = answers.display().to_string();
        let done = ask(&workplace, &["setup", "--answers", &answers, "--name", "sales"]).await;
        assert!(done.stdout.contains("crmsync flow approve sales"), "{}", done.stdout);
        let written = std::fs::read_to_string(&file).unwrap();
        for part in ["winner       = \"vtiger\"", "direction = \"to-vtiger\"", "office@acme.example", "# "] {
            assert!(written.contains(part), "{part}: {written}");
        }
        let writes: u64 = workplace.crms.counts().await.unwrap().iter().map(|counts| counts.write).sum();
        assert_eq!(writes, 0, "a setup wrote to a CRM");
        let again = product().ask(&data, &["setup", "--answers", &answers, "--name", "sales", "--json"]).await.unwrap();
        assert_eq!((again.code, again.error_code().as_str()), (2, "setup.file"), "{}", again.stdout);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    });
}
