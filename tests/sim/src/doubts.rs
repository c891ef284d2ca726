//! Small worlds of what is not known for certain: writes that nobody answered, records that a login does not see, fields that are away.

use crmsync_core::{DeletePolicy, Side};

use crate::bites::pair_of;
use crate::crm::QUIESCE_MS;
use crate::faults::FaultKind;
use crate::host::Order;
use crate::plan::Kind;
use crate::pulse::End;
use crate::scenarios::{Scenario, kind, unless, world};

/// All of them.
pub(crate) const DOUBTS: &[Scenario] = &[
    Scenario { name: "what was read before a write is not held against it", live: read_before_a_write },
    Scenario {
        name: "what a CRM makes of a value does not bounce, wherever the run was killed",
        live: bounce_after_a_kill,
    },
    Scenario {
        name: "what is edited beside an empty place travels, though its row was changed",
        live: changed_while_away,
    },
    Scenario { name: "the answer to one write says nothing of another one", live: another_write },
    Scenario { name: "what arrived is known, though the other side's field is away", live: half_read },
    Scenario { name: "news of both sides are not agreed on before both were read", live: unread_news },
    Scenario { name: "what arrived pays no newer debt", live: newer_debt },
    Scenario { name: "a create that nobody answered is known as soon as its record arrives", live: arrival },
    Scenario { name: "a mark that nobody answered is looked for", live: doubted_mark },
    Scenario { name: "who comes back as the other one leaves stays", live: crossing },
    Scenario { name: "a record that the login does not see may have been created", live: out_of_sight },
    Scenario { name: "who takes back what we wrote is no CRM that lost it", live: taken_back },
    Scenario { name: "a write that nobody answered is in the log", live: unanswered },
    Scenario { name: "a write is not looked for while it may still be carried out", live: late },
];

fn changed_while_away() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.delete(Side::Left, "a");
        world.sync().await;
        *world.settings[0].changes.entry("Note").or_default() += 1;
        world.sync().await;
        world.type_in(Side::Right, "a", "Note", "news");
        world.sync().await;
        world.restore(Side::Left, "a");
        world.settle().await;
        let told = world.value(Side::Left, "a", "Note");
        unless(told == "news", format!("I4: the record that came back was not told of an edit: {told:?}"))
    })
}

fn another_write() -> Vec<String> {
    let mut wrong = Vec::new();
    for point in (60..140).step_by(2) {
        wrong.extend(pair_of(DeletePolicy::Report, async |world| {
            world.type_in(Side::Right, "a", "Phone", "2");
            world.crms[0].lock().next_push = Some(FaultKind::Cut);
            world.sync().await;
            // The field is away before anybody has seen what became of that write; meanwhile people edit it, and another one is written.
            world.settings[0].paused.insert("Phone");
            world.type_in(Side::Left, "a", "Phone", "3");
            world.tick(2 * QUIESCE_MS);
            world.sync().await;
            world.type_in(Side::Right, "a", "Note", "another");
            world.tick(5_000);
            let order = Order { end: End::Killed(point), ..world.calm(0) };
            world.run(order).await;
            world.settings[0].paused.clear();
            world.settle().await;
            let left = world.value(Side::Left, "a", "Phone");
            unless(left == "3", format!("I4: killed at {point}: an edit was taken for what became of a write: {left}"))
        }));
    }
    wrong
}

fn half_read() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.type_in(Side::Right, "a", "Note", "news");
        world.crms[0].lock().next_push = Some(FaultKind::Cut);
        world.sync().await;
        // Nobody has told the host that the field is away, so nothing is read anew for it when it is back.
        world.crms[1].lock().vanished.insert("Note".into());
        world.type_in(Side::Right, "a", "Name", "anna");
        world.tick(2 * QUIESCE_MS);
        world.sync().await;
        world.crms[1].lock().vanished.clear();
        *world.settings[0].changes.entry("Phone").or_default() += 1;
        world.sync().await;
        world.check_always();
        let stands = Side::BOTH.into_iter().all(|side| world.value(side, "a", "Note") == "news");
        unless(stands, "the edit is not on both sides")
    })
}

fn unread_news() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.type_in(Side::Right, "a", "Phone", "2");
        world.crms[0].lock().next_push = Some(FaultKind::Lost);
        world.sync().await;
        let ids: Vec<String> = world.crms[1].live().into_keys().collect();
        world.crms[1].hide(&ids, false, Some("own"));
        *world.settings[0].changes.entry("Phone").or_default() += 1;
        world.type_in(Side::Right, "a", "Phone", "3");
        world.type_in(Side::Left, "a", "Phone", "4");
        world.tick(2 * QUIESCE_MS);
        world.sync().await;
        world.crms[1].hide(&[], false, None);
        world.settle().await;
        let shown = Side::BOTH.map(|side| world.value(side, "a", "Phone"));
        let is_told = world.reasons().await.contains(&"differs".to_owned());
        unless(is_told && shown == ["4", "3"], format!("S5: two edits are {shown:?}, and nobody was told"))
    })
}

