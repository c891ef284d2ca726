//! One run's pulse: each store step and each remote call of it is a point, in order. At a point a run goes on, is killed, or freezes until
//! it is thawed; and the trace of all points is what makes two runs of one seed comparable.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crmsync::store::{Moment, Watch, watch};
use futures_util::future::BoxFuture;

use crate::coverage::{Coverage, Step};
use crate::disk::Disk;
use crate::faults::FaultKind;

/// No run has so many points.
const POINTS_MAX: usize = 20_000;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Whole,
    /// The process is killed at this point.
    Killed(usize),
    /// The process stops at this point and goes on after another host has taken over.
    Frozen(usize),
}

/// Which points of a run are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// All.
    All,
    /// Those at which something has changed.
    Changes,
    /// Those of one step.
    In(Step),
}

/// Everything that happened, in one number; and in lines, for those who want to read it.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) points: u64,
    /// Kept if somebody reads them.
    pub(crate) lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn note(&mut self, line: &str) {
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_owned());
        }
    }
}

/// What all runs of a world report to.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    /// What must never happen, and did.
    pub(crate) violations: Vec<String>,
}

/// What all runs of a world report to, shared.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Records>>);

impl Log {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn violation(&self, what: String) {
        self.lock().violations.push(what);
    }
}

#[derive(Default)]
struct State {
    points: usize,
    /// Points of all kinds.
    all: usize,
    /// Names of the points that changed something.
    names: Vec<String>,
    killed: bool,
    frozen: bool,
    thawed: bool,
    /// Somebody else holds the lease.
    stale: bool,
    /// The state of the database before the step under way.
    before: i64,
}

/// One run as it is watched.
#[derive(Clone)]
pub(crate) struct Pulse {
    host: usize,
    end: End,
    counted: Counted,
    log: Log,
    disk: Disk,
    state: Arc<Mutex<State>>,
}

impl Pulse {
    pub(crate) fn new(host: usize, end: End, counted: Counted, log: Log, disk: Disk) -> Pulse {
        Pulse { host, end, counted, log, disk, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the points so far at which something had changed.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().names.clone()
    }

    /// It goes on from where it froze. `stale` says that somebody else took over meanwhile.
    pub(crate) fn thaw(&self, stale: bool) {
        let mut state = self.lock();
        // What others committed meanwhile is no doing of the step that it stopped at.
        state.before = self.disk.version();
        (state.thawed, state.stale) = (true, stale);
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.lock().stale
    }

    /// A remote call begins, or has ended.
    pub(crate) async fn call(&self, name: &'static str, moment: Moment, about: &str) {
        let changes = name == "push" && moment == Moment::After;
        self.reach(name, moment, about, changes).await;
    }

    /// A step of the store.
    fn step(&self, name: &'static str, moment: Moment) -> BoxFuture<'static, ()> {
        let pulse = self.clone();
        Box::pin(async move {
            let version = pulse.disk.version();
            let changed = {
                let mut state = pulse.lock();
                let before = std::mem::replace(&mut state.before, version);
                moment == Moment::After && before != version
            };
            if changed && pulse.is_stale() {
                pulse.log.violation(format!("I9: {name} was committed with an old fencing token"));
            }
            // Keeping a lease changes nothing that a crash could lose.
            pulse.reach(name, moment, "", changed && name != "renew_lease").await;
        })
    }

    async fn reach(&self, name: &'static str, moment: Moment, about: &str, changed: bool) {
        let stops = {
            let mut records = self.log.lock();
            records.trace.points += 1;
            let sign = if moment == Moment::Before { '>' } else { '<' };
            records.trace.note(&format!("{} {sign}{name} {about}", self.host));
            drop(records);
            let mut state = self.lock();
            if changed {
                state.names.push(format!("{name}{}{about}", if about.is_empty() { "" } else { " " }));
            }
            let counts = match self.counted {
                Counted::All => true,
                Counted::Changes => changed,
                Counted::In(step) => Step::of(name) == step,
            };
            let number = state.points;
            state.points += usize::from(counts);
            state.all += 1;
            match self.end {
                _ if state.all == POINTS_MAX => {
                    self.log.violation("I13: a run that does not end".into());
                    state.killed = true;
                    Some(FaultKind::Crash)
                }
                End::Killed(at) if counts && number == at && !state.killed => {
                    state.killed = true;
                    Some(FaultKind::Crash)
                }
                End::Frozen(at) if counts && number == at && !state.thawed => {
                    state.frozen = true;
                    Some(FaultKind::Freeze)
                }
                _ => None,
            }
        };
        if let Some(kind) = stops {
            self.log.lock().coverage.hit(kind, Step::of(name));
            // Whoever drives the run looks at the state and polls again when it is thawed.
            poll_fn(|_| {
                let state = self.lock();
                if state.killed || !state.thawed { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
    }

    /// Lets a run go on until it ends, is killed or freezes.
    pub(crate) async fn drive<F: Future>(&self, mut run: Pin<&mut F>) -> Driven<F::Output> {
        let pulse = self.clone();
        let watcher: Watch = Arc::new(move |name, moment| pulse.step(name, moment));
        poll_fn(|context| {
            let before = watch(Some(watcher.clone()));
            let polled = run.as_mut().poll(context);
            watch(before);
            let state = self.lock();
            match polled {
                Poll::Ready(done) => Poll::Ready(Driven::Done(done)),
                Poll::Pending if state.killed => Poll::Ready(Driven::Killed),
                Poll::Pending if state.frozen && !state.thawed => Poll::Ready(Driven::Frozen),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// What became of a run that was driven.
pub(crate) enum Driven<T> {
    Done(T),
    Killed,
    Frozen,
}
