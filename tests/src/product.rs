//! The product as a process of its own: started with arguments, asked for its answer, or killed in the middle.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Outcome;

/// A process that has not ended by itself after this time hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Time between two looks at the memory of a process.
const WEIGHED_EVERY: Duration = Duration::from_millis(25);

/// How the product is started.
#[derive(Clone, Debug)]
pub struct Product {
    program: PathBuf,
    first: Option<&'static str>,
}

/// What a process answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The most memory that it took, in MiB, as it was seen now and then; 0 if nobody looked.
    pub peak_rss_mib: f64,
}

impl Answer {
    /// The JSON document on standard output; null if there is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }

    /// The code of the error document, "" if the process did not fail.
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Counted from the first sign of life on standard error, not from the start.
    pub after_sign_of_life: bool,
    /// So long afterwards.
    pub delay: Duration,
}

/// How a process ended that was to be killed.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It was faster.
    ByItself {
        /// What it answered.
        answer: Answer,
        /// How long it went on after its first sign of life.
        worked: Duration,
    },
    /// It was killed.
    Killed,
}

impl Product {
    /// The program at this path.
    pub fn at(program: impl Into<PathBuf>) -> Product {
        Product { program: program.into(), first: None }
    }

    /// This very program, which becomes the product when its first argument is `crmsync`.
    ///
    /// # Errors
    /// The system does not tell where this program is.
    pub fn this_program() -> Outcome<Product> {
        let program = std::env::current_exe().map_err(|error| format!("failed to find this program: {error}"))?;
        Ok(Product { program, first: Some("crmsync") })
    }

    /// A command that does not inherit our input or our settings, and whose process ends with us.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(self.first)
            .args(arguments)
            .env_remove("CRMSYNC_DATA")
            .env_remove("CRMSYNC_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs one command to its end in a data folder.
    ///
    /// # Errors
    /// The process cannot be started, or hangs.
    pub async fn ask(&self, data: &Path, arguments: &[&str]) -> Outcome<Answer> {
        self.ask_within(data, arguments, HANGS_AFTER).await
    }

    /// The same for a command with much to do, which may take so long.
    ///
    /// # Errors
    /// The process cannot be started, or hangs.
    pub async fn ask_within(&self, data: &Path, arguments: &[&str], limit: Duration) -> Outcome<Answer> {
        finish_within(self.command(arguments).env("CRMSYNC_DATA", data), arguments, limit).await
    }

    /// Runs one command and kills it with SIGKILL at the moment, unless it ends earlier.
    ///
    /// # Errors
    /// The process cannot be started, or hangs before it shows a sign of life.
    pub async fn ask_and_kill(&self, data: &Path, arguments: &[&str], moment: Moment) -> Outcome<Ended> {
        let mut child = spawn(self.command(arguments).env("CRMSYNC_DATA", data), arguments)?;
        let began = Instant::now();
        let (mut stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading = async {
            let mut text = String::new();
            if let Some(stdout) = &mut stdout {
                // A killed process leaves half an answer, which nobody reads.
                let _cut = stdout.read_to_string(&mut text).await;
            }
            text
        };
        let (alive, mut signs) = tokio::sync::watch::channel(None);
        let watching = async {
            let mut text = String::new();
            let mut lines = stderr.map(|stderr| BufReader::new(stderr).lines());
            while let Some(lines) = &mut lines
                && let Ok(Some(line)) = lines.next_line().await
            {
                alive.send_if_modified(|since| since.is_none() && since.replace(Instant::now()).is_none());
                text.push_str(&line);
                text.push('\n');
            }
            text
        };
        let ending = async {
            let doom = async {
                if moment.after_sign_of_life {
                    // The sender outlives this wait; a process without a sign of life is found by the limit below. The answer is
                    // dropped at once: while it is held, the sender waits.
                    drop(signs.wait_for(Option::is_some).await);
                    tokio::time::sleep(moment.delay).await;
                } else {
                    tokio::time::sleep_until((began + moment.delay).into()).await;
                }
            };
            tokio::select! {
                status = child.wait() => return status.map(|status| Some(status.code().unwrap_or(-1))),
                () = doom => {}
                () = tokio::time::sleep(HANGS_AFTER) => {}
            }
            child.kill().await.map(|()| None)
        };
        let (stdout, stderr, code) = tokio::join!(reading, watching, ending);
        match code.map_err(|error| format!("failed to kill `{}`: {error}", arguments.join(" ")))? {
            Some(code) => {
                let worked = alive.borrow().map_or(Duration::ZERO, |since| since.elapsed());
                Ok(Ended::ByItself { answer: Answer { code, stdout, stderr, peak_rss_mib: 0.0 }, worked })
            }
            None if began.elapsed() >= HANGS_AFTER => {
                Err(format!("`{}` hangs; it has said: {}", arguments.join(" "), stderr.trim()))
            }
            None => Ok(Ended::Killed),
        }
    }
}

/// Runs a prepared command to its end.
///
/// # Errors
/// The process cannot be started, or hangs.
pub async fn finish(command: &mut Command, arguments: &[&str]) -> Outcome<Answer> {
    finish_within(command, arguments, HANGS_AFTER).await
}

async fn finish_within(command: &mut Command, arguments: &[&str], limit: Duration) -> Outcome<Answer> {
    let child = spawn(command, arguments)?;
    let pid = child.id().unwrap_or_default();
    let mut peak: f64 = 0.0;
    let weighing = async {
        loop {
            peak = peak.max(peak_rss_mib(pid));
            tokio::time::sleep(WEIGHED_EVERY).await;
        }
    };
    let running = async {
        tokio::select! {
            output = child.wait_with_output() => output,
            never = weighing => never,
        }
    };
    let output = tokio::time::timeout(limit, running)
        .await
        .map_err(|_| format!("`{}` hangs", arguments.join(" ")))?
        .map_err(|error| format!("failed to wait for `{}`: {error}", arguments.join(" ")))?;
    Ok(Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        peak_rss_mib: peak,
    })
}

fn spawn(command: &mut Command, arguments: &[&str]) -> Outcome<Child> {
    command.spawn().map_err(|error| format!("failed to start `{}`: {error}", arguments.join(" ")))
}

/// The most memory that a process has taken by now, in MiB; 0 once it is gone. What the system tells of a process that has ended is no use:
/// it counts what ours took when it was started.
fn peak_rss_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or_default() / 1_024.0
}
