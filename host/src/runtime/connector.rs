//! Typed calls of a connector. An instance is kept between calls for its caches and dropped with everything in it after any trap,
//! time-out or cancellation; the next call starts a fresh one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Store, UpdateDeadline};

use super::bindings::connector as bindings;
use super::bindings::connector::exports::crmsync::plugin::connector as wit;
use super::engine::slot;
use super::error::{Error, Site};
use super::lent::Lent;
use super::limits::{
    ANSWERS_HELD_MAX, BATCH_COLUMNS_MAX, BATCH_ROWS_MAX, CHECK_REQUESTS_MAX, COUNT_REQUESTS_MAX, CallLimits,
    ComponentLimits, DESCRIBE_REQUESTS_MAX, FETCH_IDS_MAX, FIND_VALUES_MAX, HOST_CALL_BYTES_MAX, PUSH_REQUESTS_EXTRA,
    READ_REQUESTS_MAX, USERS_REQUESTS_MAX,
};
use super::manifest::Manifest;
use super::meter::Meter;
use super::state::StateCache;
use super::types::{
    CheckReport, Cursor, Fault, Fetched, FieldInfo, Found, ModuleInfo, Operation, Page, PushReport, PushRequest, User,
};
use crate::egress::{Admissions, Door};

/// What the CRM said: an answer, or a typed fault. Errors of the plugin itself are [`Error`].
pub type Answered<T> = Result<T, Fault>;

/// A loaded connector: compiled and linked once, instantiated as often as needed. Cheap to clone.
#[derive(Clone)]
pub struct ConnectorPlugin {
    loaded: Arc<Loaded>,
}

struct Loaded {
    name: Arc<str>,
    manifest: Arc<Manifest>,
    limits: ComponentLimits,
    call_limits: CallLimits,
    pre: bindings::ConnectorPluginPre<Lent>,
    instances: Arc<Semaphore>,
}

impl ConnectorPlugin {
    pub(super) fn new(
        manifest: Arc<Manifest>,
        limits: ComponentLimits,
        pre: bindings::ConnectorPluginPre<Lent>,
        instances: Arc<Semaphore>,
    ) -> ConnectorPlugin {
        let (name, call_limits) = (Arc::from(manifest.id.as_str()), CallLimits::of(manifest.class));
        ConnectorPlugin { loaded: Arc::new(Loaded { name, manifest, limits, call_limits, pre, instances }) }
    }

    /// What the plugin says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.loaded.manifest
    }

    /// The same plugin under other limits of a call, such as short ones in tests.
    #[must_use]
    pub fn with_call_limits(&self, call_limits: CallLimits) -> ConnectorPlugin {
        let loaded = &self.loaded;
        ConnectorPlugin {
            loaded: Arc::new(Loaded {
                name: Arc::clone(&loaded.name),
                manifest: Arc::clone(&loaded.manifest),
                limits: loaded.limits,
                call_limits,
                pre: loaded.pre.clone(),
                instances: Arc::clone(&loaded.instances),
            }),
        }
    }

    /// A connector for one connection. Nothing runs before its first call; one call runs at a time, so a run that wants to
    /// pull side by side takes several.
    pub fn instance(&self, door: Arc<Door>, state: Arc<StateCache>) -> Connector {
        Connector { loaded: Arc::clone(&self.loaded), door, state, alive: None }
    }
}

/// One connection's use of a connector.
pub struct Connector {
    loaded: Arc<Loaded>,
    door: Arc<Door>,
    state: Arc<StateCache>,
    alive: Option<Alive>,
}

/// An instance between two calls.
struct Alive {
    store: Store<Lent>,
    guest: bindings::ConnectorPlugin,
    meter: Arc<Meter>,
    _slot: OwnedSemaphorePermit,
}

/// What one call is given.
pub(super) struct Call {
    /// The host's clock at the start of the call, milliseconds since 1970.
    pub(super) now_ms: i64,
    /// Set for `push` only.
    pub(super) admissions: Option<Arc<dyn Admissions>>,
}

impl Connector {
    /// Tells who and where we are, and names missing permissions.
    ///
    /// # Errors
    /// Every breach of a running guest; see [`Error`]. The same holds for all calls.
    pub async fn check(&mut self, now_ms: i64) -> Result<Answered<CheckReport>, Error> {
        let answer =
            self.call("check", now_ms, CHECK_REQUESTS_MAX, async |guest, store| guest.call_check(store).await).await?;
        self.accept("check", answer, |site, report| site.check_report(report))
    }

    /// The modules that can be synced for this login.
    ///
    /// # Errors
    /// See [`Connector::check`].
    pub async fn modules(&mut self, now_ms: i64) -> Result<Answered<Vec<ModuleInfo>>, Error> {
        let answer = self
            .call("modules", now_ms, DESCRIBE_REQUESTS_MAX, async |guest, store| guest.call_modules(store).await)
            .await?;
        self.accept("modules", answer, |site, modules| site.modules(modules))
    }

