//! The service that runs flows by itself: it joins the scheduler with what a run is, and answers on this machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::failure::Failure;
use super::operator;
use super::schedule::{self, Watched};
use super::tally::Tally;
use super::{api, flows};
use crate::app::{App, LOCAL_TENANT};
use crate::engine::Progress;
use crate::scheduler::{self, Board, Cause, Flow, Office, Standing, Turn};

/// Where the service of a data folder is announced.
const ANNOUNCED: &str = "serve.json";
/// How often the service asks whether old rows are to be removed.
const HOUSE_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How often a command looks whether another run of its flow is over.
const BUSY_LOOK: Duration = Duration::from_millis(250);

/// How the service runs.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// It may listen on other addresses than loopback.
    pub allow_remote: bool,
    /// All flows run so often, whatever their files say, in milliseconds.
    pub every_ms: Option<i64>,
    /// How long runs that are going on may take to end once it is stopped.
    pub grace: Duration,
}

/// A service that listens, and does not run anything yet.
pub struct Served {
    service: Arc<Service>,
    listener: TcpListener,
    token: String,
    options: ServeOptions,
    /// Where it answers.
    pub address: SocketAddr,
}

/// What the answers are made from.
pub(super) struct Service {
    pub(super) app: Arc<App>,
    pub(super) board: Arc<Board>,
    pub(super) tally: Tally,
    /// What each run is doing now.
    doing: Mutex<BTreeMap<String, String>>,
    every_ms: Option<i64>,
}

/// What is announced in the data folder.
#[derive(Deserialize, Serialize)]
struct Announced {
    holder: String,
    address: SocketAddr,
}

impl Served {
    /// Takes the address.
    ///
    /// # Errors
    /// It is not on this machine only, it is taken, or a service runs in this data folder already.
    pub async fn listen(app: App, options: ServeOptions) -> Result<Served, Failure> {
        if !options.listen.ip().is_loopback() && !options.allow_remote {
            return Err(Failure::input(
                "serve.not_loopback",
                format!(
                    "{} can be reached from other machines, and there is no user management yet: the status page shows \
                     everybody what is synced",
                    options.listen
                ),
                "listen on 127.0.0.1 and come through a tunnel, or add `--allow-remote` if only people whom you trust can reach it",
            ));
        }
        if let Some(address) = running_at(&app) {
            return Err(Failure::environment(
                "serve.running",
                format!("a service runs in this data folder already, at http://{address}"),
                "stop it first, or choose another folder with --data",
            ));
        }
        let listener = TcpListener::bind(options.listen).await.map_err(|error| {
            Failure::environment(
                "serve.listen",
                format!("cannot listen on {}: {error}", options.listen),
                "choose another address with --listen",
            )
        })?;
        let address = listener.local_addr().unwrap_or(options.listen);
        let token = api::read_or_make_token(app.data())?;
        announce(app.data(), &Announced { holder: app.holder().to_owned(), address })?;
        let service = Arc::new(Service {
            app: Arc::new(app),
            board: Arc::default(),
            tally: Tally::default(),
            doing: Mutex::default(),
            every_ms: options.every_ms,
        });
        Ok(Served { service, listener, token, options, address })
    }

    /// Runs flows and answers until `stop` comes. Gives how many runs were cut off, as they did not end in time.
    ///
    /// # Errors
    /// It cannot answer any more.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<usize, Failure> {
        let Served { service, listener, token, options, .. } = self;
        for complaint in operator::misread() {
            tracing::warn!("{complaint}");
        }
        let router = api::router(Arc::clone(&service), token);
        let answering = async move {
            let failed = axum::serve(listener, router).await.err().map(|error| error.to_string());
            Failure::environment("serve.listen", failed.unwrap_or_default(), "start it again")
        };
        let office: Arc<dyn Office> = Arc::clone(&service) as _;
        let board = Arc::clone(&service.board);
        let folder = service.app.data().to_owned();
        let keeping = keep_house(Arc::clone(&service));
        let outcome = tokio::select! {
            never = keeping => match never {},
            left = scheduler::serve(office, board, stop, options.grace) => Ok(left),
            failure = answering => Err(failure),
        };
        let _gone = std::fs::remove_file(folder.join(ANNOUNCED));
        outcome
    }
}

impl Service {
    /// All flows and how they stand.
    pub(super) async fn watched(&self) -> Result<Vec<(Watched, Standing)>, Failure> {
        let running = self.board.running();
        let now_ms = self.app.now_ms();
        let watched = schedule::watch(&self.app, LOCAL_TENANT, self.every_ms).await?;
        let stands = |watched: Watched| {
            let runs = running.iter().any(|run| run.flow == watched.flow.name);
            let standing = watched.standing(runs, now_ms);
            (watched, standing)
        };
        Ok(watched.into_iter().map(stands).collect())
    }

