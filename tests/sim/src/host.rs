//! The hosts of a world: two processes over one database, each of which runs a flow under a lease, is killed, or freezes and goes on with
//! an old fencing token.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crmsync::engine::{
    self, CallError, CopyOf, FirstSync, Limits, MarkSetup, OwnerTable, PairSetup, Preview, Progress, RunOptions,
    RunReport, RunSetup, SideSetup, TransformStep, Transformed, Transforms,
};
use crmsync::store::{Lease, Sealer, Store};
use crmsync_core::{DeletePolicy, Direction, LeavePolicy, Policy, Side, Value};
use futures_util::future::BoxFuture;

use crate::crm::MODULE;
use crate::line::{Line, Weather};
use crate::pulse::{Counted, Driven, End, Pulse};
use crate::world::{FLOWS, MARK, MARK_FIELD, World};

/// How long a lease lasts without renewal.
const LEASE_MS: i64 = 60_000;

/// What became of a run.
pub(crate) enum Ended {
    /// It came to its end.
    Report(Box<RunReport>),
    /// It stopped with an error.
    Failed(engine::Error),
    /// The process is gone.
    Killed,
}

/// One run that is to be made.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) flow: usize,
    pub(crate) host: usize,
    pub(crate) end: End,
    pub(crate) weather: Weather,
    pub(crate) options: RunOptions,
    /// What the point at which it ends is counted by.
    pub(crate) counted: Counted,
}

pub(crate) fn open(folder: &Path) -> Store {
    let sealer = Sealer::from_file(&folder.join("key")).expect("a key can be made");
    Store::open(&folder.join("state.db"), sealer).expect("the database can be opened")
}

/// In memory where the system offers it: the point here is the order of commits, not the disk.
pub(crate) fn folder(seed: u64) -> PathBuf {
    use std::sync::atomic::AtomicU64;
    // Worlds that exist side by side may be of one seed.
    static WORLDS: AtomicU64 = AtomicU64::new(0);
    let number = WORLDS.fetch_add(1, Ordering::Relaxed);
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    parent.join(format!("crmsync-sim-{}-{seed}-{number}", std::process::id()))
}

impl World {
    /// One run, and what follows from how it ends; and the names of its points at which something changed.
    pub(crate) async fn run(&mut self, order: Order) -> (Ended, Vec<String>) {
        self.tick(10);
        let store = self.hosts[order.host].clone();
        let flow = FLOWS[order.flow];
        let dead = store.lease_holder(self.tenant, flow).await.expect("the holder can be read");
        let lease = self.take(&store, order.flow, &dead).await.expect("only a dead one holds it");
        let run = store.begin_run(&lease, "test", self.now_ms()).await.expect("a run can begin");
        let pair = store.pair(self.tenant, flow, MODULE, MODULE).await.expect("the pair can be made");
        self.pairs[order.flow] = pair;
        let pulse = Pulse::new(order.host, order.end, order.counted, self.log.clone(), self.disk.clone());
        let setup = self.setup(&order, lease, run, pair, &pulse);
        let options = order.options.clone();
        let ended = {
            let mut running = pin!(engine::run(&setup, &options));
            match pulse.drive(running.as_mut()).await {
                Driven::Done(done) => Some(done),
                Driven::Killed => None,
                Driven::Frozen => {
                    let is_taken = self.meanwhile(&order).await;
                    pulse.thaw(is_taken);
                    match pulse.drive(running.as_mut()).await {
                        Driven::Done(done) => Some(done),
                        Driven::Killed | Driven::Frozen => None,
                    }
                }
            }
        };
        let names = pulse.names();
        let Some(ended) = ended else {
            // What the process had in memory is lost; its file is opened anew.
            self.hosts[order.host] = open(&self.folder);
            return (Ended::Killed, names);
        };
        if pulse.is_stale() {
            match ended {
                Err(engine::Error::Store(crmsync::store::Error::LeaseLost)) => {}
                // A call that failed may be the last thing that a stale run saw.
                Err(engine::Error::Call { .. }) => {}
                // What was still to do after it froze were looks only.
                Ok(_) => {}
                Err(error) => self.log.violation(format!("I9: a stale run ended with {error}")),
            }
            return (Ended::Killed, names);
        }
        let now_ms = self.now_ms();
        let outcome = match ended {
            Ok(report) => {
                let summary = serde_json::to_string(&report).unwrap_or_default();
                store.end_run(&setup.lease, run, true, summary, now_ms).await.expect("a run can end");
                Ended::Report(Box::new(report))
            }
            Err(error) => {
                store.end_run(&setup.lease, run, false, error.to_string(), now_ms).await.expect("a run can end");
                Ended::Failed(error)
            }
        };
        store.release_lease(&setup.lease).await.expect("a lease can be given back");
        (outcome, names)
    }