    /// The fields of a module.
    ///
    /// # Errors
    /// See [`Connector::check`].
    pub async fn describe(&mut self, now_ms: i64, module: &str) -> Result<Answered<Vec<FieldInfo>>, Error> {
        let answer = self
            .call("describe", now_ms, DESCRIBE_REQUESTS_MAX, async |guest, store| {
                guest.call_describe(store, module).await
            })
            .await?;
        self.accept("describe", answer, |site, fields| site.fields(fields))
    }

    /// Users and groups who may own records.
    ///
    /// # Errors
    /// See [`Connector::check`].
    pub async fn users(&mut self, now_ms: i64) -> Result<Answered<Vec<User>>, Error> {
        let answer =
            self.call("users", now_ms, USERS_REQUESTS_MAX, async |guest, store| guest.call_users(store).await).await?;
        self.accept("users", answer, |site, users| site.users(users))
    }

    /// How many records of a module the login can see; none if the CRM does not tell.
    ///
    /// # Errors
    /// See [`Connector::check`].
    pub async fn count(&mut self, now_ms: i64, module: &str) -> Result<Answered<Option<u64>>, Error> {
        let answer = self
            .call("count", now_ms, COUNT_REQUESTS_MAX, async |guest, store| guest.call_count(store, module).await)
            .await?;
        self.accept("count", answer, |_, count| Ok(count))
    }

    /// At most one page of changes after the cursor; none starts a full scan.
    ///
    /// # Errors
    /// See [`Connector::check`].
    pub async fn pull(
        &mut self,
        now_ms: i64,
        module: &str,
        fields: &[String],
        after: Option<&Cursor>,
    ) -> Result<Answered<Page>, Error> {
        let after = after.map(|cursor| wit::Cursor { format: cursor.format, data: cursor.data.clone() });
        let answer = self
            .call("pull", now_ms, READ_REQUESTS_MAX, async |guest, store| {
                guest.call_pull(store, module, fields, after.as_ref()).await
            })
            .await?;
        self.accept("pull", answer, |site, page| site.page(page))
    }

    /// Records by id, up to [`FETCH_IDS_MAX`]. With no fields it only tells which exist. An id named twice is asked for once.
    ///
    /// # Errors
    /// See [`Connector::check`]; [`Error::TooLarge`] for more ids.
    pub async fn fetch(
        &mut self,
        now_ms: i64,
        module: &str,
        ids: &[String],
        fields: &[String],
    ) -> Result<Answered<Fetched>, Error> {
        if ids.len() > FETCH_IDS_MAX {
            return Err(self.site("fetch").too_large("ids of a fetch", ids.len(), FETCH_IDS_MAX));
        }
        let answer = self
            .call("fetch", now_ms, READ_REQUESTS_MAX + ids.len() as u32, async |guest, store| {
                guest.call_fetch(store, module, ids, fields).await
            })
            .await?;
        self.accept("fetch", answer, |site, fetched| site.fetched(fetched, ids))
    }

    /// Records whose key field has one of these values, up to [`FIND_VALUES_MAX`].
    ///
    /// # Errors
    /// See [`Connector::check`]; [`Error::TooLarge`] for more values.
    pub async fn find(
        &mut self,
        now_ms: i64,
        module: &str,
        key_field: &str,
        values: &[String],
        fields: &[String],
    ) -> Result<Answered<Found>, Error> {
        if values.len() > FIND_VALUES_MAX {
            return Err(self.site("find").too_large("values of a find", values.len(), FIND_VALUES_MAX));
        }
        let answer = self
            .call("find", now_ms, READ_REQUESTS_MAX, async |guest, store| {
                guest.call_find(store, module, key_field, values, fields).await
            })
            .await?;
        self.accept("find", answer, |site, found| site.found(found, values.len()))
    }

    /// Writes rows. `admissions` is asked before each write leaves (rule 1). After an error the outcome of every admitted row is
    /// unknown; rows that were not admitted were not sent.
    ///
    /// # Errors
    /// See [`Connector::check`]; also when the request itself is malformed, and then nothing was sent.
    pub async fn push(
        &mut self,
        now_ms: i64,
        admissions: Arc<dyn Admissions>,
        request: PushRequest,
    ) -> Result<Answered<PushReport>, Error> {
        let rows = request.rows.len();
        self.check_push(&request)?;
        let request = wit::PushRequest::from(request);
        let requests_max = rows as u32 + PUSH_REQUESTS_EXTRA;
        let call = Call { now_ms, admissions: Some(admissions) };
        let answer =
            self.run("push", call, requests_max, async |guest, store| guest.call_push(store, &request).await).await?;
        self.accept("push", answer, |site, report| site.push_report(report, rows))
    }

    /// Drops the instance with all that it remembers; the next call starts a fresh one.
    pub fn forget(&mut self) {
        self.alive = None;
    }

    /// Processor time of the last call that was not stopped.
    pub fn last_cpu(&self) -> Duration {
        self.alive.as_ref().map_or(Duration::ZERO, |alive| alive.meter.cpu())
    }

