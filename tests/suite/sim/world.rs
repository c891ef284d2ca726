//! One random world: two CRMs, people, a host that is killed now and then, and the questions that are asked when all is calm.

mod merges;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crmsync::engine::{
    self, CallError, Limits, MarkSetup, OwnerTable, PairSetup, Progress, RunOptions, RunReport, RunSetup, SideSetup,
    TransformStep, Transformed, Transforms,
};
use crmsync::store::{JournalQuery, JournalRow, Sealer, Store};
use crmsync_core::mapping::{Field, MatchRule, Sameness};
use crmsync_core::{
    DeletePolicy, Direction, FirstSync, LeavePolicy, MappingRow, PairMapping, Policy, RemovalReason, Role, RowKey,
    Side, Value, Winner,
};
use crmsync_sandbox::rng::Rng;
use futures_util::future::BoxFuture;

use super::crm::{Avoid, Clock, Crm, Habits, QUIESCE_MS};

const TENANT: &str = "t";
const FLOW: &str = "people";
/// Code tells us who it is, Mail tells the engine (and is often blank), people edit the others.
const FIELDS: [&str; 5] = ["Code", "Mail", "Name", "Phone", "Note"];
const EDITED: usize = 2;
/// A list to which people add entries, and which both sides' entries are joined in.
const TAGS: &str = "Tags";
/// The right CRM cuts texts here.
const RIGHT_TEXT_MAX: usize = 24;
/// Where records say that the other one was deleted.
const MARK_FIELD: &str = "Status";
const MARK: &str = "gone";

pub(crate) struct World {
    seed: u64,
    rng: Rng,
    clock: Clock,
    crms: [Crm; 2],
    store: Store,
    folder: PathBuf,
    people: Arc<Mutex<People>>,
    keys: Arc<AtomicU64>,
}

/// The people of both CRMs, between runs and during them.
struct People {
    rng: Rng,
    clock: Clock,
    crms: [Crm; 2],
    /// Each edit: which entity, field, value, in order.
    edits: Vec<Edit>,
    /// Each entry that was added to a list: which entity, and the entry.
    tags: Vec<(String, String)>,
    /// Nobody deletes before the first sync has come to its end: who is in the bin then is created anew, and comes back as a twin.
    may_delete: bool,
    /// Entities that are in the bin of a side.
    deleted: BTreeSet<(String, usize)>,
    /// Entities that a person ever deleted on a side.
    ever_deleted: BTreeSet<(String, usize)>,
    /// Entities that came back from a bin. One that was not found there, and was created again, comes back as a twin that people see.
    restored: BTreeSet<String>,
    tokens: u64,
}

struct Edit {
    code: String,
    field: &'static str,
    value: String,
}

impl People {
    /// One person does one thing on a side.
    fn work(&mut self, side: usize, avoid: &Avoid) {
        let live: Vec<(String, BTreeMap<String, Value>)> = self.crms[side].live().into_iter().collect();
        self.tokens += 1;
        let token = format!("v{}", self.tokens);
        match self.rng.below(16) {
            0 | 3 | 4 => {
                let code = format!("n{}", self.tokens);
                let mut fields =
                    BTreeMap::from([("Code".to_owned(), Value::text(&code)), ("Name".to_owned(), Value::text(&token))]);
                if self.rng.chance(50) {
                    fields.insert("Mail".to_owned(), Value::text(&code));
                }
                self.crms[side].person_creates(fields);
                self.edits.push(Edit { code, field: "Name", value: token });
            }
            1 if !live.is_empty() && self.may_delete => {
                let (id, fields) = &live[self.rng.below(live.len())];
                self.delete(side, id, fields["Code"].display());
            }
            2 => self.restore(side),
            // Before the first sync lists that differ would stay as they are.
            5 | 6 if !live.is_empty() && self.may_delete => {
                let (id, fields) = &live[self.rng.below(live.len())];
                if avoid.contains(&(id.clone(), TAGS.to_owned())) {
                    return;
                }
                let mut tags = tags_of(fields);
                tags.insert(token.clone());
                self.crms[side].person_edits(id, TAGS, Value::List(serde_json::to_string(&tags).unwrap()));
                self.tags.push((fields["Code"].display(), token));
            }
            _ if !live.is_empty() => {
                let (id, fields) = &live[self.rng.below(live.len())];
                let field = FIELDS[EDITED + self.rng.below(FIELDS.len() - EDITED)];
                if avoid.contains(&(id.clone(), field.to_owned())) {
                    return;
                }
                let value =
                    if self.rng.chance(10) { format!("{token} is much too long for the right side") } else { token };
                self.crms[side].person_edits(id, field, Value::text(&value));
                self.edits.push(Edit { code: fields["Code"].display(), field, value });
            }
            _ => {}
        }
    }

