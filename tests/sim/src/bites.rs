//! More small worlds, each of a bug that could be made in one place: those that random worlds find late, or only by luck.

use std::collections::BTreeMap;

use crmsync::store::{IntentBody, NewIntent, Settlement, UnitCommit};
use crmsync_core::decide::Operation;
use crmsync_core::{DeletePolicy, FirstSync, RemovalReason, Side, Value};

use crate::crm::QUIESCE_MS;
use crate::faults::FaultKind;
use crate::host::{Order, as_approved};
use crate::people::{FIELDS, POISON, TAGS, tags_of};
use crate::plan::Kind;
use crate::pulse::{Counted, End};
use crate::scenarios::{Scenario, kind, unless, world};
use crate::world::{FLOWS, MARK, MARK_FIELD, World};

/// All of them.
pub(crate) const BITES: &[Scenario] = &[
    Scenario { name: "an edit is held against what its own side showed", live: own_base },
    Scenario { name: "the loser of a conflict is in the log", live: loser },
    Scenario { name: "a mark goes when the record comes back, from one bin or two", live: marks },
    Scenario { name: "entries of both lists are on both sides", live: lists },
    Scenario { name: "an expired cursor begins anew", live: expired },
    Scenario { name: "nothing is decided on half a scan", live: half_a_scan },
    Scenario { name: "a converted record is told once", live: converted_once },
    Scenario { name: "a create of an earlier run leaves out rows that are gone", live: old_create },
    Scenario { name: "a row that is new to a link waits for what was not read", live: new_row },
    Scenario { name: "a row that means something else is agreed on anew without an edit", live: changed_row },
    Scenario { name: "a mark hides no difference", live: marked_difference },
    Scenario { name: "what differed and was replaced is in the log", live: differing_loser },
    Scenario { name: "where records differ is known after both were away", live: difference_after_both_bins },
    Scenario { name: "what was replaced since the preview is left to a person", live: unlisted },
    Scenario { name: "what is edited between the listing and the write is not overwritten", live: between },
    Scenario { name: "a host that froze commits nothing", live: frozen },
    Scenario { name: "a receipt pays the debt", live: debt },
    Scenario { name: "what could not be written is written once it can", live: written_later },
    Scenario { name: "a create whose source was linked meanwhile makes no second record", live: linked_meanwhile },
    Scenario { name: "a create that leads to a linked record joins nothing", live: linked_twice },
    Scenario { name: "two edits of one second are two", live: one_second },
    Scenario { name: "two tenants in one database see nothing of each other", live: crate::tenants::apart },
    Scenario { name: "an old copy of the database doubles and deletes nothing", live: crate::tenants::old_copy },
    Scenario { name: "those behind a poisoned record go on in the same run", live: poison_first },
];

impl World {
    pub(crate) async fn sync(&mut self) {
        self.tick(5_000);
        self.calm_run(0).await;
    }

    /// One more record on each side, known by the same address.
    pub(crate) fn add_both(&mut self, code: &str, fields: [&[(&str, &str)]; 2]) {
        for (side, fields) in Side::BOTH.into_iter().zip(fields) {
            let known = [("Code", code), ("Mail", code)];
            self.add(side, &known.iter().chain(fields).copied().collect::<Vec<_>>());
        }
    }

    pub(crate) fn restore(&self, side: Side, code: &str) {
        let bin = self.crms[side as usize].bin();
        let (id, _) =
            bin.into_iter().find(|(_, fields)| fields["Code"] == Value::text(code)).expect("it is in the bin");
        self.crms[side as usize].person_restores(&id);
    }

    pub(crate) fn is_marked(&self, side: Side, code: &str) -> bool {
        self.value(side, code, MARK_FIELD) == MARK
    }
}

/// A world of one linked record, `a`.
pub(crate) fn pair_of(deletes: DeletePolicy, story: impl AsyncFnOnce(&mut World) -> Vec<String>) -> Vec<String> {
    world(Kind { records: 0, ..kind(deletes) }, async |world| {
        world.add_both("a", [&[("Name", "anna"), ("Phone", "1")], &[("Name", "anna")]]);
        world.settle().await;
        story(world).await
    })
}

fn own_base() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        let whole = "a text that the right side has no room for";
        world.type_in(Side::Left, "a", "Note", whole);
        world.sync().await;
        world.type_in(Side::Right, "a", "Name", "edited");
        world.sync().await;
        let shown = world.value(Side::Left, "a", "Note");
        unless(shown == whole, format!("I4: a text came back cut: {shown}"))
    })
}

