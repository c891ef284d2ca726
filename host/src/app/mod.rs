//! The one place that knows all rooms: it builds them and joins them. Rooms that must not see each other meet here: the store keeps
//! secrets for the gate ([`vault`]), and sandboxed plugins stand behind the engine's traits ([`crm`], [`transforms`]).

mod convert;
mod crm;
mod ledger;
mod presence;
mod states;
mod transforms;
mod vault;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, OnceCell};
use url::Url;

pub use crm::PluginCrm;
use ledger::{Ledger, StoreRecorder, Terms};
use presence::Presence;
use states::States;
pub use transforms::PluginTransforms;
use vault::StoreVault;

use crate::egress::{
    Allowance, AuthSpec, BudgetSpec, Door, DraftVault, Gate, GateConfig, Grant, Limits as DoorLimits, Used, base_url,
};
use crate::runtime::capability::{Granted, effective};
use crate::runtime::manifest::Manifest;
use crate::runtime::types::FunctionInfo;
use crate::runtime::{CompiledCode, ConnectorPlugin, Plugin, Runtime, StateCache, TransformPlugin, bundled_manifest};
use crate::store::{BudgetRow, ConnectionRow, Sealer, Store, UsageRow};

/// The one tenant of a host that was not told of others.
pub const LOCAL_TENANT: &str = "local";
/// Requests of one connection under way at once, where the manifest asks for nothing.
const REQUESTS_PARALLEL: u32 = 4;
/// Longest time of one request where the manifest asks for nothing, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 30_000;

