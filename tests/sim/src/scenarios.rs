//! Small worlds in which one thing happens, and what must come of it. Each gives what came otherwise.

use std::collections::BTreeMap;

use crmsync::egress::{Lane, take_of_minute};
use crmsync_core::{DeletePolicy, FirstSync, RemovalReason, Side, Value};

use crate::crm::Fields;
use crate::host::{Ended, Order, as_approved};
use crate::people::{Edit, FIELDS, POISON};
use crate::plan::{Cut, Kind};
use crate::pulse::{Counted, End};
use crate::world::{FLOWS, World};

/// All small worlds.
pub fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().chain(crate::bites::BITES).chain(crate::doubts::DOUBTS)
}

/// One small world.
pub struct Scenario {
    /// What must come of it.
    pub name: &'static str,
    /// Lets it happen; gives what came otherwise.
    pub live: fn() -> Vec<String>,
}

/// Small worlds of the parts that the invariants name; `bites.rs` has those of single bugs.
const SCENARIOS: &[Scenario] = &[
    Scenario { name: "what comes back from both bins is one thing again", live: both_bins },
    Scenario { name: "what is only hidden is never deleted", live: hidden },
    Scenario { name: "what changed while it was hidden is seen", live: seen_again },
    Scenario { name: "what was converted or merged is never deleted", live: ended },
    Scenario { name: "what was merged is kept, created again, or merged as well", live: crate::merges::merged },
    Scenario { name: "what was edited survives a delete", live: delete_against_edit },
    Scenario { name: "many deletes wait for consent, and consent is for what was shown", live: safety_stop },
    Scenario { name: "a first sync deletes nothing", live: first_sync_deletes },
    Scenario { name: "a first sync replaces only what was listed", live: listing },
    Scenario { name: "a first sync that grew is not approved", live: approval },
    Scenario { name: "who shares an address is not the same person", live: family },
    Scenario { name: "what matches several is linked to none", live: several },
    Scenario { name: "what a CRM makes of a value does not bounce", live: bounce },
    Scenario { name: "a row that comes back is agreed on anew", live: adoption },
    Scenario { name: "a field that comes back is told what it missed", live: pause },
    Scenario { name: "one poisoned record delays nobody", live: poison },
    Scenario { name: "no minute has more calls than the CRM allows", live: limiter },
    Scenario { name: "what came back right before its delete stays", live: back_in_time },
];

pub(crate) fn kind(deletes: DeletePolicy) -> Kind {
    let mut kind = Kind::of(6);
    kind.habits.truncate(2);
    for habits in &mut kind.habits {
        (habits.trims, habits.capitals, habits.keyless, habits.skew_ms) = (false, None, false, 0);
    }
    let (winner, newest, first_sync, records) = (Side::Left, false, FirstSync::FillEmpty, 30);
    Kind { deletes, winner, newest, first_sync, records, approves: false, poison: false, waits: false, ..kind }
}

/// Lives through a small world: `story` says what is wrong in its own words.
pub(crate) fn world(kind: Kind, story: impl AsyncFnOnce(&mut World) -> Vec<String>) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut world = World::new(kind, &Cut::default());
        world.people().may_delete = true;
        let mut wrong = story(&mut world).await;
        wrong.extend(world.end());
        wrong
    })
}

/// What is wrong, if this does not hold.
pub(crate) fn unless(holds: bool, wrong: impl Into<String>) -> Vec<String> {
    if holds { vec![] } else { vec![wrong.into()] }
}

async fn sync(world: &mut World) {
    world.tick(5_000);
    world.calm_run(0).await;
}

impl World {
    pub(crate) fn entity(&self, side: Side, code: &str) -> Option<(String, Fields)> {
        self.crms[side as usize].live().into_iter().find(|(_, fields)| fields["Code"] == Value::text(code))
    }

    pub(crate) fn value(&self, side: Side, code: &str, field: &str) -> String {
        let found = self.entity(side, code);
        found.and_then(|(_, fields)| fields.get(field).map(Value::display)).unwrap_or_default()
    }

    pub(crate) fn type_in(&mut self, side: Side, code: &str, field: &'static str, text: &str) {
        self.tick(1_100);
        let (id, _) = self.entity(side, code).expect("it is there");
        let value = self.crms[side as usize].person_edits(&id, field, Value::text(text));
        self.people().edits.push(Edit { code: code.to_owned(), field, value });
    }

    pub(crate) fn delete(&mut self, side: Side, code: &str) {
        let (id, _) = self.entity(side, code).expect("it is there");
        self.people().delete(side as usize, &id, code.to_owned());
    }