fn loser() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.type_in(Side::Left, "a", "Name", "ours");
        world.type_in(Side::Right, "a", "Name", "theirs");
        world.sync().await;
        let mut lines = world.journal(0).await.into_iter().filter(|line| line.action == "conflict");
        let is_told = lines.any(|line| line.before.contains("theirs") && line.after.contains("ours"));
        let stands = Side::BOTH.into_iter().all(|side| world.value(side, "a", "Name") == "ours");
        unless(is_told && stands, "I4: the value that lost is nowhere")
    })
}

fn marks() -> Vec<String> {
    let mut wrong = pair_of(DeletePolicy::Mark, async |world| {
        world.delete(Side::Left, "a");
        world.sync().await;
        let mut wrong = unless(world.is_marked(Side::Right, "a"), "the other record is not marked");
        world.restore(Side::Left, "a");
        world.sync().await;
        wrong.extend(unless(!world.is_marked(Side::Right, "a"), "a mark stays in a record whose other one is back"));
        wrong
    });
    // Each is marked while the other one is away, the second time from the end of their link.
    for both_away in [false, true] {
        wrong.extend(pair_of(DeletePolicy::Mark, async |world| {
            world.delete(Side::Left, "a");
            world.sync().await;
            world.delete(Side::Right, "a");
            if both_away {
                world.sync().await;
            }
            world.restore(Side::Left, "a");
            world.sync().await;
            world.restore(Side::Right, "a");
            world.sync().await;
            world.sync().await;
            let stays = Side::BOTH.into_iter().find(|&side| world.is_marked(side, "a"));
            unless(stays.is_none(), format!("both are back ({both_away}), and one is marked: {stays:?}"))
        }));
    }
    wrong
}

fn lists() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        for (side, entries) in [(Side::Left, r#"["one"]"#), (Side::Right, r#"["other"]"#)] {
            world.tick(1_100);
            let (id, _) = world.entity(side, "a").expect("it is there");
            world.crms[side as usize].person_edits(&id, TAGS, Value::List(entries.into()));
        }
        world.sync().await;
        world.sync().await;
        let shown = Side::BOTH.map(|side| world.entity(side, "a").map(|(_, fields)| tags_of(&fields)));
        let are_all = shown.iter().flatten().filter(|tags| tags.len() == 2).count() == 2;
        unless(are_all, format!("I4: an entry is lost: {shown:?}"))
    })
}

fn expired() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        for crm in &world.crms {
            crm.lock().generation += 1;
        }
        world.type_in(Side::Right, "a", "Name", "news");
        world.sync().await;
        let told = world.value(Side::Left, "a", "Name");
        unless(told == "news", format!("I7: what changed behind an expired cursor was not read: {told}"))
    })
}

fn half_a_scan() -> Vec<String> {
    world(Kind { records: 0, ..kind(DeletePolicy::Report) }, async |world| {
        for code in ["a", "b", "c", "d"] {
            world.add_both(code, [&[("Name", "x")], &[("Name", "x")]]);
        }
        world.crms[1].lock().cuts_scan = true;
        world.sync().await;
        world.check_always();
        unless(world.writes() == 0, "S2: something was written for records that the scan had left out")
    })
}

fn converted_once() -> Vec<String> {
    pair_of(DeletePolicy::Recycle, async |world| {
        let (id, _) = world.entity(Side::Right, "a").expect("it is there");
        world.crms[1].person_ends(&id, RemovalReason::Converted);
        for _ in 0..3 {
            world.sync().await;
        }
        let told = world.journal(0).await.into_iter().filter(|line| line.action == "removed").count();
        unless(told == 1, format!("the log tells {told} times of one converted record"))
    })
}

fn old_create() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.add(Side::Left, &[("Code", "n"), ("Name", "stays")]);
        world.crms[1].lock().next_push = Some(FaultKind::Lost);
        world.sync().await;
        // Only for a while: what was agreed on the row stands.
        world.settings[0].paused.insert("Name");
        world.tick(2 * QUIESCE_MS);
        world.sync().await;
        world.settings[0].paused.clear();
        for _ in 0..3 {
            world.sync().await;
        }
        let shown = Side::BOTH.map(|side| world.value(side, "n", "Name"));
        unless(
            shown == ["stays", "stays"],
            format!("I4: a value that a create had not sent was taken for emptied: {shown:?}"),
        )
    })
}

fn new_row() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.settings[0].out.insert("Note");
        world.sync().await;
        world.type_in(Side::Right, "a", "Note", "typed");
        let ids: Vec<String> = world.crms[0].live().into_keys().collect();
        world.crms[0].hide(&ids, false, Some("own"));
        world.settings[0].out.clear();
        world.sync().await;
        world.crms[0].hide(&[], false, None);
        for _ in 0..3 {
            world.sync().await;
        }
        let told = world.value(Side::Left, "a", "Note");
        unless(told == "typed", format!("S12: what one side showed in a new row never travels: {told:?}"))
    })
}

