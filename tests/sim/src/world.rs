//! One random world: two or three CRMs, people, two hosts over one database, and what happens to them, event by event.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crmsync::engine::{RunOptions, RunReport};
use crmsync::store::Store;
use crmsync_core::{Side, Value};
use crmsync_sandbox::rng::Rng;

use crate::crm::{Clock, Crm, Fields, QUIESCE_MS};
use crate::disk::Disk;
use crate::host::{Ended, Order, as_approved, folder, open};
use crate::line::Weather;
use crate::people::{Avoid, EDITED, EXTRA, FIELDS, People};
use crate::plan::{Cut, EVENTS, Event, Kind};
use crate::pulse::{End, Log};
use crate::settings::Settings;

/// The second one is between the left CRM and a third, over the same module and other fields.
pub(crate) const FLOWS: [&str; 2] = ["people", "extras"];
/// Where records say that the other one was deleted.
pub(crate) const MARK_FIELD: &str = "Status";
pub(crate) const MARK: &str = "gone";

pub(crate) struct World {
    pub(crate) kind: Kind,
    /// Whose flows these are.
    pub(crate) tenant: &'static str,
    pub(crate) clock: Clock,
    pub(crate) crms: Vec<Crm>,
    pub(crate) hosts: [Store; 2],
    pub(crate) folder: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) people: Arc<Mutex<People>>,
    pub(crate) keys: Arc<AtomicU64>,
    pub(crate) log: Log,
    pub(crate) settings: Vec<Settings>,
    /// Numbers of the flows' pairs.
    pub(crate) pairs: Vec<i64>,
    /// Fields whose rows have been out, changed or read-only: what was agreed on them was agreed anew.
    pub(crate) adopted: BTreeSet<&'static str>,
    /// Fields that were read-only or too short for a while: both sides may differ for that.
    pub(crate) loose: BTreeSet<&'static str>,
    /// What matched records showed in fields in which they differed, before the first sync: (entity, CRM, field) → value.
    pub(crate) differing: BTreeMap<(String, usize, &'static str), Value>,
    /// Events so far.
    pub(crate) events: usize,
}

impl World {
    pub(crate) fn new(kind: Kind, cut: &Cut) -> World {
        let folder = folder(kind.seed);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let hosts = [open(&folder), open(&folder)];
        let disk = Disk::open(&folder.join("state.db"));
        let clock: Clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        World::within(kind, cut, ("t", ""), clock, folder, hosts, disk)
    }

    /// Another tenant's world, in the same database. All that its people type begins with the tenant's name.
    pub(crate) fn neighbour(&self, kind: Kind, tenant: &'static str) -> World {
        let (clock, folder) = (self.clock.clone(), self.folder.clone());
        let sign = format!("{tenant}-");
        World::within(kind, &Cut::default(), (tenant, &sign), clock, folder, self.hosts.clone(), self.disk.clone())
    }