    fn delete(&mut self, side: usize, id: &str, code: String) {
        self.ever_deleted.insert((code.clone(), side));
        self.deleted.insert((code, side));
        self.crms[side].person_deletes(id);
    }

    fn restore(&mut self, side: usize) {
        let bin: Vec<(String, BTreeMap<String, Value>)> = self.crms[side].bin().into_iter().collect();
        if bin.is_empty() {
            return;
        }
        let (id, fields) = &bin[self.rng.below(bin.len())];
        self.crms[side].person_restores(id);
        self.deleted.remove(&(fields["Code"].display(), side));
        self.restored.insert(fields["Code"].display());
    }

    fn is_out(&self, code: &str) -> bool {
        (0..2).any(|side| self.deleted.contains(&(code.to_owned(), side)))
    }

    /// During a run: in a second of its own, as an edit of the very second of our own write cannot be told from what the CRM made of it.
    fn interlude(&mut self, called: usize, avoid: Option<&Avoid>) {
        self.clock.fetch_add(1_100, Ordering::SeqCst);
        let side = self.rng.below(2);
        match avoid {
            None if side == called => {}
            Some(avoid) if side == called => self.work(side, avoid),
            _ => self.work(side, &Avoid::new()),
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let clock: Clock = Arc::new(AtomicI64::new(1_700_000_000_000));
        let left = Crm::new(0, Habits { strict: true, keyless: false, text_max: 1_000 }, clock.clone(), seed ^ 1);
        let right = Crm::new(
            1,
            Habits { strict: false, keyless: seed % 3 == 2, text_max: RIGHT_TEXT_MAX },
            clock.clone(),
            seed ^ 2,
        );
        // In memory where the system offers it: the point here is the order of commits, not the disk.
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        // Tests that run side by side may have worlds of one seed.
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let folder = folder.join(format!("crmsync-sim-{}-{seed}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = open(&folder);
        let crms = [left, right];
        let people = Arc::new(Mutex::new(People {
            rng: Rng::new(seed ^ 3),
            clock: clock.clone(),
            crms: crms.clone(),
            edits: vec![],
            tags: vec![],
            may_delete: false,
            ever_deleted: BTreeSet::new(),
            deleted: BTreeSet::new(),
            restored: BTreeSet::new(),
            tokens: 0,
        }));
        for crm in &crms {
            let people = people.clone();
            crm.people_at_work(Arc::new(move |side, avoid| people.lock().unwrap().interlude(side, avoid)));
        }
        let keys = Arc::new(AtomicU64::new(seed << 32));
        let mut world = World { seed, rng: Rng::new(seed), clock, crms, store, folder, people, keys };
        for number in 0..15 + world.rng.below(15) {
            let code = format!("p{number}");
            let both = world.rng.chance(50);
            let only = world.rng.below(2);
            for side in 0..2 {
                if both || side == only {
                    let mut fields = BTreeMap::from([("Code".to_owned(), Value::text(&code))]);
                    // Who is on one side only needs nothing to be known by.
                    if both || world.rng.chance(60) {
                        fields.insert("Mail".to_owned(), Value::text(&code));
                    }
                    for field in &FIELDS[EDITED..] {
                        if world.rng.chance(60) {
                            let value = format!("{field}-{}", world.rng.below(3));
                            fields.insert((*field).to_owned(), Value::text(value));
                        }
                    }
                    world.crms[side].person_creates(fields);
                }
            }
            world.tick(400);
        }
        world
    }

    /// Writes that both CRMs carried out.
    pub(crate) fn writes(&self) -> u64 {
        self.crms.iter().map(Crm::writes).sum()
    }

    /// Every mode in worlds of every kind.
    fn deletes(&self) -> DeletePolicy {
        [DeletePolicy::Report, DeletePolicy::Recycle, DeletePolicy::Mark, DeletePolicy::Recycle]
            [(self.seed / 6) as usize % 4]
    }

    fn is_keyless(&self) -> bool {
        self.crms[1].module().key_field.is_empty()
    }

    fn tick(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) async fn first_sync(&mut self) {
        self.tick(2_000);
        if self.rng.chance(50) {
            self.attempt(None).await.unwrap();
        } else {
            self.attempt_under_faults().await;
            self.settle().await;
        }
        self.people.lock().unwrap().may_delete = true;
    }

    /// A few human edits, then a run under faults, often killed in the middle.
    pub(crate) async fn disturb(&mut self) {
        // An edit of the very second of our own write cannot be told from what the CRM made of it (documented window).
        self.tick(1_100);
        for _ in 0..self.rng.below(5) {
            let side = self.rng.below(2);
            self.people.lock().unwrap().work(side, &Avoid::new());
            let ms = self.rng.below(1_500) as i64;
            self.tick(ms);
        }
        self.attempt_under_faults().await;
        let ms = self.rng.below(QUIESCE_MS as usize) as i64;
        self.tick(ms);
    }

    /// A run in which calls go wrong, and which is often killed.
    async fn attempt_under_faults(&mut self) {
        let one_in = 2 + self.rng.below(10);
        self.crms.iter().for_each(|crm| crm.disturb(one_in));
        let polls = self.rng.chance(60).then(|| 1 + self.rng.below(400));
        let _whatever = self.attempt(polls).await;
        self.crms.iter().for_each(|crm| crm.disturb(0));
    }

    /// One entity, which nothing is known by, goes into both bins and comes back from them, with a run after each step.
    pub(crate) async fn through_both_bins(&mut self) {
        let lefts = self.crms[0].live();
        let is_on_right = |code: &Value| self.crms[1].live().into_values().any(|fields| fields["Code"] == *code);
        let is_unknown = |fields: &BTreeMap<String, Value>| !fields.get("Mail").is_some_and(Value::is_filled);
        let (_, known) =
            lefts.into_iter().find(|(_, fields)| is_on_right(&fields["Code"]) && is_unknown(fields)).unwrap();
        for deleted in [true, false] {
            for side in 0..2 {
                let crm = &self.crms[side];
                let records = if deleted { crm.live() } else { crm.bin() };
                let (id, _) = records.into_iter().find(|(_, fields)| fields["Code"] == known["Code"]).unwrap();
                self.tick(1_100);
                if deleted {
                    crm.person_deletes(&id)
                } else {
                    crm.person_restores(&id)
                }
                self.tick(1_100);
                self.attempt(None).await.unwrap();
            }
        }
    }

    /// A record of a side that is linked is converted, with a run afterwards; gives the outcomes' reasons, and how many records the host
    /// deleted.
    pub(crate) async fn convert(&mut self, side: usize) -> (Vec<String>, usize) {
        let others = self.crms[1 - side].live();
        let is_on_both = |code: &Value| others.values().any(|fields| fields["Code"] == *code);
        let linked = self.crms[side].live().into_iter().find(|(_, fields)| is_on_both(&fields["Code"]));
        self.crms[side].person_loses(&linked.expect("a linked record").0, RemovalReason::Converted);
        self.tick(5_000);
        self.attempt(None).await.unwrap();
        let outcomes = self.store.outcomes(TENANT, FLOW).await.unwrap();
        let deleted = self.crms.iter().map(|crm| crm.deleted_by_host().len()).sum();
        (outcomes.into_iter().map(|outcome| outcome.reason).collect(), deleted)
    }

    /// So many records of the right side that looking for them by id does not find any more; gives the alarms of a run, and how many
    /// records the host deleted. `counted`: the CRM still counts them.
    pub(crate) async fn hide(&mut self, most: usize, counted: bool, scope: Option<&str>) -> (Vec<String>, usize) {
        let ids: Vec<String> = self.crms[1].live().into_keys().take(most).collect();
        self.crms[1].hide(&ids, counted, scope);
        self.tick(5_000);
        let report = self.attempt(None).await.unwrap().expect("it is not killed");
        self.crms[1].hide(&[], counted, None);
        (report.alarms, self.crms.iter().map(|crm| crm.deleted_by_host().len()).sum())
    }

    /// No faults any more: runs until nothing waits.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..6 {
            self.tick(2 * QUIESCE_MS);
            let report = self.attempt(None).await.unwrap();
            if report.is_some_and(|report| report.pairs[0].held_removals > 0) {
                let now_ms = self.clock.load(Ordering::SeqCst);
                self.store.consent_to_removals(TENANT, FLOW, now_ms).await.unwrap();
            }
        }
    }

    /// One run; killed after so many polls if a number is given.
    async fn attempt(&mut self, polls: Option<usize>) -> Result<Option<RunReport>, engine::Error> {
        self.tick(10);
        let now_ms = self.clock.load(Ordering::SeqCst);
        let holder = format!("h{now_ms}");
        let dead = self.store.lease_holder(TENANT, FLOW).await?;
        let lease = self.store.take_lease(TENANT, FLOW, &holder, Some(&dead), now_ms, 60_000).await?.unwrap();
        let run = self.store.begin_run(&lease, "test", now_ms).await?;
        let pair = self.store.pair(TENANT, FLOW, "People", "People").await?;
        let setup = self.setup(lease, run, pair);
        let options = RunOptions { sweep: true, ..RunOptions::default() };
        let running = engine::run(&setup, &options);
        let report = match polls {
            None => Some(running.await?),
            Some(polls) => poll_some(running, polls).await.transpose()?,
        };
        if let Some(report) = &report {
            setup.store.end_run(&setup.lease, run, true, serde_json::to_string(report).unwrap(), now_ms).await?;
            setup.store.release_lease(&setup.lease).await?;
        } else {
            // The process is gone: what it had in memory is lost, its file is opened anew.
            self.store = open(&self.folder);
        }
        Ok(report)
    }

    fn setup(&self, lease: crmsync::store::Lease, run: i64, pair: i64) -> RunSetup {
        let (clock, keys) = (self.clock.clone(), self.keys.clone());
        let sides = [0, 1].map(|side| SideSetup {
            connection: ["left", "right"][side].into(),
            plugin: "memory".into(),
            remote: Arc::new(self.crms[side].clone()),
            owners: OwnerTable::default(),
            visible_scope: "all".into(),
            scope_at_login: "all".into(),
        });
        RunSetup {
            lease,
            run,
            store: self.store.clone(),
            sides,
            pairs: vec![PairSetup {
                id: pair,
                modules: [self.crms[0].module(), self.crms[1].module()],
                mapping: mapping(self.seed),
                paused: vec![],
                policy: Policy {
                    direction: Direction::Both,
                    // The right side cuts texts: it wins in every other world.
                    winner: if self.seed.is_multiple_of(2) { Side::Left } else { Side::Right },
                    newest: self.seed % 5 == 3,
                    first_sync: FirstSync::FillEmpty,
                    deletes: self.deletes(),
                    when_it_leaves: LeavePolicy::StopUpdating,
                    hold: false,
                },
                filters: [None, None],
                records_from_ms: None,
                automations: false,
                marks: [0, 1].map(|_| {
                    let mark = MarkSetup { field: MARK_FIELD.into(), kind: 2, value: Value::text(MARK) };
                    (self.deletes() == DeletePolicy::Mark).then_some(mark)
                }),
            }],
            transforms: Arc::new(NoTransforms),
            // Time moves while a host works, so that runs end at another second than they began.
            clock: Arc::new(move || clock.fetch_add(7, Ordering::SeqCst)),
            new_key: Arc::new(move || format!("{}{:032x}", engine::KEY_MARK, keys.fetch_add(1, Ordering::SeqCst))),
            limits: Limits {
                wait_ms_max: 0,
                round_pause_ms: 0,
                sweep_grace_ms: 0,
                portion_rows: 4,
                ..Limits::default()
            },
            progress: Arc::new(Silent),
        }
    }

    /// Asks what must hold when all is calm; gives what does not.
    pub(crate) async fn check(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let before = self.writes();
        for _ in 0..2 {
            self.tick(5_000);
            self.attempt(None).await.unwrap();
        }
        if self.writes() != before {
            wrong.push("I1: a run with nothing to do wrote something".into());
        }
        let idle: u64 = self.crms.iter().map(Crm::idle_writes).sum();
        if idle > 0 {
            wrong.push(format!("I5: {idle} updates changed nothing"));
        }
        let by_code = [0, 1].map(|side: usize| {
            let mut by_code: BTreeMap<String, Vec<BTreeMap<String, Value>>> = BTreeMap::new();
            for fields in self.crms[side].live().into_values() {
                by_code.entry(fields["Code"].display()).or_default().push(fields);
            }
            by_code
        });
        let journal = self
            .store
            .journal(TENANT, FLOW, JournalQuery { most: 1_000_000, ..JournalQuery::default() })
            .await
            .unwrap();
        let outcomes = self.store.outcomes(TENANT, FLOW).await.unwrap();
        let show = |side: usize, code: &str, field: &str| {
            by_code[side].get(code).and_then(|records| records[0].get(field)).map(Value::display).unwrap_or_default()
        };
        let people = self.people.lock().unwrap();
        let twins: BTreeSet<String> = outcomes
            .iter()
            .filter(|outcome| outcome.reason == "late-twin")
            .filter_map(|outcome| self.crms[usize::from(outcome.side == "right")].live().remove(&outcome.record))
            .map(|fields| fields["Code"].display())
            .filter(|code| people.restored.contains(code))
            .collect();
        let lefts = self.crms[0].live();
        // S5: what differed when two records were matched stays as it is on both sides, and is listed.
        let differs = |code: &str, field: &str| {
            outcomes
                .iter()
                .filter(|outcome| outcome.kind == "differs" && outcome.field.starts_with(field))
                .any(|outcome| lefts.get(&outcome.record).is_some_and(|fields| fields["Code"].display() == *code))
        };
        for (side, codes) in by_code.iter().enumerate() {
            for (code, records) in codes.iter().filter(|(code, records)| records.len() > 1 && !twins.contains(*code)) {
                wrong.push(format!("I2: {code} is {} times on side {side}", records.len()));
            }
        }
        wrong.extend(self.check_deletes(&journal, &people));
        // A person has to say what becomes of them.
        let open: BTreeSet<String> = outcomes
            .iter()
            .filter(|outcome| matches!(outcome.reason.as_str(), "restored-alone" | "delete-against-edit"))
            .filter_map(|outcome| {
                let rights = self.crms[1].live();
                let line =
                    journal.iter().find(|line| line.left_id == outcome.record && rights.contains_key(&line.right_id));
                lefts
                    .get(&outcome.record)
                    .or_else(|| rights.get(&line?.right_id))
                    .map(|fields| fields["Code"].display())
            })
            .collect();
        let codes: BTreeSet<&String> = by_code.iter().flat_map(BTreeMap::keys).collect();
        // Without a key of ours a person has to tell whether a record that was edited meanwhile is the one that we made.
        let asked: BTreeSet<String> = outcomes
            .iter()
            .filter(|outcome| outcome.kind == "needs-attention" && outcome.reason == "outcome-unknown")
            .filter_map(|outcome| self.crms[usize::from(outcome.side == "right")].live().remove(&outcome.record))
            .map(|fields| fields["Code"].display())
            .collect();
        for code in codes {
            let lives_on = |side: usize| by_code[side].contains_key(code);
            let is_marked = |side: usize| show(side, code, MARK_FIELD) == MARK;
            let is_settled = !twins.contains(code) && !asked.contains(code) && !open.contains(code);
            if is_settled && people.is_out(code) && lives_on(0) != lives_on(1) {
                let side = usize::from(lives_on(1));
                let was_linked = journal.iter().any(|line| {
                    let id = if side == 0 { &line.left_id } else { &line.right_id };
                    line.action == "removed"
                        && self.crms[side].live().get(id).is_some_and(|fields| fields["Code"].display() == *code)
                });
                match self.deletes() {
                    DeletePolicy::Mark if was_linked && !is_marked(side) => {
                        wrong.push(format!("{code} is not marked on side {side}"));
                    }
                    DeletePolicy::Recycle if was_linked => wrong.push(format!("{code} stays on side {side}")),
                    _ => {}
                }
            }
            if people.is_out(code) || !is_settled {
                continue;
            }
            if (0..2).any(is_marked) {
                wrong.push(format!("{code} is marked, and it is on both sides"));
            }
            if by_code.iter().any(|side| !side.contains_key(code)) {
                wrong.push(format!("I1: {code} is on one side only"));
                continue;
            }
            for field in &FIELDS[EDITED..] {
                let (left, right) = (show(0, code, field), show(1, code, field));
                let cut: String = left.chars().take(RIGHT_TEXT_MAX).collect();
                let edited = people.edits.iter().any(|edit| edit.code == *code && edit.field == *field);
                let blank = left.is_empty() || right.is_empty();
                if left != right && cut != right && (blank || (edited && !differs(code, field))) {
                    wrong.push(format!("I1: {code}.{field} is {left:?} and {right:?}"));
                }
            }
        }
        for (index, edit) in people.edits.iter().enumerate() {
            // Whole: a text that one side cut must not come back cut to the side where it was typed.
            let stands = [0, 1].iter().any(|&side| edit.value == show(side, &edit.code, edit.field));
            let quoted = format!("{:?}", edit.value);
            let later =
                people.edits[index + 1..].iter().any(|other| other.code == edit.code && other.field == edit.field);
            let lost_to_another = journal.iter().any(|line| line.action == "conflict" && line.before.contains(&quoted));
            if !stands
                && !later
                && !lost_to_another
                && !people.is_out(&edit.code)
                && !open.contains(&edit.code)
                && !twins.contains(&edit.code)
                && !asked.contains(&edit.code)
            {
                wrong.push(format!("I4: {}.{} = {:?} is lost", edit.code, edit.field, edit.value));
            }
        }
        for (code, tag) in &people.tags {
            if people.is_out(code) || twins.contains(code) || asked.contains(code) {
                continue;
            }
            let is_everywhere =
                by_code.iter().all(|side| side.get(code).is_some_and(|records| tags_of(&records[0]).contains(tag)));
            if !is_everywhere {
                wrong.push(format!("I4: {code} lacks the entry {tag}"));
            }
        }
        for outcome in outcomes.iter().filter(|outcome| outcome.kind == "needs-attention") {
            let by_nature = match outcome.reason.as_str() {
                "delete-against-edit" | "late-twin" | "restored-alone" => true,
                "outcome-unknown" => self.is_keyless(),
                _ => false,
            };
            if !by_nature {
                wrong.push(format!("unexpected: {outcome:?}"));
            }
        }
        drop(people);
        if wrong.is_empty() {
            let _removed = std::fs::remove_dir_all(&self.folder);
        } else {
            wrong.push(format!("the database is in {} (seed {})", self.folder.display(), self.seed));
        }
        wrong
    }
}

impl World {
    /// I6, and what brings a deleted record back: only records whose counterpart a person deleted are gone, and the journal holds all that
    /// they showed.
    fn check_deletes(&self, journal: &[JournalRow], people: &People) -> Vec<String> {
        let mut wrong = Vec::new();
        for (side, crm) in self.crms.iter().enumerate() {
            for (id, fields) in crm.deleted_by_host() {
                let code = fields["Code"].display();
                if self.deletes() != DeletePolicy::Recycle || !people.ever_deleted.contains(&(code.clone(), 1 - side)) {
                    wrong.push(format!("I6: {code} was deleted on side {side}, and nobody had deleted it"));
                }
                let is_about = |line: &&JournalRow| {
                    line.action == "deleted" && id == if side == 0 { &*line.left_id } else { &*line.right_id }
                };
                let images = journal.iter().filter(is_about).map(|line| {
                    serde_json::from_str::<BTreeMap<String, Vec<Value>>>(&line.before).expect("a pre-image")
                });
                let is_whole = |image: &BTreeMap<String, Vec<Value>>| {
                    FIELDS.iter().all(|field| {
                        let kept = image.get(&format!("{field}={field}")).map(|values| values[0].display());
                        kept.unwrap_or_default() == fields.get(*field).map(Value::display).unwrap_or_default()
                    })
                };
                let images: Vec<_> = images.collect();
                if !images.iter().any(is_whole) {
                    wrong
                        .push(format!("{code} was deleted on side {side} with {fields:?}, and the log has {images:?}"));
                }
            }
        }
        wrong
    }
}

fn open(folder: &std::path::Path) -> Store {
    let sealer = Sealer::from_file(&folder.join("key")).unwrap();
    Store::open(&folder.join("state.db"), sealer).unwrap()
}

async fn poll_some<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// The entries of a record's list.
fn tags_of(fields: &BTreeMap<String, Value>) -> BTreeSet<String> {
    match fields.get(TAGS) {
        Some(Value::List(text)) => serde_json::from_str(text).unwrap(),
        _ => BTreeSet::new(),
    }
}

/// Worlds differ in how conflicts end.
fn mapping(seed: u64) -> PairMapping {
    let winner = |name: &str| match (name, seed % 4) {
        (TAGS, _) => Some(Winner::Union),
        ("Phone", 1) => Some(Winner::Longer),
        ("Phone", 2) => Some(Winner::NonEmpty),
        ("Note", 2 | 3) => Some(Winner::Newest),
        _ => None,
    };
    let rows = FIELDS.iter().chain([&TAGS]).enumerate().map(|(index, name)| {
        let field = Field {
            name: (*name).into(),
            label: (*name).into(),
            kind: if *name == TAGS { 11 } else { 2 },
            mandatory: index == 0,
            read_only: false,
            length: None,
        };
        MappingRow {
            key: RowKey(format!("{name}={name}")),
            hash: 1,
            left: vec![field.clone()],
            right: vec![field],
            direction: Direction::Both,
            agreed: Direction::Both,
            to_right: None,
            to_left: None,
            sameness: Sameness::Text,
            winner: winner(name),
            role: Role::Plain,
        }
    });
    PairMapping {
        rows: rows.collect(),
        match_rules: vec![MatchRule { label: "mail".into(), rows: vec![1], guards: vec![] }],
    }
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
