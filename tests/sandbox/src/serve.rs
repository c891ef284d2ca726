//! Starting and stopping a sandbox server, as a program of its own or inside a test.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::{Extension, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::control;
use crate::crm::{Crm, Shared};
use crate::faults::Faults;
use crate::gate::{self, Turns};
use crate::http::{Connection, Door};
use crate::people::{Counts, Families};
use crate::scenario::Scenario;
use crate::vtiger::Vtiger;
use crate::zoho::Zoho;

/// How a sandbox server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Live contacts to begin with.
    pub records: usize,
    /// Live organizations to begin with, instead of two for five contacts.
    pub organizations: Option<usize>,
    /// Live leads to begin with, instead of two for five contacts.
    pub leads: Option<usize>,
    /// So many families of whom both sides know somebody, instead of one simple family for forty contacts.
    pub families: Option<usize>,
    /// So many contacts that are twice on the other side, instead of three for five hundred.
    pub doubles: Option<usize>,
    /// Decides every name, id and secret: two servers with one seed and one count hold the two sides of one population.
    pub seed: u64,
    /// A named set of peculiarities, for example `default` or `plain`; the CRM's own module lists them.
    pub profile: String,
    /// A fault plan to begin with.
    pub faults: Option<PathBuf>,
    /// Zoho: the client id of the registered application, instead of one made from the seed.
    pub client_id: Option<String>,
    /// Zoho: its secret, instead of one made from the seed.
    pub client_secret: Option<String>,
    /// Zoho: the one registered redirect address, instead of any `http://127.0.0.1:<port>/callback`.
    pub redirect_uri: Option<String>,
}

impl Options {
    /// How many records each side begins with.
    pub fn counts(&self) -> Counts {
        let usual = Counts::of(self.records);
        Counts {
            contacts: self.records,
            organizations: self.organizations.unwrap_or(usual.organizations),
            leads: self.leads.unwrap_or(usual.leads),
            families: self.families.map_or(usual.families, Families::Mixed),
            doubles: self.doubles,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            records: 500,
            organizations: None,
            leads: None,
            families: None,
            doubles: None,
            seed: 1,
            profile: "default".to_owned(),
            faults: None,
            client_id: None,
            client_secret: None,
            redirect_uri: None,
        }
    }
}

/// Which story the seeded population belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Story {
    seed: u64,
    counts: Counts,
}

impl Story {
    /// The story itself.
    pub(crate) fn tell(self) -> Scenario {
        Scenario::of_all_modules(self.seed, self.counts)
    }
}

/// A server inside this process. Dropping it stops it: no new calls, idle connections closed, running calls finished.
pub struct Running {
    /// Where it answers, for example `http://127.0.0.1:40001`.
    pub url: String,
    /// What a person needs to log in; the same object as in the line that a server of its own prints.
    pub login: Value,
    /// The CRM itself, for tests that look at or edit its records without HTTP.
    pub crm: Arc<dyn Crm>,
    task: JoinHandle<io::Result<()>>,
    _stop: oneshot::Sender<()>,
}

/// Runs the Zoho sandbox until the process is killed; prints one line of JSON when it is ready.
///
/// # Errors
/// If the address cannot be listened on, or the profile or fault plan is not usable.
pub async fn zoho(options: Options) -> io::Result<()> {
    serve(start_zoho(options).await?).await
}

/// Runs the Vtiger sandbox until the process is killed; prints one line of JSON when it is ready.
///
/// # Errors
/// If the address cannot be listened on, or the profile or fault plan is not usable.
pub async fn vtiger(options: Options) -> io::Result<()> {
    serve(start_vtiger(options).await?).await
}

/// Starts the Zoho sandbox in this process.
///
/// # Errors
/// If the address cannot be listened on, or the profile or fault plan is not usable.
pub async fn start_zoho(options: Options) -> io::Result<Running> {
    start(&options, |shared, url| Ok(Arc::new(Zoho::open(&options, shared, url)?))).await
}

/// Starts the Vtiger sandbox in this process.
///
/// # Errors
/// If the address cannot be listened on, or the profile or fault plan is not usable.
pub async fn start_vtiger(options: Options) -> io::Result<Running> {
    start(&options, |shared, url| Ok(Arc::new(Vtiger::open(&options, shared, url)?))).await
}

async fn start(options: &Options, open: impl FnOnce(Shared, &str) -> io::Result<Arc<dyn Crm>>) -> io::Result<Running> {
    let listener = TcpListener::bind(options.listen).await.map_err(|error| {
        let hint =
            if error.kind() == io::ErrorKind::AddrInUse { "; choose another port, or 0 for a free one" } else { "" };
        io::Error::new(error.kind(), format!("listen on `{}`: {error}{hint}", options.listen))
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    let faults = options.faults.as_deref().map(Faults::from_file).transpose()?.unwrap_or_default();
    let crm = open(Shared { faults, ..Shared::default() }, &url)?;

    let story = Story { seed: options.seed, counts: options.counts() };
    let app = Router::new()
        .merge(control::routes())
        .layer(Extension(story))
        .fallback(gate::answer)
        .layer(Extension(Arc::new(Turns::default())))
        .with_state(Arc::clone(&crm))
        .into_make_service_with_connect_info::<Connection>();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(Door::new(listener), app).with_graceful_shutdown(async move {
        // Either a message or the sender's end means stop; both are the end of `Running`.
        stopped.await.ok();
    });
    let task = tokio::spawn(async move { server.await });
    Ok(Running { url, login: crm.login(), crm, task, _stop: stop })
}

async fn serve(running: Running) -> io::Result<()> {
    let Running { url, login, crm, task, _stop } = running;
    let line = json!({"ready": true, "crm": crm.name(), "url": url, "login": login});
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    task.await.map_err(io::Error::other)?
}