    fn within(
        kind: Kind,
        cut: &Cut,
        (tenant, sign): (&'static str, &str),
        clock: Clock,
        folder: PathBuf,
        hosts: [Store; 2],
        disk: Disk,
    ) -> World {
        let crms: Vec<Crm> = kind.habits.iter().map(|habits| Crm::new(habits.clone(), clock.clone())).collect();
        let rng = kind.chance(0, "people");
        let log = Log::default();
        let people = People::new(rng, clock.clone(), crms.clone(), kind.poison, sign.to_owned(), log.clone());
        let flows = crms.len() - 1;
        let settings = (0..flows).map(|flow| Settings::new(kind.seed, flow == 1)).collect();
        let keys = Arc::new(AtomicU64::new(kind.seed << 32));
        let mut world = World {
            tenant,
            clock,
            crms,
            hosts,
            folder,
            disk,
            people: Arc::new(Mutex::new(people)),
            keys,
            log,
            settings,
            pairs: vec![0; flows],
            adopted: BTreeSet::new(),
            loose: BTreeSet::new(),
            differing: BTreeMap::new(),
            events: 0,
            kind,
        };
        world.populate(cut.records.unwrap_or(world.kind.records), sign);
        world
    }

    fn populate(&mut self, records: usize, sign: &str) {
        for number in 0..records {
            let mut rng = self.kind.chance(number, "record");
            let code = format!("{sign}p{number}");
            let both = rng.chance(50);
            let only = rng.below(self.crms.len());
            let mut shown: Vec<Option<Fields>> = vec![None; self.crms.len()];
            for (crm, shown) in shown.iter_mut().enumerate() {
                if both || crm == only {
                    let mut fields = BTreeMap::from([("Code".to_owned(), Value::text(&code))]);
                    // Who is on one side only needs nothing to be known by.
                    if both || rng.chance(60) {
                        fields.insert("Mail".to_owned(), Value::text(&code));
                    }
                    for field in FIELDS[EDITED..].iter().chain([&EXTRA]) {
                        if rng.chance(60) {
                            fields.insert((*field).to_owned(), Value::text(format!("{sign}{field}-{}", rng.below(3))));
                        }
                    }
                    let id = self.crms[crm].person_creates(fields);
                    *shown = self.crms[crm].live().remove(&id);
                }
            }
            self.note_differences(&code, &shown);
            self.tick(400);
        }
    }

    /// S5: what differs between matched records is not touched by a first sync that only fills blanks.
    fn note_differences(&mut self, code: &str, shown: &[Option<Fields>]) {
        for (flow, settings) in self.settings.iter().enumerate() {
            let [left, right] = self.sides_of(flow);
            let (Some(one), Some(other)) = (&shown[left], &shown[right]) else { continue };
            for field in settings.edited() {
                if let (Some(here), Some(there)) = (one.get(field), other.get(field)) {
                    let is_alike = self.crms[left].keep(field, there.clone())
                        == self.crms[left].keep(field, here.clone())
                        || self.crms[right].keep(field, here.clone()) == *there;
                    if !is_alike {
                        self.differing.insert((code.to_owned(), left, field), here.clone());
                        self.differing.insert((code.to_owned(), right, field), there.clone());
                    }
                }
            }
        }
    }

    /// Numbers of the CRMs on both sides of a flow.
    pub(crate) fn sides_of(&self, flow: usize) -> [usize; 2] {
        [0, 1 + flow]
    }

    /// Writes that all CRMs carried out.
    pub(crate) fn writes(&self) -> usize {
        self.crms.iter().map(Crm::writes).sum()
    }

    pub(crate) fn tick(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that happens in this world, until something happens that must not; then it says where.
    pub(crate) async fn live(&mut self, cut: &Cut) {
        self.first_sync().await;
        self.people().may_delete = true;
        let events = cut.events.unwrap_or(EVENTS);
        for number in (0..events).filter(|number| !cut.without.contains(number)) {
            self.events = number + 1;
            self.happen(number, cut.points.get(&number).copied()).await;
            self.check_always();
            if !self.log.lock().violations.is_empty() {
                return;
            }
        }
        self.put_right().await;
        self.settle().await;
        self.check_at_rest().await;
    }

    async fn happen(&mut self, number: usize, point: Option<usize>) {
        let mut rng = self.kind.chance(number, "what");
        self.people().rng = self.kind.chance(number, "people");
        let event = self.kind.event(number);
        self.log.lock().trace.note(&format!("{number} {event:?}"));
        match event {
            Event::Act => {
                // An edit of the very second of our own write cannot be told from what the CRM made of it (documented window).
                self.tick(1_100);
                let crm = rng.below(self.crms.len());
                self.people().work(crm, &Avoid::new());
                self.tick(rng.below(400) as i64);
            }
            Event::Pass => self.tick(rng.below(QUIESCE_MS as usize) as i64),
            Event::Run { end, one_in } => {
                self.tick(1_100);
                let end = match (end, point) {
                    (End::Killed(_), Some(point)) => End::Killed(point),
                    (End::Frozen(_), Some(point)) => End::Frozen(point),
                    (end, _) => end,
                };
                let weather = Weather::new(one_in, self.kind.chance(number, "weather"), self.log.clone());
                let (flow, host) = (rng.below(self.settings.len()), rng.below(2));
                let options = RunOptions { sweep: rng.chance(70), ..RunOptions::default() };
                let order = Order { flow, host, end, weather, options, counted: self.kind.counted(number) };
                match self.run(order).await.0 {
                    Ended::Report(_) => self.settings[flow].looked(),
                    Ended::Failed(error) => self.expect(&error),
                    Ended::Killed => {}
                }
                self.crms.iter().for_each(|crm| crm.lock().logged_out = false);
                self.tick(rng.below(QUIESCE_MS as usize) as i64);
            }
            Event::Mapping => self.change_mapping(&mut rng),
            Event::Schema => self.change_schema(&mut rng),
            Event::Sight => self.change_sight(&mut rng),
            Event::Expire => self.crms[rng.below(self.crms.len())].lock().generation += 1,
            Event::LogOut => self.crms[rng.below(self.crms.len())].lock().logged_out = true,
        }
    }

    fn change_mapping(&mut self, rng: &mut Rng) {
        let flow = rng.below(self.settings.len());
        let settings = &mut self.settings[flow];
        let field = *rng.pick(&settings.edited());
        self.adopted.insert(field);
        match rng.below(3) {
            0 => *settings.changes.entry(field).or_default() += 1,
            _ if settings.out.remove(field) => {}
            _ => {
                settings.out.insert(field);
            }
        }
        let what = format!("  the mapping of {}: out {:?}, changed {:?}", FLOWS[flow], settings.out, settings.changes);
        self.log.lock().trace.note(&what);
    }

    /// A field of the right CRM vanishes or comes back, cannot be written or can again, holds less or more.
    fn change_schema(&mut self, rng: &mut Rng) {
        let field = *rng.pick(&self.settings[0].edited());
        let settings = &mut self.settings[0];
        let mut state = self.crms[1].lock();
        match rng.below(3) {
            0 if settings.unnoticed.contains(field) => {}
            0 if state.vanished.remove(field) => {
                settings.paused.remove(field);
            }
            0 => {
                state.vanished.insert(field.to_owned());
                self.adopted.insert(field);
                settings.unnoticed.insert(field);
                // Mostly the host has looked; else it finds out by what is not shown, and refused.
                if rng.chance(60) {
                    settings.paused.insert(field);
                }
            }
            1 if state.read_only.remove(field) => {
                settings.read_only.remove(field);
            }
            1 => {
                state.read_only.insert(field.to_owned());
                self.loose.insert(field);
                if rng.chance(70) {
                    settings.read_only.insert(field);
                }
            }
            _ => {
                self.loose.insert("Note");
                settings.note_length = if settings.note_length.is_none() { Some(12) } else { None };
            }
        }
        let what = format!("  the right fields: away {:?}, read-only {:?}", state.vanished, state.read_only);
        let known = format!("; known {:?} and {:?}", settings.paused, settings.read_only);
        self.log.lock().trace.note(&(what + &known));
    }

    /// The login sees less than before, or everything again. What it does not see is not edited meanwhile.
    fn change_sight(&mut self, rng: &mut Rng) {
        let crm = &self.crms[rng.below(self.crms.len())];
        if crm.lock().scope.is_some() || !crm.lock().hidden.is_empty() {
            crm.hide(&[], false, None);
            return;
        }
        let live: Vec<String> = crm.live().into_keys().collect();
        let share = [20, 50, 100][rng.below(3)];
        let ids: Vec<String> = live.into_iter().filter(|_| rng.chance(share)).collect();
        crm.hide(&ids, false, Some("own"));
    }

    /// Administrators and owners put everything back to where it was.
    async fn put_right(&mut self) {
        while !self.settings[0].unnoticed.is_empty() {
            self.crms.iter().for_each(|crm| crm.lock().logged_out = false);
            self.calm_run(0).await;
            self.settings[0].looked();
        }
        for crm in &self.crms {
            let mut state = crm.lock();
            state.vanished.clear();
            state.read_only.clear();
            state.hidden.clear();
            (state.scope, state.logged_out) = (None, false);
        }
        for settings in &mut self.settings {
            settings.out.clear();
            settings.paused.clear();
            settings.read_only.clear();
            settings.note_length = None;
        }
    }

    async fn first_sync(&mut self) {
        self.tick(2_000);
        if self.kind.approves {
            self.first_sync_as_approved().await;
        }
        for flow in 0..self.settings.len() {
            let mut rng = self.kind.chance(flow, "first sync");
            if rng.chance(50) {
                self.calm_run(flow).await;
            } else {
                let weather =
                    Weather::new(3 + rng.below(20), self.kind.chance(flow, "first weather"), self.log.clone());
                let end = if rng.chance(60) { End::Killed(rng.below(200)) } else { End::Whole };
                let order = Order { end, weather, ..self.calm(flow) };
                if let (Ended::Failed(error), _) = self.run(order).await {
                    self.expect(&error);
                }
            }
        }
        self.settle().await;
        self.check_always();
        self.check_first_sync();
    }

    /// Somebody approves, people go on working, and the run stops if they did too much.
    async fn first_sync_as_approved(&mut self) {
        for attempt in 0..3 {
            let preview = self.preview().await;
            let mut rng = self.kind.chance(attempt, "approved");
            for _ in 0..rng.below(3) {
                self.tick(1_100);
                let crm = rng.below(self.crms.len());
                self.people().work(crm, &Avoid::new());
            }
            self.tick(1_100);
            let order = Order { options: as_approved(&preview), ..self.calm(0) };
            match self.run(order).await {
                (Ended::Failed(error), _) => self.expect(&error),
                _ => return,
            }
        }
    }

    /// A run to which nothing happens; it must come to its end.
    pub(crate) async fn calm_run(&mut self, flow: usize) -> Option<RunReport> {
        match self.run(self.calm(flow)).await.0 {
            Ended::Report(report) => Some(*report),
            Ended::Failed(error) => {
                self.log.violation(format!("a calm run stopped: {error}"));
                None
            }
            Ended::Killed => None,
        }
    }

    /// No faults any more: runs until nothing waits.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..6 {
            for (flow, name) in FLOWS.into_iter().enumerate().take(self.settings.len()) {
                self.tick(2 * QUIESCE_MS);
                let report = self.calm_run(flow).await;
                if report.is_some_and(|report| report.pairs[0].held_removals > 0) {
                    let now_ms = self.now_ms();
                    self.hosts[0].consent_to_removals(self.tenant, name, now_ms).await.expect("people can consent");
                }
            }
        }
    }

