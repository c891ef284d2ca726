//! What people decide about single records: links made and ended by hand, records left alone or copied, values taken from one side,
//! creates that only a person can tell about. Each decision needs the flow's lease and leaves a line in the journal. It prepares and
//! writes to no CRM: the next run reads the records, decides and writes.

use std::collections::BTreeMap;

use crmsync_core::{Away, Base, Side, Value};

use super::attention::Point;
use super::choice::{self, Choice};
use super::decisions::forget_outcomes;
use super::driver::to_json;
use super::journal::{JournalLine, write_journal};
use super::links::{LinkRow, find_link, save_link};
use super::outbox::{IntentRow, IntentState, Settlement, load_intent};
use super::settle::settle;
use super::staging::{PresenceWord, inbox_row, stage_unseen, touch_known};
use super::{Error, Lease, PairId, Store, Tx};

/// A person's answer to a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The record is this one of the other side.
    Link(String),
    /// It has no counterpart: copy it to the other side.
    New,
    /// Do not sync it.
    LeaveAlone,
    /// The value of this side goes to the other one.
    Take(Side),
    /// Leave both sides as they are.
    Keep,
    /// A create without an answer did not happen: create the record once more.
    Again,
    /// Create the record again on the side that it left.
    Restore,
    /// Delete the record that is still there, too.
    Delete,
}

/// Why an answer cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// One of the records is in another link, of these two.
    Linked(String, String),
    /// A write of the record is under way and nobody knows its outcome yet.
    UnderWay,
    /// This answer is none to this point.
    DoesNotFit,
    /// The record is in no link.
    NotLinked,
    /// The record is not there any more.
    Gone,
    /// A create of it waits for a person's answer, who has to give that first.
    Parked,
}

impl Store {
    /// Carries out one answer to each of these points, and tells of each whether it could be.
    pub async fn decide_points(
        &self,
        lease: &Lease,
        run: i64,
        points: Vec<Point>,
        answer: Answer,
        now_ms: i64,
    ) -> Result<Vec<Result<(), Obstacle>>, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let decide =
                |point: &Point| Desk { tx, lease: &lease, pair: point.pair, run, now_ms }.decide(point, answer.clone());
            points.iter().map(decide).collect()
        })
        .await
    }

    /// Links two records by hand. Both are read and decided by the next run, like records that were matched.
    pub async fn link_by_hand(
        &self,
        lease: &Lease,
        pair: PairId,
        run: i64,
        ids: [String; 2],
        now_ms: i64,
    ) -> Result<Result<(), Obstacle>, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            Desk { tx, lease: &lease, pair, run, now_ms }.link(&ids[0], &ids[1])
        })
        .await
    }

    /// Ends a link for good: its records are not joined again by themselves, and both are left alone until a person says otherwise.
    pub async fn unlink_by_hand(
        &self,
        lease: &Lease,
        pair: PairId,
        run: i64,
        side: Side,
        record: String,
        now_ms: i64,
    ) -> Result<Result<(), Obstacle>, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            Desk { tx, lease: &lease, pair, run, now_ms }.unlink(side, &record)
        })
        .await
    }

    /// Puts the records of these points before the next decision again, with their attempts forgotten. Gives how many there are.
    pub async fn retry_points(&self, lease: &Lease, points: Vec<Point>) -> Result<u64, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let mut records = std::collections::BTreeSet::new();
            for point in &points {
                let (side, record) = point.place();
                records.insert((point.pair, side, record.to_owned()));
            }
            for (pair, side, record) in &records {
                if let Some(link) = find_link(tx, &lease.tenant, *pair, *side, record)? {
                    tx.execute("UPDATE link SET attempts = 0 WHERE id = ?1", [link.id])?;
                }
                touch_known(tx, &lease.tenant, *pair, *side, record)?;
            }
            Ok(records.len() as u64)
        })
        .await
    }
}

/// Where one decision is carried out.
struct Desk<'a> {
    tx: &'a Tx<'a>,
    lease: &'a Lease,
    pair: PairId,
    run: i64,
    now_ms: i64,
}

type Carried = Result<Result<(), Obstacle>, Error>;

