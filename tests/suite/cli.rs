//! The command line from outside: exit codes, error documents, what to do next, and that nothing changes where something was refused.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crmsync_tests::crms::{Crms, SIDES};
use crmsync_tests::product::{Answer, finish};
use crmsync_tests::snapshot;
use crmsync_tests::workplace::{FLOW, Folder, Workplace, flow_file};

use crate::product::{product, run};

const QUIESCE_MS: u64 = 700;

async fn ask(data: &Path, arguments: &[&str]) -> Answer {
    product().ask(data, arguments).await.unwrap()
}

/// Refused with this exit code and this code, as a JSON document.
async fn refused(data: &Path, arguments: &[&str], exit: i32, code: &str) -> String {
    let with_json: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let answer = ask(data, &with_json).await;
    assert_eq!(
        (answer.code, answer.error_code().as_str()),
        (exit, code),
        "{arguments:?}: {} {}",
        answer.stdout,
        answer.stderr
    );
    let error = &answer.json()["error"];
    format!("{} | {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap())
}

async fn workplace() -> Workplace {
    let crms = Crms::here(20, 3).await.unwrap();
    Workplace::open(crms, QUIESCE_MS).await.unwrap()
}

fn file(workplace: &Workplace, text: &str) -> String {
    let path = workplace.folder.path().join("other.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn help_is_as_agreed() {
    run(async {
        let answer = ask(Path::new("/"), &["--help"]).await;
        assert_eq!(answer.code, 0);
        snapshot::check(
            &PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/suite/snapshots/help.txt"),
            &answer.stdout,
        );
    });
}

#[test]
fn arguments_that_nobody_knows_are_wrong_input() {
    run(async {
        for arguments in [
            &["flow", "rum"][..],
            &["demo", "--records", "1"],
            &["connection", "add", "x", "--plugin", "y", "--set", "z"],
        ] {
            let answer = ask(Path::new("/"), arguments).await;
            assert_eq!(answer.code, 2, "{arguments:?}: {}", answer.stderr);
            assert!(answer.stdout.is_empty() && !answer.stderr.is_empty(), "{arguments:?}");
        }
    });
}

#[test]
fn wrong_arguments_are_a_document_for_programs() {
    run(async {
        for arguments in [
            &["flow", "rum"][..],
            &["demo", "--records", "1"],
            &["connection", "add", "x"],
            &["log", "sales", "--action", "creatd"],
        ] {
            let story = refused(Path::new("/"), arguments, 2, "arguments.wrong").await;
            assert!(story.len() > 20 && !story.starts_with("error:"), "{story}");
        }
        let story = refused(Path::new("/"), &["log", "sales", "--action", "creatd"], 2, "arguments.wrong").await;
        assert!(story.contains("created"), "{story}");
    });
}

/// Eight gigabytes of address space: enough for everything but the sandbox.
#[test]
fn a_machine_without_room_for_the_sandbox_is_told() {
    run(async {
        let folder = Folder::make().unwrap();
        let limited = async |arguments: &[&str]| {
            let mut command = tokio::process::Command::new("sh");
            command
                .args(["-c", "ulimit -v 8000000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_crmsync")])
                .args(arguments);
            command.env("CRMSYNC_DATA", folder.path()).stdout(std::process::Stdio::piped());
            finish(&mut command, arguments).await.unwrap()
        };
        let list = limited(&["connection", "list", "--json"]).await;
        assert_eq!((list.code, list.json()), (0, serde_json::json!([])), "{}", list.stderr);
        let add = limited(&["connection", "add", "x", "--plugin", "vtiger", "--json"]).await;
        assert_eq!((add.code, add.error_code().as_str()), (3, "host.sandbox"), "{}", add.stdout);
        assert!(add.json()["error"]["hint"].as_str().unwrap().contains("ulimit -v unlimited"), "{}", add.stdout);
    });
}

#[test]
fn a_wrong_flow_file_is_told_with_place_and_nearest_name() {
    run(async {
        let workplace = workplace().await;
        let data = workplace.data();
        let flows_before = ask(&data, &["flow", "list", "--json"]).await.stdout;
        let wrong_key = file(&workplace, &flow_file().replace("winner ", "winer "));
        let line = 1 + flow_file().lines().position(|line| line.starts_with("winner")).unwrap();
        let story = refused(&data, &["flow", "apply", &wrong_key], 2, "flow.problems").await;
        assert!(story.contains(&format!("{wrong_key}:{line}:")) && story.contains("winner"), "{story}");

        let custom = "\n[[module.field]]\nzoho = \"Titel\"\nvtiger = \"title\"\n";
        let unknown_field = file(&workplace, &(flow_file() + custom));
        let line = 1 + (flow_file() + custom).lines().position(|line| line.contains("Titel")).unwrap();
        let story = refused(&data, &["flow", "apply", &unknown_field], 2, "flow.problems").await;
        assert!(story.contains(&format!("{unknown_field}:{line}:")) && story.contains("`Title`"), "{story}");

        refused(&data, &["flow", "check", "/nowhere/sales.toml"], 2, "flow.file").await;
        assert_eq!(ask(&data, &["flow", "list", "--json"]).await.stdout, flows_before, "a refused file changed a flow");
    });
}

#[test]
fn unknown_names_are_told_with_the_known_ones() {
    run(async {
        let workplace = workplace().await;
        let data = workplace.data();
        let story = refused(&data, &["flow", "run", "peeple"], 2, "flow.unknown").await;
        assert!(story.contains(FLOW), "{story}");
        let story = refused(&data, &["connection", "check", "zohoo"], 2, "connection.unknown").await;
        assert!(story.contains("zoho, ") || story.contains(", zoho"), "{story}");
        let story = refused(&data, &["connection", "fields", "zoho", "Contact"], 2, "connection.unknown_module").await;
        assert!(story.contains("Contacts"), "{story}");
        let story =
            refused(&data, &["connection", "add", "x", "--plugin", "hubspot"], 2, "connection.unknown_plugin").await;
        assert!(story.contains("vtiger"), "{story}");
        refused(&data, &["connection", "remove", "zoho"], 2, "connection.in_use").await;
    });
}

#[test]
fn nothing_runs_without_an_approval() {
    run(async {
        let workplace = workplace().await;
        let data = workplace.data();
        let story = refused(&data, &["flow", "run", FLOW], 1, "flow.not_approved").await;
        assert!(story.contains("flow preview") && story.contains("flow approve"), "{story}");
        refused(&data, &["flow", "approve", FLOW], 1, "flow.no_preview").await;
        assert_eq!(ask(&data, &["flow", "preview", FLOW]).await.code, 0);
        refused(&data, &["flow", "run", FLOW], 1, "flow.not_approved").await;
        let writes: u64 = workplace.crms.counts().await.unwrap().iter().map(|counts| counts.write).sum();
        assert_eq!(writes, 0, "something was written without an approval");

        let answer = ask(&data, &["flow", "run", FLOW]).await;
        assert_eq!(answer.code, 1);
        assert!(answer.stdout.is_empty(), "{}", answer.stdout);
        assert!(answer.stderr.contains("error: ") && answer.stderr.contains("fix: "), "{}", answer.stderr);
        assert_eq!(ask(&data, &["flow", "approve", FLOW]).await.code, 0);
        assert_eq!(ask(&data, &["flow", "run", FLOW]).await.code, 0);
    });
}

#[test]
fn a_crm_that_is_not_there_is_the_environment_s_fault() {
    run(async {
        let workplace = workplace().await;
        workplace.preview_and_approve().await.unwrap();
        let data = workplace.data();
        // The data folder outlives its CRMs.
        let Workplace { crms, folder, app, .. } = workplace;
        drop((crms, app));
        let story = refused(&data, &["flow", "run", FLOW], 3, "connection.unreachable").await;
        assert!(story.contains("check"), "{story}");
        refused(&data, &["connection", "check", "vtiger"], 3, "connection.unreachable").await;
        let flows = ask(&data, &["flow", "list", "--json"]).await;
        assert_eq!(flows.json()[0]["approved"], true, "the flow is as it was: {}", flows.stdout);
        let shown = ask(&data, &["flow", "show", FLOW]).await;
        assert_eq!((shown.code, shown.stdout.trim_end()), (0, flow_file().trim_end()), "{}", shown.stderr);
        drop(folder);
    });
}

#[test]
fn a_port_in_use_is_told() {
    run(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for kind in SIDES.map(crmsync_tests::crms::name) {
            let story = refused(Path::new("/"), &["sandbox", kind, "--listen", &address], 3, "sandbox.start").await;
            assert!(story.contains(&address), "{story}");
        }
    });
}

#[test]
fn a_secret_that_nobody_gives_is_asked_for_and_nothing_is_kept() {
    run(async {
        let folder = Folder::make().unwrap();
        let add = ["connection", "add", "crm", "--plugin", "vtiger", "--set", "base_url=https://crm.acme.example"];
        let with_secret: Vec<&str> =
            add.into_iter().chain(["--set", "username=admin", "--secret", "access_key"]).collect();
        let story = refused(folder.path(), &with_secret, 2, "connection.secret").await;
        assert!(story.contains("CRMSYNC_SECRET_ACCESS_KEY"), "{story}");
        let story = refused(folder.path(), &add, 2, "connection.missing_setting").await;
        assert!(story.contains("username"), "{story}");
        let list = ask(folder.path(), &["connection", "list", "--json"]).await;
        assert_eq!(list.json(), serde_json::json!([]), "{}", list.stdout);
    });
}

#[test]
fn a_data_folder_that_cannot_be_made_is_told() {
    run(async {
        refused(Path::new("/dev/null/data"), &["flow", "list"], 3, "data.folder").await;
    });
}