    fn check_push(&self, request: &PushRequest) -> Result<(), Error> {
        let site = self.site("push");
        if request.rows.len() > BATCH_ROWS_MAX {
            return Err(site.too_large("rows of a push", request.rows.len(), BATCH_ROWS_MAX));
        }
        if request.columns.len() > BATCH_COLUMNS_MAX {
            return Err(site.too_large("columns of a push", request.columns.len(), BATCH_COLUMNS_MAX));
        }
        let well_formed =
            request.values.check(request.columns.len()).is_ok_and(|view| view.rows() == request.rows.len());
        if well_formed { Ok(()) } else { Err(site.bad_request("the values to push do not fit their rows and columns")) }
    }

    async fn call<T>(
        &mut self,
        export: &'static str,
        now_ms: i64,
        requests_max: u32,
        run: impl AsyncFnOnce(&wit::Guest, &mut Store<Lent>) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        self.run(export, Call { now_ms, admissions: None }, requests_max, run).await
    }

    /// Runs one call. The instance is out of `self` meanwhile: whoever drops this future drops the instance with it.
    async fn run<T>(
        &mut self,
        export: &'static str,
        call: Call,
        requests_max: u32,
        run: impl AsyncFnOnce(&wit::Guest, &mut Store<Lent>) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        let mut alive = match self.alive.take() {
            Some(alive) => alive,
            None => Alive::start(&self.loaded, &self.door, &self.state, export).await?,
        };
        let deadline = Duration::from_millis(self.loaded.call_limits.deadline_ms);
        alive.store.data_mut().open(&call, requests_max, deadline);
        alive.store.set_epoch_deadline(1);
        let Alive { store, guest, meter, .. } = &mut alive;
        let outcome = meter.run(run(guest.crmsync_plugin_connector(), store)).await;
        let site = self.site(export);
        let answer = outcome.map_err(|breach| site.breach(breach))?.map_err(|error| site.stopped(&error, 0))?;
        alive.store.data_mut().close();
        self.alive = Some(alive);
        Ok(answer)
    }

    /// Turns an answer into host data. An answer that breaks the contract also ends the instance that gave it.
    fn accept<T, U>(
        &mut self,
        export: &'static str,
        answer: Result<T, wit::Fault>,
        accept: impl FnOnce(Site<'_>, T) -> Result<U, Error>,
    ) -> Result<Answered<U>, Error> {
        let site = Site { plugin: &self.loaded.name, call: export };
        let accepted = match answer {
            Ok(value) => accept(site, value).map(Ok),
            Err(fault) => Ok(Err(site.fault(fault))),
        };
        if accepted.is_err() {
            self.alive = None;
        }
        accepted
    }

    fn site(&self, export: &'static str) -> Site<'_> {
        Site { plugin: &self.loaded.name, call: export }
    }
}

impl Alive {
    /// Starts an instance; waits while as many as the pool holds are alive.
    async fn start(
        loaded: &Loaded,
        door: &Arc<Door>,
        state: &Arc<StateCache>,
        export: &'static str,
    ) -> Result<Alive, Error> {
        let site = Site { plugin: &loaded.name, call: export };
        let slot = slot(&loaded.instances, site).await?;
        let meter = Arc::new(Meter::new(loaded.call_limits));
        let (name, door, state) = (Arc::clone(&loaded.name), Arc::clone(door), Arc::clone(state));
        let lent = Lent::new(name, &loaded.limits, Arc::clone(&meter), door, state);
        let mut store = Store::new(loaded.pre.engine(), lent);
        store.limiter(|lent| &mut lent.ceiling);
        store.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
        store.set_max_component_handles(ANSWERS_HELD_MAX);
        store.set_epoch_deadline(1);
        // Every tick asks the meter; within the budget the guest lets others run and goes on.
        let ticking = Arc::clone(&meter);
        store.epoch_deadline_callback(move |_| {
            ticking.check_cpu()?;
            Ok(UpdateDeadline::Yield(1))
        });
        let guest = meter
            .run(loaded.pre.instantiate_async(&mut store))
            .await
            .map_err(|breach| site.breach(breach))?
            .map_err(|error| site.stopped(&error, 0))?;
        Ok(Alive { store, guest, meter, _slot: slot })
    }
}

impl From<PushRequest> for wit::PushRequest {
    fn from(request: PushRequest) -> wit::PushRequest {
        let row = |row: super::types::PushRow| wit::PushRow {
            op: match row.op {
                Operation::Create => wit::Operation::Create,
                Operation::Update => wit::Operation::Update,
                Operation::Delete => wit::Operation::Delete,
            },
            id: row.id,
            version: row.version,
            key: row.key,
        };
        wit::PushRequest {
            module: request.module,
            columns: request.columns.into_iter().map(Into::into).collect(),
            rows: request.rows.into_iter().map(row).collect(),
            values: request.values.into(),
            automations: request.automations,
            options: request.options,
        }
    }
}
