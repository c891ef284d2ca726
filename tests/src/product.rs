//! The product as a process of its own: started with arguments, asked for its answer, or killed in the middle.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

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

    /// Starts one command with these settings in its environment, to be killed or frozen in the middle.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(&self, data: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Outcome<Process> {
        let mut command = self.command(arguments);
        let mut child = spawn(command.env("CRMSYNC_DATA", data).envs(settings.iter().copied()), arguments)?;
        let (mut stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdout = tokio::spawn(async move {
            let mut text = String::new();
            if let Some(stdout) = &mut stdout {
                // A killed process leaves half an answer, which nobody reads.
                let _cut = stdout.read_to_string(&mut text).await;
            }
            text
        });
        let (alive, signs) = watch::channel(None);
        let stderr = tokio::spawn(async move {
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
        });
        Ok(Process { child, what: arguments.join(" "), began: Instant::now(), signs, stdout, stderr })
    }

    /// Runs one command and kills it with SIGKILL at the moment, unless it ends earlier.
    ///
    /// # Errors
    /// The process cannot be started, or hangs before it shows a sign of life.
    pub async fn ask_and_kill(&self, data: &Path, arguments: &[&str], moment: Moment) -> Outcome<Ended> {
        let mut process = self.start(data, &[], arguments)?;
        let doom = process.moment(moment);
        match process.runs_until(doom).await? {
            true => process.kill().await.map(|()| Ended::Killed),
            false => process.end().await,
        }
    }
}

/// A process of the product that was started and not waited for; it ends with this.
pub struct Process {
    child: Child,
    what: String,
    began: Instant,
    /// When it first said something on standard error.
    signs: watch::Receiver<Option<Instant>>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Process {
    /// Comes when the moment does. For a process that ends before it shows a sign of life it may never come.
    pub fn moment(&self, moment: Moment) -> impl Future<Output = ()> + use<> {
        let (mut signs, began) = (self.signs.clone(), self.began);
        async move {
            if moment.after_sign_of_life {
                // The answer is dropped at once: while it is held, the sender waits.
                if signs.wait_for(Option::is_some).await.map(drop).is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(moment.delay).await;
            } else {
                tokio::time::sleep_until((began + moment.delay).into()).await;
            }
        }
    }

    /// Waits for something, unless the process ends earlier: whether it still runs.
    ///
    /// # Errors
    /// It hangs.
    pub async fn runs_until(&mut self, something: impl Future<Output = ()>) -> Outcome<bool> {
        tokio::select! {
            status = self.child.wait() => {
                status.map(|_| false).map_err(|error| format!("failed to wait for `{}`: {error}", self.what))
            }
            () = something => Ok(true),
            () = tokio::time::sleep(HANGS_AFTER) => Err(format!("`{}` hangs", self.what)),
        }
    }

    /// Stops it where it stands with SIGSTOP, like a laptop that is closed or a host that swaps.
    ///
    /// # Errors
    /// It is gone.
    pub fn freeze(&self) -> Outcome<()> {
        signal(&self.child, libc::SIGSTOP)
    }

    /// Lets it go on with SIGCONT.
    ///
    /// # Errors
    /// It is gone.
    pub fn wake(&self) -> Outcome<()> {
        signal(&self.child, libc::SIGCONT)
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(mut self) -> Outcome<()> {
        self.child.kill().await.map_err(|error| format!("failed to kill `{}`: {error}", self.what))
    }

    /// Waits for its own end and gives its answer.
    ///
    /// # Errors
    /// It hangs; says what it has said until then.
    pub async fn end(mut self) -> Outcome<Ended> {
        let code = match tokio::time::timeout(HANGS_AFTER, self.child.wait()).await {
            Ok(status) => status.map_err(|error| format!("failed to wait for `{}`: {error}", self.what))?.code(),
            Err(_) => {
                self.child.kill().await.map_err(|error| format!("failed to kill `{}`: {error}", self.what))?;
                let said = self.stderr.await.unwrap_or_default();
                return Err(format!("`{}` hangs; it has said: {}", self.what, said.trim()));
            }
        };
        let worked = self.signs.borrow().map_or(Duration::ZERO, |since| since.elapsed());
        let (stdout, stderr) = (self.stdout.await.unwrap_or_default(), self.stderr.await.unwrap_or_default());
        Ok(Ended::ByItself { answer: Answer { code: code.unwrap_or(-1), stdout, stderr, peak_rss_mib: 0.0 }, worked })
    }
}

/// Sends a signal to a process of ours.
///
/// # Errors
/// It is gone.
pub(crate) fn signal(process: &Child, signal: i32) -> Outcome<()> {
    let id = process.id().and_then(|id| i32::try_from(id).ok()).ok_or("it is gone already")?;
    #[expect(
        unsafe_code,
        reason = "a signal to our own child, whose number is not given to another one before we wait for it"
    )]
    let sent = unsafe { libc::kill(id, signal) };
    if sent == 0 { Ok(()) } else { Err("the signal cannot be sent".into()) }
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