fn newer_debt() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.type_in(Side::Right, "a", "Note", "first");
        world.crms[0].lock().next_push = Some(FaultKind::Cut);
        world.sync().await;
        // It arrived. The next value cannot be written, and is owed.
        let ids: Vec<String> = world.crms[0].live().into_keys().collect();
        world.crms[0].hide(&ids, false, Some("own"));
        world.type_in(Side::Right, "a", "Note", "second");
        world.tick(2 * QUIESCE_MS);
        world.sync().await;
        world.crms[0].hide(&[], false, None);
        world.crms[1].lock().vanished.insert("Note".into());
        world.type_in(Side::Right, "a", "Name", "anna");
        world.sync().await;
        world.crms[1].lock().vanished.clear();
        *world.settings[0].changes.entry("Phone").or_default() += 1;
        world.settle().await;
        let left = world.value(Side::Left, "a", "Note");
        unless(left == "second", format!("I4: an edit is not told, as an earlier one had arrived: {left}"))
    })
}

fn arrival() -> Vec<String> {
    world(Kind { records: 0, ..kind(DeletePolicy::Report) }, async |world| {
        world.settle().await;
        world.add(Side::Left, &[("Code", "n"), ("Name", "new")]);
        world.tick(2_000);
        world.crms[1].lock().next_push = Some(FaultKind::Cut);
        world.calm_run(0).await;
        // The write could still be carried out a second time for all that the host knows; the record is there all the same.
        world.tick(QUIESCE_MS / 4);
        world.calm_run(0).await;
        let is_known = world.journal(0).await.iter().any(|line| line.action == "created");
        unless(is_known, "a record with our key waited as if nobody knew whose it is")
    })
}

fn doubted_mark() -> Vec<String> {
    let mut wrong = pair_of(DeletePolicy::Mark, async |world| {
        world.delete(Side::Right, "a");
        world.crms[0].lock().next_push = Some(FaultKind::Lost);
        world.sync().await;
        // When it is looked for, the login does not see the record.
        let ids: Vec<String> = world.crms[0].live().into_keys().collect();
        world.crms[0].hide(&ids, false, Some("own"));
        world.tick(2 * QUIESCE_MS);
        world.sync().await;
        world.crms[0].hide(&[], false, None);
        world.settle().await;
        unless(world.is_marked(Side::Left, "a"), "a mark that was lost is taken for one that is there")
    });
    // Or it is killed as it is about to be marked again.
    for point in (0..160).step_by(2) {
        wrong.extend(pair_of(DeletePolicy::Mark, async |world| {
            world.delete(Side::Right, "a");
            world.crms[0].lock().next_push = Some(FaultKind::Lost);
            world.sync().await;
            world.tick(2 * QUIESCE_MS);
            let order = Order { end: End::Killed(point), ..world.calm(0) };
            world.run(order).await;
            let ids: Vec<String> = world.crms[0].live().into_keys().collect();
            world.crms[0].hide(&ids, false, Some("own"));
            world.sync().await;
            world.crms[0].hide(&[], false, None);
            world.settle().await;
            unless(world.is_marked(Side::Left, "a"), format!("killed at {point}, nobody marks it any more"))
        }));
    }
    wrong
}

fn crossing() -> Vec<String> {
    let mut wrong = pair_of(DeletePolicy::Recycle, async |world| {
        world.delete(Side::Right, "a");
        world.sync().await;
        world.restore(Side::Left, "a");
        world.sync().await;
        world.delete(Side::Left, "a");
        world.restore(Side::Right, "a");
        world.settle().await;
        let is_asked = world.reasons().await.contains(&"restored-alone".to_owned());
        unless(
            is_asked && world.entity(Side::Right, "a").is_some(),
            "a record that came back was deleted, or not told of",
        )
    });
    // A mark may come, as it can go.
    wrong.extend(pair_of(DeletePolicy::Mark, async |world| {
        world.delete(Side::Right, "a");
        world.sync().await;
        world.delete(Side::Left, "a");
        world.restore(Side::Right, "a");
        world.settle().await;
        unless(world.is_marked(Side::Right, "a"), "the other record left, and nothing says so")
    }));
    wrong
}

fn out_of_sight() -> Vec<String> {
    let mut wrong = Vec::new();
    for keyless in [false, true] {
        let mut kind = Kind { records: 0, ..kind(DeletePolicy::Report) };
        kind.habits[1].keyless = keyless;
        wrong.extend(world(kind, async |world| {
            world.settle().await;
            world.add(Side::Left, &[("Code", "n"), ("Name", "new")]);
            world.tick(2_000);
            world.crms[1].lock().next_push = Some(FaultKind::Cut);
            world.calm_run(0).await;
            let made: Vec<String> = world.crms[1].live().into_keys().collect();
            world.crms[1].hide(&made, false, Some("own"));
            for _ in 0..3 {
                world.tick(2 * QUIESCE_MS);
                world.calm_run(0).await;
            }
            world.crms[1].hide(&[], false, None);
            world.settle().await;
            world.check_always();
            unless(made.len() == 1, "the record was made before its answer was lost")
        }));
    }
    wrong
}