    pub(crate) fn add(&mut self, side: Side, fields: &[(&str, &str)]) {
        self.tick(1_100);
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Value::text(*text)));
        self.crms[side as usize].person_creates(fields.collect::<BTreeMap<_, _>>());
    }

    fn linked_code(&self) -> String {
        self.crms[0].live()[&self.linked(Side::Left)]["Code"].display()
    }
}

fn both_bins() -> Vec<String> {
    world(kind(DeletePolicy::Report), async |world| {
        world.settle().await;
        let (before, records) = (world.writes(), world.crms[0].live().len());
        world.through_both_bins().await;
        world.settle().await;
        let mut wrong = unless(world.writes() == before, "nobody edited anything, and something was written");
        wrong.extend(unless(world.crms[0].live().len() == records, "there are twins"));
        wrong
    })
}

fn hidden() -> Vec<String> {
    let check = |most: usize, counted: bool, scope: Option<&str>, cause: &str| {
        world(kind(DeletePolicy::Recycle), async |world| {
            world.settle().await;
            let ids: Vec<String> = world.crms[1].live().into_keys().take(most).collect();
            world.crms[1].hide(&ids, counted, scope);
            world.tick(5_000);
            let alarms = world.calm_run(0).await.map(|report| report.alarms).unwrap_or_default();
            let mut wrong = unless(world.deleted_by_host() == 0, format!("deleted while {cause}"));
            let told = alarms.iter().any(|alarm| alarm.contains(cause));
            wrong.extend(unless(told != cause.is_empty(), format!("{alarms:?} should tell {cause:?}")));
            wrong
        })
    };
    let mut wrong = check(3, false, Some("own"), "what this login may see changed from `all` to `own`");
    wrong.extend(check(usize::MAX, false, None, "none of the"));
    wrong.extend(check(10, false, None, "flow approve people --deletes"));
    wrong.extend(check(3, true, None, ""));
    wrong
}

fn seen_again() -> Vec<String> {
    world(kind(DeletePolicy::Report), async |world| {
        world.settle().await;
        let code = world.linked_code();
        world.type_in(Side::Right, &code, "Name", "seen");
        let (id, _) = world.entity(Side::Right, &code).expect("it is there");
        world.crms[1].hide(&[id], false, Some("own"));
        // Others go on, and the stream of changes goes past the edit.
        world.add(Side::Right, &[("Code", "x1"), ("Name", "x")]);
        sync(world).await;
        sync(world).await;
        world.crms[1].hide(&[], false, None);
        sync(world).await;
        let told = world.value(Side::Left, &code, "Name");
        unless(told == "seen", format!("I7: the edit of a hidden record was skipped: {told}"))
    })
}

fn ended() -> Vec<String> {
    let check = |side: Side, why: RemovalReason| {
        world(kind(DeletePolicy::Recycle), async |world| {
            world.settle().await;
            let id = world.linked(side);
            world.crms[side as usize].person_ends(&id, why);
            sync(world).await;
            let reasons = world.reasons().await;
            let mut wrong =
                unless(world.deleted_by_host() == 0, format!("I6: {why:?} on {side:?} was taken for a delete"));
            wrong.extend(unless(reasons.contains(&why.as_str().to_owned()), format!("{why:?}: {reasons:?}")));
            wrong
        })
    };
    let both = Side::BOTH.into_iter().flat_map(|side| check(side, RemovalReason::Converted));
    both.chain(check(Side::Left, RemovalReason::Merged)).collect()
}

fn delete_against_edit() -> Vec<String> {
    world(kind(DeletePolicy::Recycle), async |world| {
        world.settle().await;
        let code = world.linked_code();
        world.type_in(Side::Right, &code, "Name", "kept");
        let (id, _) = world.entity(Side::Left, &code).expect("it is there");
        world.crms[0].person_deletes(&id);
        sync(world).await;
        let told = world.reasons().await.contains(&"delete-against-edit".to_owned());
        unless(told && world.value(Side::Right, &code, "Name") == "kept", "an edited record was deleted")
    })
}

fn back_in_time() -> Vec<String> {
    // At every point of the run that carries the delete out, the record is restored; then nothing may be deleted for it any more.
    let mut wrong = Vec::new();
    for point in 0..40 {
        wrong.extend(world(kind(DeletePolicy::Recycle), async |world| {
            world.settle().await;
            let id = world.linked(Side::Left);
            world.crms[0].person_deletes(&id);
            world.tick(5_000);
            let order = Order { end: End::Killed(point), counted: Counted::Changes, ..world.calm(0) };
            world.run(order).await;
            if world.deleted_by_host() > 0 {
                return vec![];
            }
            world.crms[0].person_restores(&id);
            sync(world).await;
            unless(
                world.deleted_by_host() == 0,
                format!("what was restored at point {point} is deleted on the other side"),
            )
        }));
        if !wrong.is_empty() {
            break;
        }
    }
    wrong
}

