//! A workplace: a data folder of its own, both sandbox CRMs connected and logged in, and a flow whose preview is approved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use crmsync::app::{App, LOCAL_TENANT, Plugins, Surroundings};
use crmsync::engine::{Preview, Progress, RunReport};
use crmsync::flow::{Document, Template};
use crmsync::service::{self, Failure, Login, NewConnection, RunRequest};
use crmsync::store::{JournalQuery, JournalRow, OutcomeRow};
use crmsync_sandbox::people::Side;
use secrecy::SecretString;

use crate::Outcome;
use crate::crms::{Crms, MODULE, SIDES, name};

/// The flow between both.
pub const FLOW: &str = "people";
/// Who owns records that nobody else can own: a user whom both sandboxes have.
const FALLBACK_OWNER: &str = "office@acme.example";
/// Where a CRM sends people back to; nothing listens there, the address is read from the redirect.
const CALLBACK_PORT: u16 = 1;

/// A folder that goes when this does, unless it is kept for a look.
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// A new folder under the system's folder for such things.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make() -> Outcome<Folder> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("crmsync-tests-{}-{number}", std::process::id()));
        // What an earlier process of this number left behind is nobody's any more.
        let _left_over = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).map_err(|error| format!("failed to make {}: {error}", path.display()))?;
        Ok(Folder { path, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it on the disk for a person to look into.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is in the system's folder for such things.
            let _left = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The workplace.
pub struct Workplace {
    /// Both CRMs.
    pub crms: Crms,
    /// The data folder.
    pub folder: Folder,
    /// The product inside this process, on the same data folder as the product's own processes.
    pub app: App,
    /// How far the clock of the product inside this process was moved.
    ahead_ms: Arc<AtomicI64>,
}

impl Workplace {
    /// Connects both CRMs and applies the flow; nothing is previewed yet.
    ///
    /// An unanswered write of these CRMs is certain after `quiesce_ms`.
    ///
    /// # Errors
    /// Something of it does not work.
    pub async fn open(crms: Crms, quiesce_ms: u64) -> Outcome<Workplace> {
        Workplace::with_modules(crms, quiesce_ms, &[MODULE]).await
    }

    /// The same with a flow of these modules, which both sides call alike.
    ///
    /// # Errors
    /// Something of it does not work.
    pub async fn with_modules(crms: Crms, quiesce_ms: u64, modules: &[&str]) -> Outcome<Workplace> {
        Workplace::with_file(crms, quiesce_ms, &flow_file_of(modules)).await
    }

    /// The same with this flow file.
    ///
    /// # Errors
    /// Something of it does not work.
    pub async fn with_file(crms: Crms, quiesce_ms: u64, file: &str) -> Outcome<Workplace> {
        let folder = Folder::make()?;
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let ahead = Arc::clone(&ahead_ms);
        let clock = Arc::new(move || now_ms() + ahead.load(Ordering::Relaxed));
        let app = App::open_in(folder.path().join("data"), Surroundings { clock, ..surroundings() })
            .map_err(|error| error.to_string())?;
        let workplace = Workplace { crms, folder, app, ahead_ms };
        for connection in workplace.connections(quiesce_ms) {
            service::add(&workplace.app, LOCAL_TENANT, connection).await.map_err(told)?;
        }
        workplace.log_in().await?;
        service::apply(&workplace.app, LOCAL_TENANT, "people.toml", file).await.map_err(told)?;
        Ok(workplace)
    }

    /// The clock of the product inside this process goes ahead; that of the CRMs, and of other processes, does not.
    pub fn later(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Hours pass, for both CRMs and for the product inside this process; not for its other processes.
    ///
    /// # Errors
    /// A sandbox does not answer.
    pub async fn hours_pass(&self, hours: i64) -> Outcome<()> {
        const HOUR_MS: i64 = 60 * 60 * 1_000;
        self.later(hours * HOUR_MS);
        self.crms.advance(hours * HOUR_MS).await
    }

    /// The data folder of the product.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Logs in at both sides the way a person does.
    ///
    /// # Errors
    /// A login fails.
    pub async fn log_in(&self) -> Outcome<()> {
        let callback = service::callback_address(CALLBACK_PORT);
        let login = Login::begin(&self.app, LOCAL_TENANT, name(Side::Zoho), callback).await.map_err(told)?;
        let location = self.crms.press_accept(&login.url).await?;
        let parameters = service::parse_callback(&location).map_err(told)?;
        login.finish(&parameters).await.map_err(told)?;
        service::login_with_session(&self.app, LOCAL_TENANT, name(Side::Vtiger)).await.map_err(told)?;
        Ok(())
    }

    /// Previews and approves, as a person who reads the preview and agrees.
    ///
    /// # Errors
    /// Either is refused.
    pub async fn preview_and_approve(&self) -> Outcome<Preview> {
        let preview = service::preview(&self.app, LOCAL_TENANT, FLOW, Arc::new(Silent)).await.map_err(told)?;
        service::approve(&self.app, LOCAL_TENANT, FLOW).await.map_err(told)?;
        Ok(preview)
    }

    /// One run in this process.
    ///
    /// # Errors
    /// As the product tells it.
    pub async fn run(&self, sweep: bool) -> Result<RunReport, Failure> {
        service::run(&self.app, LOCAL_TENANT, FLOW, RunRequest { sweep, ..RunRequest::default() }, Arc::new(Silent))
            .await
    }

    /// The whole sync log.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn log(&self) -> Outcome<Vec<JournalRow>> {
        let query = JournalQuery { most: usize::MAX, ..JournalQuery::default() };
        service::log(&self.app, LOCAL_TENANT, FLOW, query).await.map_err(told)
    }

    /// Records and fields that are not simply in step.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn outcomes(&self) -> Outcome<Vec<OutcomeRow>> {
        service::outcomes(&self.app, LOCAL_TENANT, FLOW).await.map_err(told)
    }

    fn connections(&self, quiesce_ms: u64) -> [NewConnection; 2] {
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let secret = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), SecretString::from(value))]);
        let quiesce_ms = quiesce_ms.to_string();
        SIDES.map(|side| {
            let crm = self.crms.side(side);
            let (settings, secrets, origins) = match side {
                Side::Zoho => (
                    texts(&[("client_id", crm.login("client_id")), ("quiesce_ms", &quiesce_ms)]),
                    secret("client_secret", crm.login("client_secret")),
                    texts(&[("accounts", &crm.url), ("api", &crm.url)]),
                ),
                Side::Vtiger => (
                    texts(&[("base_url", &crm.url), ("username", crm.login("username")), ("quiesce_ms", &quiesce_ms)]),
                    secret("access_key", crm.login("access_key")),
                    BTreeMap::new(),
                ),
            };
            NewConnection {
                name: name(side).into(),
                plugin: name(side).into(),
                settings,
                secrets,
                origins,
                addresses: vec![crm.address().to_owned()],
            }
        })
    }
}

/// Surroundings of every workplace of this process: its plugins are compiled once.
fn surroundings() -> Surroundings {
    static PLUGINS: LazyLock<Arc<Plugins>> = LazyLock::new(Arc::default);
    Surroundings { plugins: Arc::clone(&PLUGINS), ..Surroundings::default() }
}

/// The file of the flow of contacts.
pub fn flow_file() -> String {
    flow_file_of(&[MODULE])
}

/// The file of a flow of these modules.
pub fn flow_file_of(modules: &[&str]) -> String {
    Document::template(&Template {
        name: FLOW,
        between: SIDES.map(name),
        modules: &modules.iter().map(|module| [(*module).to_owned(), (*module).to_owned()]).collect::<Vec<_>>(),
        owner_fallback: [Some(FALLBACK_OWNER), Some(FALLBACK_OWNER)],
    })
}

/// The machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A failure in one line.
pub fn told(failure: Failure) -> String {
    format!("{}: {}", failure.code, failure.message)
}

/// Nobody watches.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str, _done: u64, _of: Option<u64>) {}
}