impl Desk<'_> {
    fn tenant(&self) -> &str {
        &self.lease.tenant
    }

    fn decide(&self, point: &Point, answer: Answer) -> Carried {
        let (side, record) = point.place();
        let link = find_link(self.tx, self.tenant(), self.pair, side, record)?;
        let parked = self.parked_create(side, record)?;
        match (answer, link, parked) {
            (Answer::Link(with), None, Some(create)) => self.tell_create(&create, with),
            (Answer::Link(with), None, None) => match side {
                Side::Left => self.link(record, &with),
                Side::Right => self.link(&with, record),
            },
            (Answer::Again, None, Some(create)) => self.create_again(&create),
            (Answer::New, None, None) => self.choose(side, record, Choice::New),
            (Answer::LeaveAlone, None, parked) => {
                if let Some(create) = parked {
                    self.leave_results_alone(&create)?;
                    self.forget_create(&create)?;
                }
                self.choose(side, record, Choice::LeftAlone)
            }
            (Answer::Take(from), Some(link), _) if !point.field.is_empty() && link.removed.is_none() => {
                self.take(link, point, from)
            }
            (Answer::Keep, Some(link), _) if link.removed.is_some() && point.field.is_empty() => {
                let reopened_by = link.removed.map_or("none", Side::as_str);
                self.part(link, reopened_by)
            }
            (Answer::Keep, Some(link), _) => self.keep(&link, point),
            (Answer::Delete, Some(link), _) if link.removed.is_some() && point.field.is_empty() => {
                self.delete_too(link, point)
            }
            (Answer::Restore, Some(link), _) if link.removed.is_some() => self.restore(link),
            _ => Ok(Err(Obstacle::DoesNotFit)),
        }
    }

    fn link(&self, left: &str, right: &str) -> Carried {
        for (side, id) in [(Side::Left, left), (Side::Right, right)] {
            if let Some(link) = find_link(self.tx, self.tenant(), self.pair, side, id)? {
                return Ok(Err(Obstacle::Linked(link.left_id, link.right_id)));
            }
            match self.open_create(side, id)? {
                Some(create) if create.state == IntentState::Planned && create.attempts == 0 => {
                    self.forget_create(&create)?;
                }
                Some(create) if create.state == IntentState::Parked => return Ok(Err(Obstacle::Parked)),
                Some(_) => return Ok(Err(Obstacle::UnderWay)),
                None => {}
            }
            let staged = inbox_row(self.tx, self.tenant(), self.pair, side, id)?;
            if staged.is_some_and(|row| matches!(row.presence, PresenceWord::Removed(_))) {
                return Ok(Err(Obstacle::Gone));
            }
        }
        save_link(self.tx, self.tenant(), self.pair, &LinkRow::new(left, right), self.now_ms)?;
        for (side, id) in [(Side::Left, left), (Side::Right, right)] {
            forget_outcomes(self.tx, self.tenant(), self.pair, side, id)?;
            stage_unseen(self.tx, self.tenant(), self.pair, side, id)?;
        }
        self.note("linked", None, left, right, "by hand")?;
        Ok(Ok(()))
    }

    fn unlink(&self, side: Side, record: &str) -> Carried {
        match find_link(self.tx, self.tenant(), self.pair, side, record)? {
            Some(link) => self.part(link, "none"),
            None => Ok(Err(Obstacle::NotLinked)),
        }
    }

    /// Ends a link and leaves alone those of its records that are still there.
    fn part(&self, link: LinkRow, reopened_by: &str) -> Carried {
        if let Err(obstacle) = self.end(&link, reopened_by)? {
            return Ok(Err(obstacle));
        }
        for side in Side::BOTH {
            match link.removed == Some(side) {
                false => self.set_choice(side, link.id_of(side), Choice::LeftAlone)?,
                // Should it come back from the bin, it is not copied next to the one that is left alone.
                true if reopened_by == "none" => self.remember_choice(side, link.id_of(side), Choice::LeftAlone)?,
                true => {}
            }
        }
        self.note("unlinked", None, &link.left_id, &link.right_id, "by hand; both are left alone")?;
        Ok(Ok(()))
    }

    /// The survivor becomes a record without a partner, and is copied to the side where its former partner was.
    fn restore(&self, link: LinkRow) -> Carried {
        let Some(gone) = link.removed else { return Ok(Err(Obstacle::DoesNotFit)) };
        if let Err(obstacle) = self.end(&link, "none")? {
            return Ok(Err(obstacle));
        }
        self.set_choice(gone.other(), link.id_of(gone.other()), Choice::New)?;
        // Should the old one come back from the bin, it is not copied next to the new one.
        self.remember_choice(gone, link.id_of(gone), Choice::LeftAlone)?;
        self.note("decided", Some(gone), &link.left_id, &link.right_id, "the record is created again")?;
        Ok(Ok(()))
    }

    /// The next run moves the survivor to the bin, if it still is as it is now.
    fn delete_too(&self, mut link: LinkRow, point: &Point) -> Carried {
        let (Some(gone), Away::Kept(_)) = (link.removed, link.away) else { return Ok(Err(Obstacle::DoesNotFit)) };
        let survivor = gone.other();
        link.delete_asked = true;
        save_link(self.tx, self.tenant(), self.pair, &link, self.now_ms)?;
        self.forget_point(point)?;
        stage_unseen(self.tx, self.tenant(), self.pair, survivor, link.id_of(survivor))?;
        self.note("decided", Some(survivor), &link.left_id, &link.right_id, "the other record is deleted, too")?;
        Ok(Ok(()))
    }

    fn end(&self, link: &LinkRow, reopened_by: &str) -> Carried {
        let under_way = self.tx.one(
            "SELECT 1 FROM intent WHERE tenant = ?1 AND pair = ?2 AND link = ?3 AND link <> 0 AND state <> 'planned'",
            (self.tenant(), self.pair, link.id),
            |_| Ok(()),
        )?;
        if under_way.is_some() {
            return Ok(Err(Obstacle::UnderWay));
        }
        self.tx.execute("DELETE FROM intent WHERE link = ?1 AND link <> 0", [link.id])?;
        self.tx.execute("UPDATE link SET state = 'ended', reopened_by = ?2 WHERE id = ?1", (link.id, reopened_by))?;
        for side in Side::BOTH {
            forget_outcomes(self.tx, self.tenant(), self.pair, side, link.id_of(side))?;
        }
        Ok(Ok(()))
    }

    fn choose(&self, side: Side, record: &str, choice: Choice) -> Carried {
        if self.open_create(side, record)?.is_some() {
            return Ok(Err(Obstacle::UnderWay));
        }
        self.set_choice(side, record, choice)?;
        let (left, right) = if side == Side::Left { (record, "") } else { ("", record) };
        let words = if choice == Choice::New { "it has no counterpart" } else { "it is left alone" };
        self.note("decided", Some(side), left, right, words)?;
        Ok(Ok(()))
    }

    fn set_choice(&self, side: Side, record: &str, choice: Choice) -> Result<(), Error> {
        choice::choose(self.tx, self.tenant(), self.pair, side, record, choice, self.now_ms)
    }

    fn remember_choice(&self, side: Side, record: &str, choice: Choice) -> Result<(), Error> {
        choice::remember_choice(self.tx, self.tenant(), self.pair, side, record, choice, self.now_ms)
    }

    /// One side's last agreed value of a row is owed to the other side from now on.
    fn take(&self, mut link: LinkRow, point: &Point, from: Side) -> Carried {
        let Some(bases) = link.bases.get_mut(&point.field) else { return Ok(Err(Obstacle::DoesNotFit)) };
        let (Some(_), Some(_)) = (&bases.left, &bases.right) else { return Ok(Err(Obstacle::DoesNotFit)) };
        bases.owed = from.other().into();
        let values = |base: &Option<Base>| base.as_ref().map(|base| base.values.clone()).unwrap_or_default();
        let (loser, winner) = (values(bases.side(from.other())), values(bases.side(from)));
        save_link(self.tx, self.tenant(), self.pair, &link, self.now_ms)?;
        self.forget_point(point)?;
        touch_known(self.tx, self.tenant(), self.pair, Side::Left, &link.left_id)?;
        self.line(
            "decided",
            Some(from.other()),
            &link.left_id,
            &link.right_id,
            &point.field,
            &loser,
            &winner,
            "taken by hand",
        )?;
        Ok(Ok(()))
    }

    fn keep(&self, link: &LinkRow, point: &Point) -> Carried {
        self.forget_point(point)?;
        self.line("decided", None, &link.left_id, &link.right_id, &point.field, &[], &[], "both stay as they are")?;
        Ok(Ok(()))
    }

    fn forget_point(&self, point: &Point) -> Result<(), Error> {
        let (side, record) = point.place();
        self.tx.execute(
            "DELETE FROM outcome WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND kind = ?5 AND reason = ?6 AND field = ?7",
            (self.tenant(), self.pair, side.as_str(), record, &point.kind, &point.reason, &point.field),
        )?;
        Ok(())
    }

    /// The create of a record that waits for a person.
    fn parked_create(&self, side: Side, source: &str) -> Result<Option<IntentRow>, Error> {
        Ok(self.open_create(side, source)?.filter(|create| create.state == IntentState::Parked))
    }

    fn open_create(&self, source_side: Side, source: &str) -> Result<Option<IntentRow>, Error> {
        let id = self.tx.one(
            "SELECT id FROM intent WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND source = ?4 AND operation = 'create'",
            (self.tenant(), self.pair, source_side.other().as_str(), source),
            |row| row.get(0),
        )?;
        id.map_or(Ok(None), |id| load_intent(self.tx, id))
    }

    /// A person found the record that a create without an answer made. If it has our key it is what we sent; otherwise a colleague may
    /// have made it, and both are joined like records that were matched.
    fn tell_create(&self, create: &IntentRow, record: String) -> Carried {
        let source = create.source.as_str();
        let staged = inbox_row(self.tx, self.tenant(), self.pair, create.side, &record)?;
        // What an undo brings back has nobody on the other side that it could be joined with.
        let is_ours = create.body.undo
            || staged.is_some_and(|row| !row.create_key.is_empty() && row.create_key == create.create_key);
        if !is_ours {
            let (left, right) =
                if create.side == Side::Right { (source, record.as_str()) } else { (record.as_str(), source) };
            if let Some(link) = find_link(self.tx, self.tenant(), self.pair, create.side, &record)? {
                return Ok(Err(Obstacle::Linked(link.left_id, link.right_id)));
            }
            self.forget_create(create)?;
            return self.link(left, right);
        }
        let happened = Settlement::Stored {
            intent: create.id,
            record: record.clone(),
            version: String::new(),
            shown: BTreeMap::new(),
            told: false,
        };
        settle(self.tx, self.lease, self.pair, self.run, happened, self.now_ms)?;
        stage_unseen(self.tx, self.tenant(), self.pair, create.side, &record)?;
        Ok(Ok(()))
    }

    /// The same create once more, with its key: should the first one turn up after all, it is known by it.
    fn create_again(&self, create: &IntentRow) -> Carried {
        self.tx.execute(
            "UPDATE intent SET state = 'planned', not_before_ms = 0, attempts = 1 WHERE id = ?1",
            [create.id],
        )?;
        let side = create.side.other();
        forget_outcomes(self.tx, self.tenant(), self.pair, side, &create.source)?;
        let (left, right) =
            if side == Side::Left { (create.source.as_str(), "") } else { ("", create.source.as_str()) };
        self.note("decided", Some(create.side), left, right, "the create did not happen; once more")?;
        Ok(Ok(()))
    }

    /// What a create that is given up may have made is not synced either: it would be copied next to its own source.
    fn leave_results_alone(&self, create: &IntentRow) -> Result<(), Error> {
        let with_key: Vec<String> = self.tx.all(
            "SELECT record FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND create_key = ?4 AND create_key <> ''",
            (self.tenant(), self.pair, create.side.as_str(), &create.create_key),
            |row| row.get(0),
        )?;
        for record in create.body.candidates.iter().chain(&with_key) {
            if find_link(self.tx, self.tenant(), self.pair, create.side, record)?.is_none() {
                self.set_choice(create.side, record, Choice::LeftAlone)?;
            }
        }
        Ok(())
    }

    fn forget_create(&self, create: &IntentRow) -> Result<(), Error> {
        self.tx.execute("DELETE FROM intent WHERE id = ?1", [create.id])?;
        Ok(())
    }

    fn note(
        &self,
        action: &'static str,
        side: Option<Side>,
        left: &str,
        right: &str,
        words: &str,
    ) -> Result<(), Error> {
        self.line(action, side, left, right, "", &[], &[], words)
    }

    #[expect(clippy::too_many_arguments, reason = "one column each")]
    fn line(
        &self,
        action: &'static str,
        side: Option<Side>,
        left: &str,
        right: &str,
        field: &str,
        before: &[Value],
        after: &[Value],
        words: &str,
    ) -> Result<(), Error> {
        let values = |values: &[Value]| match values {
            [] => Ok(String::new()),
            values => to_json("journal values", &values),
        };
        let line = JournalLine {
            action,
            side,
            left_id: left.to_owned(),
            right_id: right.to_owned(),
            field: field.to_owned(),
            before: values(before)?,
            after: values(after)?,
            reason: String::new(),
            detail: words.to_owned(),
        };
        write_journal(self.tx, self.lease, self.pair, self.run, &line, self.now_ms)
    }
}