    /// One entity, which nothing is known by, goes into both bins and comes back from them, with a run after each step.
    pub(crate) async fn through_both_bins(&mut self) {
        let lefts = self.crms[0].live();
        let is_on_right = |code: &Value| self.crms[1].live().into_values().any(|fields| fields["Code"] == *code);
        let is_unknown = |fields: &Fields| !fields.get("Mail").is_some_and(Value::is_filled);
        let known = lefts.into_values().find(|fields| is_on_right(&fields["Code"]) && is_unknown(fields));
        let known = known.expect("a world of this seed has such a record");
        for deleted in [true, false] {
            for side in 0..2 {
                let crm = &self.crms[side];
                let records = if deleted { crm.live() } else { crm.bin() };
                let found = records.into_iter().find(|(_, fields)| fields["Code"] == known["Code"]);
                let (id, _) = found.expect("it is there");
                self.tick(1_100);
                if deleted {
                    self.crms[side].person_deletes(&id);
                } else {
                    self.crms[side].person_restores(&id);
                }
                self.tick(1_100);
                self.calm_run(0).await;
            }
        }
    }

    /// A linked record of this side.
    pub(crate) fn linked(&self, side: Side) -> String {
        let others = self.crms[side.other() as usize].live();
        let is_on_both = |code: &Value| others.values().any(|fields| fields["Code"] == *code);
        let linked = self.crms[side as usize].live().into_iter().find(|(_, fields)| is_on_both(&fields["Code"]));
        linked.expect("some record is on both sides").0
    }

    /// Reasons of all outcomes of the first flow.
    pub(crate) async fn reasons(&self) -> Vec<String> {
        let outcomes = self.hosts[0].outcomes(self.tenant, FLOWS[0]).await.expect("outcomes can be read");
        outcomes.into_iter().map(|outcome| outcome.reason).collect()
    }

    /// Records that hosts deleted.
    pub(crate) fn deleted_by_host(&self) -> usize {
        self.crms.iter().map(|crm| crm.lock().deleted_by_host.len()).sum()
    }

    /// The world is over. If something went wrong that somebody reads line by line, its database stays, and the last line names it.
    pub(crate) fn end(self) -> Vec<String> {
        let mut records = self.log.lock();
        let violations = std::mem::take(&mut records.violations);
        match &mut records.trace.lines {
            Some(lines) if !violations.is_empty() => lines.push(format!("its database: {}", self.folder.display())),
            _ => {
                let _removed = std::fs::remove_dir_all(&self.folder);
            }
        }
        violations
    }
}
