//! The command line: arguments, output, exit codes. It does nothing that an API could not do too: every command calls the service room.
//!
//! Data goes to stdout, everything else to stderr; `--json` gives one document. Exit codes: 0 done, 1 failed, 2 wrong input,
//! 3 environment.

mod args;
mod attention;
mod connection;
mod demo;
mod flow;
mod listing;
mod output;
mod process;
mod progress;
mod quota;
mod sandbox;
mod serve;
mod setup;
pub mod table;
mod undo;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::service::Failure;
use args::{Arguments, Command};
use output::Output;

/// What still runs after the answer (a name that is being looked up, a login that is at its end) has so long to finish.
const SHUTDOWN_TIME: Duration = Duration::from_millis(500);

/// Runs one command line; the first argument is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::keep_memory_private();
    let given: Vec<OsString> = arguments.into_iter().collect();
    let wants_json = given.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let arguments = match Arguments::try_parse_from(given) {
        Ok(arguments) => arguments,
        // Help and version are answers, everything else is wrong input.
        Err(error) if wants_json && error.use_stderr() => {
            return Output { json: true }.failure(&wrong_arguments(&error));
        }
        Err(error) => {
            let _written = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let output = Output { json: arguments.json };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.failure(&Failure::environment("host.runtime", error.to_string(), "")),
    };
    trace();
    let code = match runtime.block_on(until_interrupted(arguments, output)) {
        Ok(code) => code,
        Err(failure) => output.failure(&failure),
    };
    runtime.shutdown_timeout(SHUTDOWN_TIME);
    code
}

/// What the parser of arguments says, as a failure like every other.
fn wrong_arguments(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let mut parts = text.trim_start_matches("error: ").splitn(2, "\n\n");
    let message = parts.next().unwrap_or_default().trim().to_owned();
    let hint = parts.next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    Failure::input("arguments.wrong", message, hint)
}

/// A person who presses Ctrl-C, or a service manager that stops us, is told how things stand. What runs for its own sake ends by itself.
async fn until_interrupted(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    let runs_until_stopped = matches!(arguments.command, Command::Sandbox(_) | Command::Demo(_) | Command::Serve(_));
    let stopped = async {
        let mut terminated = signal(SignalKind::terminate()).ok()?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.ok(),
            received = terminated.recv() => received,
        }
    };
    tokio::select! {
        code = dispatch(arguments, output) => code,
        Some(()) = stopped, if !runs_until_stopped => {
            Err(Failure::failed("host.interrupted", "interrupted", "nothing is lost: the same command goes on from here"))
        }
    }
}

async fn dispatch(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Demo(options) => return demo::run(options, output).await,
        Command::Sandbox(options) => return sandbox::run(options).await,
        Command::Setup(options) => return setup::run(&open(arguments.data)?, options, output).await,
        Command::Serve(options) => return serve::run(open(arguments.data)?, options, output).await,
        Command::Quota(options) => quota::run(&open(arguments.data)?, options, output).await?,
        Command::Connection(command) => connection::run(&open(arguments.data)?, command, output).await?,
        Command::Flow(command) => return flow::run(&open(arguments.data)?, command, output).await,
        Command::Log(options) => flow::log(&open(arguments.data)?, options, output).await?,
        Command::Attention(command) => attention::run(&open(arguments.data)?, command, output).await?,
        Command::Link(options) => attention::link(&open(arguments.data)?, options, output).await?,
        Command::Unlink(options) => attention::unlink(&open(arguments.data)?, options, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn open(data: Option<std::path::PathBuf>) -> Result<App, Failure> {
    let folder = match data.or_else(default_folder) {
        Some(folder) => folder,
        None => {
            return Err(Failure::environment("data.folder", "there is no home folder", "name a folder with --data"));
        }
    };
    Ok(App::open(folder)?)
}

/// `$XDG_DATA_HOME/crmsync`, else `~/.local/share/crmsync`.
fn default_folder() -> Option<std::path::PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("crmsync"))
}

/// Operators see warnings; `CRMSYNC_LOG=debug` shows more.
fn trace() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CRMSYNC_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).finish();
    // Somebody who embeds us may have set one already; theirs stays.
    let _kept = tracing::subscriber::set_global_default(subscriber);
}