fn marked_difference() -> Vec<String> {
    world(Kind { records: 0, ..kind(DeletePolicy::Mark) }, async |world| {
        world.add_both("a", [&[("Name", "left's")], &[("Name", "right's")]]);
        world.settle().await;
        world.delete(Side::Left, "a");
        world.sync().await;
        let while_marked = world.reasons().await;
        world.restore(Side::Left, "a");
        world.sync().await;
        let afterwards = world.reasons().await;
        let is_told = [&while_marked, &afterwards].iter().all(|reasons| reasons.contains(&"differs".to_owned()));
        unless(is_told, format!("S17: nothing says that both differ: {while_marked:?}, then {afterwards:?}"))
    })
}

fn poison_first() -> Vec<String> {
    world(Kind { records: 0, ..kind(DeletePolicy::Report) }, async |world| {
        for code in ["a", "b", "c"] {
            world.add_both(code, [&[("Name", "x")], &[("Name", "x")]]);
        }
        world.settle().await;
        let texts = BTreeMap::from([("a", POISON), ("b", "fine"), ("c", "fine")]);
        for (code, text) in &texts {
            world.type_in(Side::Right, code, FIELDS[2], text);
        }
        world.sync().await;
        let shown = ["b", "c"].map(|code| world.value(Side::Left, code, FIELDS[2]));
        unless(shown == ["fine", "fine"], format!("I12: those behind a poisoned record wait: {shown:?}"))
    })
}

fn unlisted() -> Vec<String> {
    let kind = Kind { records: 0, first_sync: FirstSync::Winner, ..kind(DeletePolicy::Report) };
    world(kind, async |world| {
        world.add_both("a", [&[("Name", "same")], &[("Name", "same")]]);
        world.tick(5_000);
        let preview = world.preview().await;
        world.type_in(Side::Right, "a", "Name", "unseen");
        world.tick(5_000);
        let order = Order { options: as_approved(&preview), ..world.calm(0) };
        world.run(order).await;
        let stays = world.value(Side::Right, "a", "Name");
        unless(stays == "unseen", format!("S5: a value was replaced that no preview had listed: {stays}"))
    })
}

fn difference_after_both_bins() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.add_both("d", [&[("Name", "one")], &[("Name", "two")]]);
        world.settle().await;
        let is_listed = async |world: &World| world.reasons().await.contains(&"differs".to_owned());
        let mut wrong = unless(is_listed(world).await, "a difference is not listed");
        for side in Side::BOTH {
            world.delete(side, "d");
            world.sync().await;
        }
        for side in Side::BOTH {
            world.restore(side, "d");
            world.sync().await;
        }
        wrong.extend(unless(is_listed(world).await, "S17: a difference is not listed any more"));
        wrong
    })
}

fn differing_loser() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.add_both("d", [&[("Name", "one")], &[("Name", "two")]]);
        world.settle().await;
        world.type_in(Side::Left, "d", "Name", "three");
        world.sync().await;
        let journal = world.journal(0).await;
        let kept = journal.iter().filter(|line| line.action == "conflict" && line.before.contains("two")).count();
        let both = Side::BOTH.map(|side| world.value(side, "d", "Name"));
        unless(
            kept == 1 && both == ["three", "three"],
            format!("I4: {both:?}, and the log has what was there {kept} times"),
        )
    })
}

fn changed_row() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.add_both("d", [&[("Name", "one")], &[("Name", "two")]]);
        world.settle().await;
        let before = world.value(Side::Right, "d", "Name");
        // The fields are those that were read all along, so nothing is read anew for it.
        world.kind.first_sync = FirstSync::Winner;
        *world.settings[0].changes.entry("Name").or_default() += 1;
        world.adopted.insert("Name");
        world.sync().await;
        let after = world.value(Side::Right, "d", "Name");
        let is_agreed = before == "two" && after == "one";
        unless(is_agreed, format!("S12: a changed row is not agreed on: {before:?}, then {after:?}"))
    })
}

fn between() -> Vec<String> {
    // Left conditions its updates, right is read again before them.
    let mut wrong = Vec::new();
    for edited in Side::BOTH {
        wrong.extend(pair_of(DeletePolicy::Report, async |world| {
            let (id, _) = world.entity(edited, "a").expect("it is there");
            world.type_in(edited.other(), "a", "Name", "written");
            world.tick(5_000);
            world.crms[edited as usize].lock().meanwhile = Some(("pull", id, "Name", "between"));
            world.calm_run(0).await;
            world.settle().await;
            let stands = world.value(edited, "a", "Name") == "between";
            let journal = world.journal(0).await;
            let is_told = journal.iter().any(|line| line.action == "conflict" && line.before.contains("between"));
            unless(stands || is_told, format!("I4: what was edited on {edited:?} before a write is gone"))
        }));
    }
    wrong
}