fn taken_back() -> Vec<String> {
    let (mut wrong, mut agreed) = (Vec::new(), 0);
    for point in (60..140).step_by(2) {
        wrong.extend(pair_of(DeletePolicy::Report, async |world| {
            world.type_in(Side::Right, "a", "Phone", "2");
            world.tick(5_000);
            let order = Order { end: End::Killed(point), ..world.calm(0) };
            world.run(order).await;
            world.tick(5_000);
            // A write that the host does not know of is a window of its own.
            let is_written = world.journal(0).await.iter().any(|line| line.action == "updated" && line.side == "left");
            if is_written {
                world.type_in(Side::Left, "a", "Phone", "1");
            }
            world.settle().await;
            let [left, right] = Side::BOTH.map(|side| world.value(side, "a", "Phone"));
            let is_told = left == right || world.reasons().await.contains(&"differs".to_owned());
            agreed += usize::from(is_written && left == right);
            let stands = left == if is_written { "1" } else { "2" };
            unless(stands && is_told, format!("I4: killed at {point}: {left} and {right}"))
        }));
    }
    // Where it was read back in time, it is an edit like any other.
    wrong.extend(unless(agreed > 20, format!("it travelled {agreed} times only")));
    wrong
}

fn unanswered() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.crms[1].lock().next_push = Some(FaultKind::Cut);
        world.type_in(Side::Left, "a", "Name", "arrived");
        world.settle().await;
        world.check_log().await;
        let shown = world.value(Side::Right, "a", "Name");
        unless(shown == "arrived", format!("the edit did not arrive: {shown}"))
    })
}

fn late() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        world.add(Side::Left, &[("Code", "n"), ("Name", "late")]);
        world.tick(2_000);
        world.crms[1].lock().next_push = Some(FaultKind::Late);
        for _ in 0..3 {
            world.calm_run(0).await;
        }
        world.settle().await;
        world.check_always();
        unless(world.entity(Side::Right, "n").is_some(), "the record was never made")
    })
}

fn bounce_after_a_kill() -> Vec<String> {
    let mut wrong = Vec::new();
    for point in (60..140).step_by(2) {
        let mut kind = Kind { records: 0, ..kind(DeletePolicy::Report) };
        kind.habits[0].capitals = Some("Name");
        wrong.extend(world(kind, async |world| {
            world.add_both("a", [&[("Name", "ANNA")], &[("Name", "ANNA")]]);
            world.settle().await;
            world.type_in(Side::Right, "a", "Name", "berta");
            world.tick(5_000);
            let order = Order { end: End::Killed(point), ..world.calm(0) };
            world.run(order).await;
            world.settle().await;
            let shown = Side::BOTH.map(|side| world.value(side, "a", "Name"));
            // What was never answered cannot be told from somebody's edit.
            let is_answered = world.journal(0).await.iter().all(|line| line.action != "unknown");
            let is_kept = !is_answered || shown == ["BERTA", "berta"];
            unless(is_kept, format!("killed at {point}: what one CRM made of it came back: {shown:?}"))
        }));
    }
    wrong
}

fn read_before_a_write() -> Vec<String> {
    pair_of(DeletePolicy::Report, async |world| {
        // A value that waits for its field, and a row that has to be read anew on both sides.
        world.crms[1].lock().read_only.insert("Phone".into());
        world.settings[0].read_only.insert("Phone");
        world.settings[0].out.insert("Note");
        world.type_in(Side::Left, "a", "Phone", "2");
        world.sync().await;
        world.crms[1].lock().read_only.clear();
        world.settings[0].read_only.clear();
        world.settings[0].out.clear();
        // The left record cannot be read; what is owed is written all the same, to a record that waits for it.
        let ids: Vec<String> = world.crms[0].live().into_keys().collect();
        world.crms[0].hide(&ids, false, Some("own"));
        world.type_in(Side::Right, "a", "Note", "news");
        world.sync().await;
        world.crms[0].hide(&[], false, None);
        // At once: a later run would see that the other side shows something else, and put it right again.
        world.sync().await;
        let shown = Side::BOTH.map(|side| [world.value(side, "a", "Phone"), world.value(side, "a", "Note")]);
        let is_kept = shown.iter().all(|[phone, note]| phone == "2" && note == "news");
        unless(is_kept, format!("I4: what we wrote is undone by what had been read before: {shown:?}"))
    })
}