    /// What a run is doing now.
    pub(super) fn doing(&self, flow: &str) -> Option<String> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).get(flow).cloned()
    }
}

impl Office for Service {
    fn now_ms(&self) -> i64 {
        self.app.now_ms()
    }

    fn look(&self) -> BoxFuture<'_, Result<Vec<Flow>, String>> {
        Box::pin(async {
            let watched = schedule::watch(&self.app, LOCAL_TENANT, self.every_ms).await;
            let watched = watched.map_err(|failure| failure.message)?;
            Ok(watched.into_iter().map(|watched| watched.flow).collect())
        })
    }

    fn run(&self, turn: Turn) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (name, started_at_ms) = (&turn.flow, self.app.now_ms());
            tracing::info!(flow = %name, asked = turn.cause == Cause::Asked, "a run begins");
            let progress = Arc::new(Doing::default());
            let telling = Arc::clone(&progress);
            let run = schedule::run_unattended(&self.app, LOCAL_TENANT, name, turn.cause, telling);
            let outcome = tokio::select! {
                outcome = run => outcome,
                never = self.tell(name, &progress) => match never {},
            };
            self.doing.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            self.tally.note(name, outcome.as_ref().ok(), self.app.now_ms() - started_at_ms);
            match &outcome {
                Ok(report) => {
                    for alarm in &report.alarms {
                        tracing::warn!(flow = %name, run = report.run, %alarm, "a run raised an alarm");
                    }
                    tracing::info!(flow = %name, run = report.run, took_ms = report.took_ms, "a run is done");
                }
                Err(failure) => tracing::warn!(flow = %name, code = failure.code, "a run failed: {}", failure.message),
            }
        })
    }
}

impl Service {
    /// Keeps what a run is doing where the status page looks.
    async fn tell(&self, flow: &str, progress: &Doing) -> std::convert::Infallible {
        loop {
            let step = progress.step.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.doing.lock().unwrap_or_else(PoisonError::into_inner).insert(flow.to_owned(), step);
            tokio::time::sleep(BUSY_LOOK).await;
        }
    }
}

/// The step that a run told last.
#[derive(Default)]
struct Doing {
    step: Mutex<String>,
}

impl Progress for Doing {
    fn step(&self, what: &str, done: u64, of: Option<u64>) {
        let text = match of {
            Some(of) if of > 0 => format!("{what}: {done} of {of}"),
            _ if done > 0 => format!("{what}: {done}"),
            _ => what.to_owned(),
        };
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// Removes what is old, also when no flow runs.
async fn keep_house(service: Arc<Service>) -> std::convert::Infallible {
    loop {
        match super::upkeep::remove_old(&service.app, LOCAL_TENANT).await {
            Ok(Some(removed)) => tracing::info!(?removed, "old rows are removed"),
            Ok(None) => {}
            Err(failure) => tracing::warn!("old rows could not be removed: {}", failure.message),
        }
        tokio::time::sleep(HOUSE_PAUSE).await;
    }
}

/// Where the service of this data folder answers, if one runs.
pub fn running_at(app: &App) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(app.data().join(ANNOUNCED)).ok()?;
    let announced: Announced = serde_json::from_str(&text).ok()?;
    (announced.holder != app.holder() && !app.is_gone(&announced.holder)).then_some(announced.address)
}

fn announce(folder: &Path, announced: &Announced) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(ANNOUNCED);
    let failed = |error: std::io::Error| {
        Failure::environment("data.folder", format!("{}: {error}", path.display()), "check the data folder")
    };
    let options = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
    let mut file = options.open(&path).map_err(failed)?;
    file.write_all(serde_json::to_string(announced).unwrap_or_default().as_bytes()).map_err(failed)
}

/// A run that a person waits for. While another run of the flow goes on, for example one of the service in this data folder, it waits
/// its turn for as long as `patience` says.
///
/// # Errors
/// As [`flows::run`]; busy only when the patience is over.
pub async fn run_when_free(
    app: &App,
    name: &str,
    request: flows::RunRequest,
    patience: Duration,
    progress: Arc<dyn Progress>,
) -> Result<crate::engine::RunReport, Failure> {
    let until = tokio::time::Instant::now() + patience;
    loop {
        // An asked-for run of the service would only be repeated by this one.
        match flows::run(app, LOCAL_TENANT, name, request, Arc::clone(&progress)).await {
            Err(failure) if failure.code == "flow.busy" && tokio::time::Instant::now() < until => {
                progress.step("wait for the run that is going on", 0, None);
                tokio::time::sleep(BUSY_LOOK).await;
            }
            outcome => return outcome,
        }
    }
}