fn safety_stop() -> Vec<String> {
    world(kind(DeletePolicy::Recycle), async |world| {
        world.settle().await;
        let codes: Vec<String> = world.crms[0].live().into_keys().collect();
        let delete = |world: &World, ids: &[String]| ids.iter().for_each(|id| world.crms[0].person_deletes(id));
        delete(world, &codes[..10]);
        sync(world).await;
        let mut wrong = unless(world.deleted_by_host() == 0, "ten deletes at once went without consent");
        let now_ms = world.now_ms();
        world.hosts[0].consent_to_removals(world.tenant, FLOWS[0], now_ms).await.expect("people can consent");
        delete(world, &codes[10..20]);
        sync(world).await;
        wrong.extend(unless(world.deleted_by_host() == 0, "a consent to ten deletes was taken for one to twenty"));
        sync(world).await;
        let journal = world.journal(0).await;
        let told = journal.iter().filter(|line| line.action == "removed").count();
        wrong.extend(unless(told == 20, format!("the log tells {told} times of twenty deletes")));
        wrong
    })
}

fn first_sync_deletes() -> Vec<String> {
    let mut kind = kind(DeletePolicy::Recycle);
    kind.approves = true;
    world(kind, async |world| {
        let preview = world.preview().await;
        // It stops as soon as something is linked.
        let order = Order { options: as_approved(&preview), end: End::Killed(40), ..world.calm(0) };
        world.run(Order { counted: Counted::Changes, ..order }).await;
        let id = world.linked(Side::Left);
        world.crms[0].person_deletes(&id);
        world.tick(5_000);
        let order = Order { options: as_approved(&preview), ..world.calm(0) };
        world.run(order).await;
        unless(world.deleted_by_host() == 0, "a first sync deleted something")
    })
}

fn listing() -> Vec<String> {
    let mut kind = kind(DeletePolicy::Report);
    kind.first_sync = FirstSync::Winner;
    world(kind, async |world| {
        let preview = world.preview().await;
        let code = world.linked_code();
        world.type_in(Side::Right, &code, "Name", "unseen");
        let order = Order { options: as_approved(&preview), ..world.calm(0) };
        world.run(order).await;
        let left = world.value(Side::Left, &code, "Name");
        let stays = world.value(Side::Right, &code, "Name") == "unseen";
        unless(stays || left.is_empty(), "S5: a value was replaced that no preview had listed")
    })
}

fn approval() -> Vec<String> {
    world(kind(DeletePolicy::Report), async |world| {
        let preview = world.preview().await;
        for number in 0..10 {
            world.add(Side::Left, &[("Code", &format!("x{number}")), ("Name", "x")]);
        }
        world.tick(5_000);
        let order = Order { options: as_approved(&preview), ..world.calm(0) };
        let refused = matches!(world.run(order).await.0, Ended::Failed(crmsync::engine::Error::NotApproved(_)));
        unless(refused && world.writes() == 0, "S6: a first sync wrote more than was approved")
    })
}

fn family() -> Vec<String> {
    let kind = Kind { records: 0, ..kind(DeletePolicy::Report) };
    world(kind, async |world| {
        world.settings[0].guards = true;
        world.add(Side::Left, &[("Code", "anna"), ("Mail", "x@y.example"), ("Name", "Anna")]);
        world.add(Side::Right, &[("Code", "bob"), ("Mail", "x@y.example"), ("Name", "Bob")]);
        sync(world).await;
        let apart =
            world.value(Side::Left, "anna", "Code") == "anna" && world.value(Side::Right, "bob", "Code") == "bob";
        let told = world.reasons().await.contains(&"match-in-doubt".to_owned());
        unless(apart && told, "two people of one address became one")
    })
}

fn several() -> Vec<String> {
    let kind = Kind { records: 0, ..kind(DeletePolicy::Report) };
    world(kind, async |world| {
        for (side, code) in [(Side::Left, "a"), (Side::Left, "b"), (Side::Right, "c")] {
            world.add(side, &[("Code", code), ("Mail", "x@y.example"), ("Name", "x")]);
        }
        sync(world).await;
        let told = world.reasons().await.contains(&"more-than-one-match".to_owned());
        unless(told && world.writes() == 0, "one of several was guessed")
    })
}