    /// What happens while a host is frozen: mostly the other one takes over. Gives whether it did.
    async fn meanwhile(&mut self, order: &Order) -> bool {
        if self.people.lock().unwrap_or_else(PoisonError::into_inner).rng.chance(20) {
            self.tick(LEASE_MS / 2);
            return false;
        }
        self.tick(LEASE_MS + 1_000);
        let host = 1 - order.host;
        let store = self.hosts[host].clone();
        let lease = self.take(&store, order.flow, "").await.expect("the lease has expired");
        let run = store.begin_run(&lease, "test", self.now_ms()).await.expect("a run can begin");
        let other = Order { host, end: End::Whole, ..order.clone() };
        let pulse = Pulse::new(host, End::Whole, Counted::All, self.log.clone(), self.disk.clone());
        let setup = self.setup(&other, lease, run, self.pairs[order.flow], &pulse);
        let mut running = pin!(engine::run(&setup, &order.options));
        if let Driven::Done(Err(error)) = pulse.drive(running.as_mut()).await {
            self.expect(&error);
        }
        true
    }

    async fn take(&self, store: &Store, flow: usize, dead: &str) -> Option<Lease> {
        let now_ms = self.now_ms();
        let holder = format!("h{now_ms}");
        store
            .take_lease(self.tenant, FLOWS[flow], &holder, Some(dead), now_ms, LEASE_MS)
            .await
            .expect("a lease can be asked for")
    }

    /// Only trouble with calls stops a run in bad weather.
    pub(crate) fn expect(&self, error: &engine::Error) {
        match error {
            engine::Error::Call { .. } | engine::Error::Incomplete { .. } | engine::Error::NotApproved(_) => {}
            other => self.log.violation(format!("a run stopped: {other}")),
        }
    }

    /// What a run would do.
    pub(crate) async fn preview(&mut self) -> Preview {
        self.tick(10);
        let store = self.hosts[0].clone();
        let dead = store.lease_holder(self.tenant, FLOWS[0]).await.expect("the holder can be read");
        let lease = self.take(&store, 0, &dead).await.expect("only a dead one holds it");
        let run = store.begin_run(&lease, "preview", self.now_ms()).await.expect("a run can begin");
        let pair = store.pair(self.tenant, FLOWS[0], MODULE, MODULE).await.expect("the pair can be made");
        self.pairs[0] = pair;
        let order = self.calm(0);
        let pulse = Pulse::new(0, End::Whole, Counted::All, self.log.clone(), self.disk.clone());
        let setup = self.setup(&order, lease, run, pair, &pulse);
        let preview = engine::preview(&setup, "settings", 0).await.expect("a calm preview");
        store.end_run(&setup.lease, run, true, String::new(), self.now_ms()).await.expect("a run can end");
        store.release_lease(&setup.lease).await.expect("a lease can be given back");
        preview
    }

    /// A run to which nothing happens.
    pub(crate) fn calm(&self, flow: usize) -> Order {
        Order {
            flow,
            host: 0,
            end: End::Whole,
            weather: Weather::new(0, crmsync_sandbox::rng::Rng::new(0), self.log.clone()),
            options: RunOptions { sweep: true, ..RunOptions::default() },
            counted: Counted::All,
        }
    }