/// Why the host could not be built, or a plugin not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error("data folder `{path}`: {why}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        why: String,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] crate::store::Error),
    /// A plugin cannot be loaded.
    #[error("{0}")]
    Plugin(#[from] crate::runtime::Error),
    /// The gate refuses.
    #[error("failed to {0}")]
    Gate(#[from] crate::egress::Error),
    /// The plugin is there, but it is not what it is used as.
    #[error("plugin `{0}` is not a {1}")]
    WrongKind(String, &'static str),
    /// A stored or given address is not one.
    #[error("`{0}` is not an address: {1}")]
    Address(String, String),
}

/// Tells the time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the hosts of one process may have in common, and what a test puts in the place of the real thing.
#[derive(Clone)]
pub struct Surroundings {
    /// The clock.
    pub clock: Clock,
    /// Plugins that were loaded, as loading compiles them.
    pub plugins: Arc<Plugins>,
}

impl Default for Surroundings {
    fn default() -> Surroundings {
        Surroundings { clock: Arc::new(now_ms), plugins: Arc::default() }
    }
}

/// The sandbox and the plugins in it.
#[derive(Default)]
pub struct Plugins {
    /// Set up when a plugin is needed: what only asks the store works on a machine that cannot run the sandbox.
    runtime: OnceCell<Runtime>,
    loaded: Mutex<HashMap<String, Plugin>>,
}

/// A host: store, gate, plugins and a clock.
pub struct App {
    clock: Clock,
    store: Store,
    gate: Gate,
    presence: Presence,
    ledger: Arc<Ledger>,
    budgets: std::sync::Mutex<HashMap<String, Option<BudgetSpec>>>,
    plugins: Arc<Plugins>,
    states: States,
    /// Held open, so that sessions and tokens outlive one call.
    doors: Mutex<HashMap<String, Arc<Door>>>,
    data: PathBuf,
}

impl App {
    /// Opens the data folder, made for its owner only if it is not there.
    ///
    /// # Errors
    /// The folder or the database cannot be used.
    pub fn open(data: PathBuf) -> Result<App, Error> {
        App::open_in(data, Surroundings::default())
    }

    /// The same in other surroundings, so that a test need neither wait for hours to pass nor compile the plugins once more.
    ///
    /// # Errors
    /// See [`App::open`].
    pub fn open_in(data: PathBuf, surroundings: Surroundings) -> Result<App, Error> {
        let Surroundings { clock, plugins } = surroundings;
        use std::os::unix::fs::DirBuilderExt;
        let failed = |error: std::io::Error| Error::Folder { path: data.display().to_string(), why: error.to_string() };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&data).map_err(failed)?;
        let sealer = Sealer::from_file(&data.join("secret.key"))?;
        let store = Store::open(&data.join("crmsync.db"), sealer)?;
        let presence = Presence::announce(&data);
        let mut config = GateConfig::new({
            let clock = Arc::clone(&clock);
            Arc::new(move || clock().unsigned_abs())
        });
        let ledger = Arc::new(Ledger::new(store.clone(), Arc::clone(&clock)));
        config.budget = Arc::clone(&ledger) as _;
        config.recorder = Arc::new(StoreRecorder { store: store.clone() });
        config.holder = presence.holder().to_owned();
        let folder = data.clone();
        config.is_gone = Arc::new(move |holder| presence::is_gone(&folder, holder));
        let gate = Gate::new(config)?;
        Ok(App {
            clock,
            store,
            gate,
            presence,
            ledger,
            budgets: std::sync::Mutex::default(),
            plugins,
            states: States::default(),
            doors: Mutex::default(),
            data,
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where the gate keeps secrets.
    pub fn vault(&self) -> Arc<dyn crate::egress::Vault> {
        Arc::new(StoreVault::new(self.store.clone()))
    }

    /// The data folder.
    pub fn data(&self) -> &std::path::Path {
        &self.data
    }

    /// Names this process wherever it holds something that others wait for.
    pub fn holder(&self) -> &str {
        self.presence.holder()
    }

    /// Whether the process of this name is known to be gone.
    pub fn is_gone(&self, holder: &str) -> bool {
        presence::is_gone(&self.data, holder)
    }

    /// Now, in milliseconds since 1970. Only the application owns a clock.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// The clock, for those who are given it.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// Ids of the bundled plugins that speak to a CRM.
    pub async fn connectors(&self) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        for id in Runtime::bundled() {
            if let Plugin::Connector(_) = self.plugin(id).await? {
                ids.push(id.to_owned());
            }
        }
        Ok(ids)
    }

    /// The manifest of a connector plugin.
    pub async fn manifest(&self, plugin: &str) -> Result<Manifest, Error> {
        Ok(self.connector(plugin).await?.manifest().clone())
    }

    /// The gate's door of a connection, as it is granted now.
    pub async fn door(&self, tenant: &str, connection: &ConnectionRow) -> Result<Arc<Door>, Error> {
        let door = self.gate.door(self.grant(tenant, connection).await?, self.vault())?;
        self.doors.lock().await.insert(format!("{tenant}/{}", connection.name), Arc::clone(&door));
        Ok(door)
    }

    /// A door for a login, with the vault that keeps what the login gives until it is accepted.
    pub async fn door_for_login(
        &self,
        tenant: &str,
        connection: &ConnectionRow,
    ) -> Result<(Arc<Door>, Arc<DraftVault>), Error> {
        let draft = Arc::new(DraftVault::of(self.vault()));
        let vault: Arc<dyn crate::egress::Vault> = Arc::clone(&draft) as _;
        Ok((self.gate.door_for_login(self.grant(tenant, connection).await?, vault)?, draft))
    }

    /// Forgets the door of a connection, with its sessions and tokens in memory.
    pub async fn forget_door(&self, tenant: &str, connection: &str) {
        self.doors.lock().await.remove(&format!("{tenant}/{connection}"));
        self.states.forget(tenant, connection).await;
        self.gate.forget(tenant, connection);
    }

    /// What the CRM of a connection counts, and its edition as `check` told it, "" if nobody knows.
    ///
    /// # Errors
    /// The plugin is not there.
    pub fn budget_terms(&self, connection: &ConnectionRow) -> Result<(String, String), Error> {
        let terms = self.terms(connection)?;
        Ok((terms.spec.map_or_else(|| "calls".to_owned(), |spec| spec.unit), terms.edition))
    }

    /// The editions that the plugin of a connection knows budgets of.
    ///
    /// # Errors
    /// The plugin is not there.
    pub fn editions(&self, connection: &ConnectionRow) -> Result<Vec<String>, Error> {
        Ok(self.terms(connection)?.spec.map(|spec| spec.editions.into_keys().collect()).unwrap_or_default())
    }

    /// The budget in force of a connection and what was used of it, from what is stored.
    ///
    /// # Errors
    /// The plugin is not there.
    pub fn budget_of(
        &self,
        connection: &ConnectionRow,
        set: &BudgetRow,
        rows: &[UsageRow],
    ) -> Result<(Allowance, Used), Error> {
        Ok((ledger::allowance(&self.terms(connection)?, set), ledger::used(set, rows)))
    }

    /// Stores what this process has called so far, for all who look.
    pub async fn tell_usage(&self) {
        self.ledger.tell().await;
    }

    /// What connections called through this process, by (tenant, connection).
    pub async fn call_counts(&self) -> BTreeMap<String, crate::egress::Counters> {
        self.doors.lock().await.iter().map(|(key, door)| (key.clone(), door.counters())).collect()
    }

    fn terms(&self, connection: &ConnectionRow) -> Result<Terms, Error> {
        let mut budgets = self.budgets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let spec = match budgets.get(&connection.plugin) {
            Some(known) => known.clone(),
            None => {
                let spec = bundled_manifest(&connection.plugin)?.budget;
                budgets.insert(connection.plugin.clone(), spec.clone());
                spec
            }
        };
        let checked: serde_json::Value = serde_json::from_str(&connection.checked).unwrap_or_default();
        let edition = checked["last"]["edition"].as_str().unwrap_or_default().to_owned();
        Ok(Terms { spec, edition })
    }

    async fn grant(&self, tenant: &str, connection: &ConnectionRow) -> Result<Grant, Error> {
        self.ledger.introduce(tenant, &connection.name, self.terms(connection)?).await;
        let plugin = self.connector(&connection.plugin).await?;
        let manifest = plugin.manifest();
        let auth: AuthSpec = manifest
            .auth
            .first()
            .cloned()
            .ok_or_else(|| Error::WrongKind(connection.plugin.clone(), "plugin that says how to log in"))?;
        let limits = manifest.limits.unwrap_or(DoorLimits {
            requests_parallel: REQUESTS_PARALLEL,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            requests_per_minute: None,
        });
        Ok(Grant {
            tenant: tenant.to_owned(),
            connection: connection.name.clone(),
            version: connection.grant_version.unsigned_abs(),
            plugin: connection.plugin.clone(),
            origins: effective(manifest, &Granted::all_of(manifest))?,
            auth,
            settings: connection.settings.clone(),
            origin_overrides: parse_origins(&connection.origins)?,
            addresses: parse_addresses(&connection.addresses)?,
            secret_fields: manifest.secret_fields.clone(),
            limits,
        })
    }

    /// The CRM behind a connection.
    pub async fn crm(&self, tenant: &str, connection: &ConnectionRow) -> Result<PluginCrm, Error> {
        let door = self.door(tenant, connection).await?;
        let plugin = self.connector(&connection.plugin).await?;
        let state = self.states.of(&self.store, tenant, connection).await?;
        Ok(PluginCrm::new(plugin.instance(door, state), self.clock()))
    }

    /// The same, for those who want to know what the CRM says of itself now: the plugin remembers nothing.
    pub async fn crm_anew(&self, tenant: &str, connection: &ConnectionRow) -> Result<PluginCrm, Error> {
        self.states.begin_anew(tenant, connection).await;
        self.crm(tenant, connection).await
    }

    /// Keeps what connectors keep for themselves for the processes that come after this one.
    pub async fn keep_states(&self, tenant: &str) -> Result<(), Error> {
        Ok(self.states.keep(&self.store, tenant, self.now_ms()).await?)
    }

    /// The CRM behind a connection, through a door for a login.
    pub async fn crm_through(&self, connection: &ConnectionRow, door: Arc<Door>) -> Result<PluginCrm, Error> {
        let plugin = self.connector(&connection.plugin).await?;
        Ok(PluginCrm::new(plugin.instance(door, Arc::new(StateCache::new())), self.clock()))
    }

    /// The bundled transforms with their functions, as (plugin, function).
    pub async fn transforms(&self) -> Result<(PluginTransforms, Vec<(String, FunctionInfo)>), Error> {
        let mut plugins = BTreeMap::new();
        let mut functions = Vec::new();
        for id in Runtime::bundled() {
            if let Plugin::Transform(plugin) = self.plugin(id).await? {
                functions.extend(plugin.functions().await?.into_iter().map(|function| (id.to_owned(), function)));
                plugins.insert(id.to_owned(), plugin);
            }
        }
        Ok((PluginTransforms::new(plugins), functions))
    }

    /// One bundled transform plugin, for benchmarks and tools that call it directly.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn transform(&self, id: &str) -> Result<TransformPlugin, Error> {
        match self.plugin(id).await? {
            Plugin::Transform(plugin) => Ok(plugin),
            Plugin::Connector(_) => Err(Error::WrongKind(id.to_owned(), "transform")),
        }
    }

    /// One bundled connector plugin.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn connector(&self, id: &str) -> Result<ConnectorPlugin, Error> {
        match self.plugin(id).await? {
            Plugin::Connector(plugin) => Ok(plugin),
            Plugin::Transform(_) => Err(Error::WrongKind(id.to_owned(), "connector")),
        }
    }

    /// Whether it is safe to believe compiled code depends on a key that only this host has.
    fn compiled_code(&self) -> CompiledCode {
        CompiledCode::new(self.data.join("compiled"), self.store.key_for("compiled code"))
    }

    async fn plugin(&self, id: &str) -> Result<Plugin, Error> {
        let mut plugins = self.plugins.loaded.lock().await;
        if let Some(plugin) = plugins.get(id) {
            return Ok(plugin.clone());
        }
        let runtime = self.plugins.runtime.get_or_try_init(async || Runtime::new(Some(self.compiled_code()))).await?;
        let plugin = runtime.load_bundled(id).await?;
        plugins.insert(id.to_owned(), plugin.clone());
        Ok(plugin)
    }
}

/// The machine's clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Origins that an operator pointed elsewhere.
///
/// # Errors
/// One of them is not an address that paths can be put below.
pub fn parse_origins(origins: &BTreeMap<String, String>) -> Result<BTreeMap<String, Url>, Error> {
    let parse = |(name, text): (&String, &String)| match base_url(text) {
        Ok(url) => Ok((name.clone(), url)),
        Err(reason) => Err(Error::Address(text.clone(), reason)),
    };
    origins.iter().map(parse).collect()
}

/// Granted addresses.
///
/// # Errors
/// One of them is not `address:port`.
pub fn parse_addresses(addresses: &[String]) -> Result<Vec<SocketAddr>, Error> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            Error::Address(text.clone(), "a grant is an IP address and a port, such as 127.0.0.1:8080".into())
        })
    };
    addresses.iter().map(parse).collect()
}