fn bounce() -> Vec<String> {
    let mut kind = kind(DeletePolicy::Report);
    kind.habits[0].capitals = Some("Phone");
    world(kind, async |world| {
        world.settle().await;
        let code = world.linked_code();
        world.type_in(Side::Right, &code, "Phone", "abc");
        sync(world).await;
        sync(world).await;
        let mut wrong = unless(world.value(Side::Left, &code, "Phone") == "ABC", "the edit did not travel");
        wrong.extend(unless(
            world.value(Side::Right, &code, "Phone") == "abc",
            "what the CRM made of a value came back",
        ));
        wrong
    })
}

fn adoption() -> Vec<String> {
    world(kind(DeletePolicy::Report), async |world| {
        world.settle().await;
        let code = world.linked_code();
        world.settings[0].out.insert("Note");
        sync(world).await;
        world.type_in(Side::Left, &code, "Note", "here");
        sync(world).await;
        let before = world.value(Side::Right, &code, "Note");
        world.settings[0].out.clear();
        let blank = world.crms[0].live().into_values().find(|fields| !fields.contains_key("Name"));
        sync(world).await;
        let stays = world.value(Side::Right, &code, "Note") == before || before.is_empty();
        let mut wrong = unless(stays, "S12: a row that came back replaced a value that nobody had seen");
        // A row that is new to the mapping fills blanks on both sides.
        world.settings[0].out.insert("Name");
        sync(world).await;
        let filled = blank.map(|fields| fields["Code"].display()).unwrap_or(code);
        world.type_in(Side::Left, &filled, "Name", "filled");
        let (id, _) = world.entity(Side::Right, &filled).expect("it is there");
        world.crms[1].person_edits(&id, "Name", Value::Empty);
        sync(world).await;
        world.settings[0].out.clear();
        sync(world).await;
        let told = world.value(Side::Right, &filled, "Name");
        wrong.extend(unless(told == "filled", format!("S12: a new row did not fill a blank: {told:?}")));
        wrong
    })
}

fn pause() -> Vec<String> {
    world(kind(DeletePolicy::Report), async |world| {
        world.settle().await;
        let code = world.linked_code();
        // Agreed on both sides: a blank would be filled anew.
        world.type_in(Side::Left, &code, "Name", "agreed");
        sync(world).await;
        let before = world.value(Side::Left, &code, "Name");
        // A run that did not know it yet, and some that did.
        world.crms[1].lock().vanished.insert("Name".into());
        world.type_in(Side::Right, &code, "Note", "other");
        sync(world).await;
        let mut wrong =
            unless(world.value(Side::Left, &code, "Name") == before, "rule 4: what was not read was emptied");
        world.settings[0].paused.insert("Name");
        sync(world).await;
        world.type_in(Side::Left, &code, "Name", "missed");
        sync(world).await;
        world.crms[1].lock().vanished.clear();
        world.settings[0].paused.clear();
        sync(world).await;
        let told = world.value(Side::Right, &code, "Name");
        wrong.extend(unless(told == "missed", format!("S12: a field that came back shows {told:?}")));
        wrong
    })
}

fn poison() -> Vec<String> {
    world(kind(DeletePolicy::Report), async |world| {
        world.settle().await;
        let mut codes: Vec<String> =
            world.crms[0].live().into_values().map(|fields| fields["Code"].display()).collect();
        codes.retain(|code| world.entity(Side::Right, code).is_some());
        for (at, code) in codes.iter().take(9).enumerate() {
            let text = if at == 4 { POISON } else { "fine" };
            world.type_in(Side::Right, code, FIELDS[2], text);
        }
        let mut told = false;
        for _ in 0..8 {
            world.tick(400_000);
            world.calm_run(0).await;
            // Until it is tried again after a while.
            told |= world.reasons().await.contains(&"attempts-used-up".to_owned());
        }
        let late = codes.iter().take(9).enumerate().filter(|(at, _)| *at != 4);
        let late: Vec<_> = late.filter(|(_, code)| world.value(Side::Left, code, "Name") != "fine").collect();
        let mut wrong = unless(late.is_empty(), format!("I12: {late:?} wait for one that breaks the connector"));
        wrong.extend(unless(told, "I13: a write that cannot work is tried for ever"));
        wrong
    })
}

fn limiter() -> Vec<String> {
    let (mut full_at_us, mut calls) = (0, 0);
    for now_ms in (0..60_000).step_by(100) {
        if let Ok(later) = take_of_minute(30, full_at_us, Lane::Interactive, now_ms) {
            (full_at_us, calls) = (later, calls + 1);
        }
    }
    unless(calls <= 36, format!("{calls} calls in a minute that has 30, and a fifth at once"))
}