    fn setup(&self, order: &Order, lease: Lease, run: i64, pair: i64, pulse: &Pulse) -> RunSetup {
        let (clock, keys) = (self.clock.clone(), self.keys.clone());
        let settings = &self.settings[order.flow];
        let numbers = self.sides_of(order.flow);
        let sides = Side::BOTH.map(|side| {
            let number = numbers[side as usize];
            let line = Line {
                crm: self.crms[number].clone(),
                number,
                side,
                pulse: pulse.clone(),
                weather: order.weather.clone(),
                people: self.people.clone(),
                disk: self.disk.clone(),
                log: self.log.clone(),
                asked: Arc::default(),
            };
            SideSetup {
                connection: self.crms[number].habits.name.into(),
                plugin: "memory".into(),
                remote: Arc::new(line),
                owners: OwnerTable::default(),
                visible_scope: self.crms[number].lock().scope.clone().unwrap_or_else(|| "all".into()),
                scope_at_login: "all".into(),
            }
        });
        // Deletes travel between two CRMs of a world; a third one would take them for people's.
        let deletes = if order.flow == 0 { self.kind.deletes } else { DeletePolicy::Report };
        let key_of = key_of(&lease);
        RunSetup {
            lease,
            run,
            store: self.hosts[order.host].clone(),
            sides,
            pairs: vec![PairSetup {
                id: pair,
                modules: numbers.map(|number| self.crms[number].module()),
                mapping: settings.mapping(),
                paused: settings.paused_rows(),
                policy: Policy {
                    direction: Direction::Both,
                    winner: self.kind.winner,
                    newest: self.kind.newest,
                    first_sync: self.kind.first_sync,
                    deletes,
                    when_it_leaves: LeavePolicy::StopUpdating,
                    hold: false,
                },
                filters: [None, None],
                records_from_ms: None,
                automations: false,
                marks: [0, 1].map(|_| {
                    let mark = MarkSetup { field: MARK_FIELD.into(), kind: 2, value: Value::text(MARK) };
                    (deletes == DeletePolicy::Mark).then_some(mark)
                }),
            }],
            transforms: Arc::new(NoTransforms),
            // Time moves while a host works, so that runs end at another second than they began.
            clock: Arc::new(move || clock.fetch_add(7, Ordering::SeqCst)),
            key_of: Arc::new(key_of),
            new_key: Arc::new(move || format!("{}{:032x}", engine::KEY_MARK, keys.fetch_add(1, Ordering::SeqCst))),
            limits: Limits {
                wait_ms_max: if self.kind.waits { 8 } else { 0 },
                round_pause_ms: 0,
                sweep_grace_ms: 0,
                portion_rows: 4,
                try_again_ms: 5_000,
                lease_ms: LEASE_MS,
                ..Limits::default()
            },
            progress: Arc::new(Silent),
        }
    }
}

/// A run of the first sync, as it was approved.
pub(crate) fn as_approved(preview: &Preview) -> RunOptions {
    let first = FirstSync { counts: preview.approved_counts(), preview: preview.run };
    RunOptions { sweep: true, first_sync: Some(first), trial: None }
}

struct NoTransforms;

impl Transforms for NoTransforms {
    fn apply<'a>(
        &'a self,
        _steps: &'a [TransformStep],
        _columns: &'a [(String, u8)],
        _rows: &'a [Vec<Value>],
    ) -> BoxFuture<'a, Result<Transformed, CallError>> {
        Box::pin(async { Err(CallError::Plugin("this flow names no transform".into())) })
    }
}

struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str, _done: u64, _of: Option<u64>) {}
}

/// The keys of a flow's copies, as a host with a secret of its own would give them: the same for the same record.
fn key_of(lease: &Lease) -> impl Fn(&CopyOf<'_>) -> String + Send + Sync + 'static {
    let of = (lease.tenant.clone(), lease.flow.clone());
    move |copy| {
        let mut half = DefaultHasher::new();
        (&of, copy.modules, copy.from as u8, copy.record, copy.generation).hash(&mut half);
        let first = half.finish();
        first.hash(&mut half);
        format!("{}{first:016x}{:016x}", engine::KEY_MARK, half.finish())
    }
}