fn frozen() -> Vec<String> {
    let mut wrong = Vec::new();
    for point in (0..24).step_by(2) {
        wrong.extend(pair_of(DeletePolicy::Report, async |world| {
            world.type_in(Side::Left, "a", "Name", "one");
            world.add(Side::Left, &[("Code", "n"), ("Name", "new")]);
            world.type_in(Side::Right, "a", "Phone", "2");
            world.tick(5_000);
            let order = Order { end: End::Frozen(point), counted: Counted::Changes, ..world.calm(0) };
            world.run(order).await;
            vec![]
        }));
    }
    wrong
}

fn debt() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.type_in(Side::Left, "a", "Name", "one");
        world.sync().await;
        world.sync().await;
        world.type_in(Side::Right, "a", "Name", "two");
        world.sync().await;
        let told = world.value(Side::Left, "a", "Name");
        unless(told == "two", format!("I4: an edit lost to a value that had been told long ago: {told}"))
    })
}

fn written_later() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        let (id, _) = world.entity(Side::Right, "a").expect("it is there");
        world.crms[1].lock().missed_once = Some(id);
        world.type_in(Side::Left, "a", "Name", "waits");
        world.sync().await;
        world.sync().await;
        world.sync().await;
        let told = world.value(Side::Right, "a", "Name");
        unless(told == "waits", format!("I4: a withdrawn write is not decided again: {told}"))
    })
}

fn linked_meanwhile() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.add(Side::Left, &[("Code", "n"), ("Mail", "n"), ("Name", "x")]);
        world.tick(2_000);
        world.crms[1].lock().next_push = Some(FaultKind::Lost);
        world.calm_run(0).await;
        // The source is staged anew, and somebody makes the other record by hand.
        world.type_in(Side::Left, "n", "Name", "y");
        world.add(Side::Right, &[("Code", "m"), ("Mail", "n"), ("Name", "y")]);
        world.tick(1_100);
        world.calm_run(0).await;
        world.settle().await;
        let made = world.crms[1].live().len();
        unless(made == 2, "I2: a record was made for one that had a partner already")
    })
}

fn linked_twice() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        let (taken, _) = world.entity(Side::Right, "a").expect("it is there");
        let (store, pair, now_ms) = (world.hosts[0].clone(), world.pairs[0], world.now_ms());
        let lease = store.take_lease(world.tenant, FLOWS[0], "a test", None, now_ms, 60_000).await;
        let lease = lease.expect("it can be asked for").expect("nobody holds it");
        let run = store.begin_run(&lease, "test", now_ms).await.expect("a run can begin");
        let intent = NewIntent {
            side: Side::Right,
            operation: Operation::Create,
            source: "900".into(),
            source_seq: 0,
            target: String::new(),
            create_key: format!("{}x", crmsync::engine::KEY_MARK),
            body: IntentBody::default(),
        };
        let unit = UnitCommit { intents: vec![intent], ..UnitCommit::default() };
        store.commit_decisions(&lease, pair, run, vec![unit], now_ms).await.expect("it can be decided");
        let due = store.due_intents(world.tenant, pair, Side::Right, Operation::Create, now_ms, 1).await;
        let intent = due.expect("it can be read")[0].id;
        store.admit_intents(&lease, vec![intent], now_ms).await.expect("it is planned");
        let (version, shown) = (String::new(), BTreeMap::new());
        let stored = Settlement::Stored { intent, record: taken, version, shown, told: false };
        let settled = store.settle_intents(&lease, pair, run, vec![stored], now_ms).await;
        let told = world.reasons().await.contains(&"already-linked".to_owned());
        unless(settled.is_ok() && told, format!("I3: a create that led to a linked record: {settled:?}"))
    })
}

fn one_second() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        let (id, _) = world.entity(Side::Left, "a").expect("it is there");
        world.tick(1_000 - world.now_ms() % 1_000);
        world.crms[0].person_edits(&id, "Name", Value::text("one"));
        let second = world.now_ms() / 1_000;
        world.calm_run(0).await;
        world.crms[0].person_edits(&id, "Name", Value::text("two"));
        let mut wrong = unless(world.now_ms() / 1_000 == second, "the run took longer than a second");
        world.sync().await;
        let told = world.value(Side::Right, "a", "Name");
        wrong.extend(unless(told == "two", format!("I7: the second edit of a second was not seen: {told}")));
        wrong
    })
}
