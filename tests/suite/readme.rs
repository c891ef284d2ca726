//! The README's table, from the steps of the help article to commands: every command is run as it is written, in its order, against two
//! sandbox CRMs, and shows what the table says.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crmsync_sandbox::people::Side;
use crmsync_tests::crms::Crms;
use crmsync_tests::workplace::Folder;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::product::{product, run};

const README: &str = include_str!("../../README.md");
/// The heading above the table.
const HEADING: &str = "## From the help article to commands";
/// Addresses that the README gives to the two sandboxes.
const ADDRESSES: [&str; 2] = ["127.0.0.1:8081", "127.0.0.1:8082"];
/// A command that has not ended after this time hangs.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// One row of the table.
struct Step {
    what: String,
    command: String,
    /// Words that the command's output has.
    shows: Vec<String>,
}

fn steps() -> Vec<Step> {
    let section = README.split(HEADING).nth(1).expect("the README has the table");
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let ticked = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [what, commands, sees] = cells[..] else { panic!("three cells: {row}") };
        let commands = ticked(commands);
        let last = commands.len() - 1;
        commands.into_iter().enumerate().map(move |(index, command)| Step {
            what: what.to_owned(),
            command,
            shows: if index == last { ticked(sees) } else { vec![] },
        })
    })
    .collect()
}

/// The environment of the README: its data folder, its secrets, and `crmsync` by its name.
struct Shell {
    data: PathBuf,
    work: PathBuf,
    exports: Vec<(String, String)>,
    addresses: [String; 2],
}

impl Shell {
    fn command(&self, line: &str) -> Command {
        let mut line = line.to_owned();
        for (written, real) in ADDRESSES.iter().zip(&self.addresses) {
            line = line.replace(written, real);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_crmsync")).parent().unwrap().display().to_string();
        let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]).current_dir(&self.work);
        command.env("PATH", path).env("CRMSYNC_DATA", &self.data).envs(self.exports.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs one command; gives everything that it says.
    async fn ask(&self, step: &Step) -> String {
        let running = self.command(&step.command).spawn().unwrap().wait_with_output();
        let output =
            tokio::time::timeout(HANGS_AFTER, running).await.unwrap_or_else(|_| panic!("{} hangs", step.command));
        let output = output.unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: `{}` fails:\n{said}", step.what, step.command);
        said
    }

    /// A login at a consent page, with somebody at the browser.
    async fn log_in(&self, step: &Step, crms: &Crms) -> String {
        let mut child = self.command(&step.command).spawn().unwrap();
        let (mut said, address) = until(&mut child, |line| {
            line.split_whitespace()
                .find(|word| word.starts_with("http://") && word.contains("/oauth/"))
                .map(str::to_owned)
        })
        .await;
        let location = crms.press_accept(&Url::parse(&address).unwrap()).await.unwrap();
        crms.visit(&location).await.unwrap();
        let output = tokio::time::timeout(HANGS_AFTER, child.wait_with_output()).await.unwrap().unwrap();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "`{}` fails: {said}", step.command);
        said
    }

    /// A command that goes on until it is stopped.
    async fn serve(&self, step: &Step) -> String {
        let mut child = self.command(&step.command).spawn().unwrap();
        let (said, _) = until(&mut child, |line| line.contains("http://").then(String::new)).await;
        let stop = Command::new("kill").args(["-TERM", &child.id().unwrap().to_string()]).status().await.unwrap();
        assert!(stop.success());
        let status = tokio::time::timeout(HANGS_AFTER, child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "`{}` does not end well: {status}", step.command);
        said
    }
}

/// Reads both outputs of a process until a line has what is looked for.
async fn until(child: &mut Child, found: impl Fn(&str) -> Option<String>) -> (String, String) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    let looking = async {
        loop {
            let line = tokio::select! {
                Ok(Some(line)) = stderr.next_line() => line,
                Ok(Some(line)) = stdout.next_line() => line,
                else => panic!("it ended: {said}"),
            };
            said.push_str(&line);
            said.push('\n');
            if let Some(found) = found(&line) {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(HANGS_AFTER, looking).await.expect("it says what is waited for");
    // What it says later is read on, so that no pipe fills.
    tokio::spawn(async move {
        let _ended = stderr.into_inner().read_to_end(&mut Vec::new()).await;
    });
    child.stdout = Some(stdout.into_inner().into_inner());
    (said, found)
}

/// `export NAME=value` lines of the README.
fn exports() -> Vec<(String, String)> {
    let lines = README.lines().filter_map(|line| line.trim().strip_prefix("export CRMSYNC_SECRET_"));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (format!("CRMSYNC_SECRET_{name}"), value.to_owned())).collect()
}

#[test]
fn every_command_of_the_table_does_what_it_says() {
    run(async {
        let crms = Crms::processes(&product(), 60, 1).await.unwrap();
        let folder = Folder::make().unwrap();
        let shell = Shell {
            data: folder.path().join("data"),
            work: folder.path().to_owned(),
            exports: exports(),
            addresses: [Side::Zoho, Side::Vtiger].map(|side| crms.side(side).address().to_owned()),
        };
        let steps = steps();
        assert!(steps.len() > 15, "the table has {} commands", steps.len());
        for step in &steps {
            let said = match step.command.as_str() {
                "crmsync connection login zoho" => shell.log_in(step, &crms).await,
                command if command.starts_with("crmsync serve") => shell.serve(step).await,
                _ => shell.ask(step).await,
            };
            for shows in &step.shows {
                assert!(said.contains(shows.as_str()), "{}: `{}` shows no `{shows}`:\n{said}", step.what, step.command);
            }
        }
        // The README's own flow file is a good one.
        let mut blocks = README.split("```toml").map(|rest| rest.split("```").next().unwrap_or_default());
        let file = blocks.find(|block| block.contains("name    = \"sales\"")).expect("a flow file");
        std::fs::write(shell.work.join("readme.toml"), file).unwrap();
        let command = "crmsync flow check readme.toml".to_owned();
        let said = shell.ask(&Step { what: "the README's flow file".into(), command, shows: vec![] }).await;
        assert!(said.contains("readme.toml is good"), "{said}");
    });
}
