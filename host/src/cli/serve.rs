//! `crmsync serve`: flows run by themselves until somebody stops it.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::args::ServeArguments;
use super::output::Output;
use crate::app::App;
use crate::service::{Failure, ServeOptions, Served};

pub(super) async fn run(app: App, arguments: ServeArguments, output: Output) -> Result<ExitCode, Failure> {
    let options = ServeOptions {
        listen: arguments.listen,
        allow_remote: arguments.allow_remote,
        every_ms: arguments.every_s.map(|seconds| i64::from(seconds) * 1_000),
        grace: Duration::from_secs(arguments.grace_s.into()),
    };
    let served = Served::listen(app, options).await?;
    let address = served.address;
    // Before anybody can know that it serves: who stops it at once wants it to end well, too.
    let (first, second) = (stopped()?, stopped()?);
    output.answer(&json!({ "address": format!("http://{address}") }), |_| {
        format!("crmsync serves at http://{address}; Ctrl-C stops it")
    });
    let stop = async move {
        first.received().await;
        output.note("stopping: no run begins any more; again to stop at once");
        tokio::spawn(async move {
            // The first signal came here, too.
            let mut second = second;
            second.next().await;
            second.next().await;
            std::process::exit(1);
        });
    };
    let cut_off = served.run(stop).await?;
    if cut_off > 0 {
        output.note(&format!("{cut_off} runs were cut off; nothing is lost, they go on after the next start"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C, or a service manager's signal.
struct Stopped {
    pressed: tokio::signal::unix::Signal,
    terminated: tokio::signal::unix::Signal,
}

fn stopped() -> Result<Stopped, Failure> {
    let failed = |error: std::io::Error| Failure::environment("host.signals", error.to_string(), "");
    Ok(Stopped {
        pressed: signal(SignalKind::interrupt()).map_err(failed)?,
        terminated: signal(SignalKind::terminate()).map_err(failed)?,
    })
}

impl Stopped {
    async fn received(mut self) {
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.pressed.recv() => {}
            _ = self.terminated.recv() => {}
        }
    }
}
