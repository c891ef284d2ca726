//! One thing known on both sides: what each side showed last, kept apart for each side and field.

use crate::record::Side;
use crate::sabotage::{Sabotage, is_on};
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// The sides that still have to be told of a row: a write to them was decided and is not acknowledged, or was held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owed {
    /// Nobody.
    #[default]
    Nobody,
    /// The left side.
    Left,
    /// The right side.
    Right,
    /// Both: values of both were joined, and neither shows the result yet.
    Both,
}

impl Owed {
    /// Whether this side still has to be told.
    pub fn to(self, side: Side) -> bool {
        matches!((self, side), (Owed::Both, _) | (Owed::Left, Side::Left) | (Owed::Right, Side::Right))
    }

    /// Whether nobody has to be told.
    pub fn is_nobody(&self) -> bool {
        *self == Owed::Nobody
    }

    /// The same, and this side as well.
    #[must_use]
    pub fn and(self, side: Side) -> Owed {
        if self.to(side.other()) { Owed::Both } else { side.into() }
    }

    /// The same once this side was told.
    #[must_use]
    pub fn without(self, side: Side) -> Owed {
        if self.to(side.other()) { side.other().into() } else { Owed::Nobody }
    }
}

impl From<Side> for Owed {
    fn from(side: Side) -> Owed {
        match side {
            Side::Left => Owed::Left,
            Side::Right => Owed::Right,
        }
    }
}

/// What one side last showed in one mapping row (one value for each of the row's fields on that side).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Hash of the mapping row that this base belongs to; another hash means another agreement (S12).
    #[serde(rename = "h")]
    pub row_hash: u64,
    /// What the side showed.
    #[serde(rename = "v")]
    pub values: Vec<Value>,
    /// What we sent afterwards, while the side has not yet shown what it made of it (S1).
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Vec<Value>>,
    /// A later write of other rows was acknowledged: the version of its receipt says nothing of what was sent here.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub overtaken: bool,
}

impl Base {
    /// A base that the side showed.
    pub fn shown(row_hash: u64, values: Vec<Value>) -> Base {
        Base { row_hash, values, sent: None, overtaken: false }
    }

    /// A base that the side showed before we sent something else, of which it has not yet shown what it made.
    pub fn written(row_hash: u64, values: Vec<Value>, sent: Vec<Value>) -> Base {
        Base { row_hash, values, sent: Some(sent), overtaken: false }
    }

    /// Whether the read of the last receipt's version tells what the side made of what we sent.
    pub fn awaits_receipt(&self) -> bool {
        self.sent.is_some() && (!self.overtaken || is_on(Sabotage::OneReceiptForAll))
    }

    /// Whether what the side shows now is an edit, that is, neither what it showed last nor what we sent since.
    ///
    /// `version_is_receipt` says that the record's version is the very one that the CRM gave to our last write: if that was a write of
    /// this row, whatever it shows is what it made of our value (cut, rounded, `????`) and never an edit.
    pub fn edited(&self, shown: &[Value], version_is_receipt: bool) -> bool {
        // Rule 4: a field that was not read says nothing.
        if shown.iter().any(|value| !value.is_read()) {
            return false;
        }
        if shown == self.values.as_slice() {
            return false;
        }
        match &self.sent {
            Some(_) if is_on(Sabotage::EchoIsEdit) => true,
            Some(sent) => {
                let is_told = version_is_receipt && self.awaits_receipt() && !is_on(Sabotage::ReceiptIsForgotten);
                !is_told && !made_of(sent, shown)
            }
            None => true,
        }
    }

    /// Whether a side shows what it showed before we wrote something else.
    pub fn is_former(&self, shown: &[Value]) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent != shown) && shown == self.values.as_slice()
    }

    /// Whether a write of these values that nobody answered has arrived: they are what we sent, and the side shows what it made of
    /// them instead of what it showed before. Writing them again would change nothing.
    pub fn arrived(&self, values: &[Value], shown: &[Value]) -> bool {
        self.sent.as_deref() == Some(values) && shown != self.values.as_slice() && made_of(values, shown)
    }
}

/// Whether a record that shows `shown` may be the one that we sent `sent` for, row by row: every row, or half of them at least, as a CRM
/// may have formatted some, and people may have edited some since.
pub fn resembles<'a>(rows: impl IntoIterator<Item = (&'a [Value], &'a [Value])>) -> Resemblance {
    let (mut rows_all, mut alike, mut unread) = (0, 0, 0);
    for (sent, shown) in rows {
        if shown.iter().all(Value::is_read) {
            rows_all += 1;
            alike += u32::from(made_of(sent, shown));
        } else {
            unread += 1;
        }
    }
    match alike {
        // A field that is not there any more says nothing for it and nothing against it.
        0 if rows_all == 0 && unread > 0 => Resemblance::Partial,
        _ if rows_all == 0 => Resemblance::None,
        alike if alike == rows_all && unread > 0 => Resemblance::Partial,
        alike if alike == rows_all => Resemblance::Whole,
        alike if alike * 2 >= rows_all => Resemblance::Partial,
        _ => Resemblance::None,
    }
}

/// How much a record looks like what we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resemblance {
    /// It is another record.
    None,
    /// Half of it at least is alike: only a person can tell.
    Partial,
    /// It shows all that we sent.
    Whole,
}

/// Shorter texts are not cut by the CRM but by a person: the narrowest text field that is known to cut silently keeps 30 characters.
const CUT_CHARS_MIN: usize = 20;

/// Whether a side shows what CRMs are known to make of these values: they themselves, or texts cut or stripped of what the CRM's
/// database has no room for.
pub fn made_of(sent: &[Value], shown: &[Value]) -> bool {
    sent.len() == shown.len() && sent.iter().zip(shown).all(|(sent, shown)| is_made_of(sent, shown))
}

/// Whether a side shows what CRMs are known to make of a text silently: cut at the end, trimmed, characters outside the basic
/// plane replaced by question marks. Asked only while we have not seen what became of our own write and its version is not
/// known; a person who shortens a long value in that moment to a part of itself is taken for the CRM.
fn is_made_of(sent: &Value, shown: &Value) -> bool {
    match (sent, shown) {
        (Value::Text(sent), Value::Text(shown)) => {
            let plain: String =
                sent.chars().map(|c| if c > '\u{ffff}' { "????".to_owned() } else { c.to_string() }).collect();
            let shown = shown.trim();
            let may_be_cut = shown.chars().count() >= CUT_CHARS_MIN;
            [sent.trim(), plain.trim()].into_iter().any(|sent| sent == shown || (may_be_cut && sent.starts_with(shown)))
        }
        _ => sent == shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<Value> {
        vec![Value::text(text)]
    }

    #[test]
    fn debts_add_up_and_are_paid_one_by_one() {
        let both = Owed::default().and(Side::Left).and(Side::Right);
        assert_eq!(both, Owed::Both);
        assert_eq!(Owed::from(Side::Left).and(Side::Left), Owed::Left);
        assert_eq!(both.without(Side::Left), Owed::Right);
        assert_eq!(both.without(Side::Left).without(Side::Right), Owed::Nobody);
        assert_eq!(Owed::Right.without(Side::Left), Owed::Right);
        assert!(both.to(Side::Left) && both.to(Side::Right) && !Owed::Left.to(Side::Right));
    }

    #[test]
    fn a_side_is_held_against_its_own_base() {
        let check = |base: &Base, shown: &[Value], receipt: bool, edited: bool| {
            assert_eq!(base.edited(shown, receipt), edited, "{base:?} against {shown:?}");
        };
        let settled = Base::shown(1, text("a"));
        check(&settled, &text("a"), false, false);
        check(&settled, &text("b"), false, true);
        check(&settled, &text(""), false, true);
        check(&settled, &[Value::Absent], false, false);

        let sent = Base::written(1, text("old"), text("🙂"));
        check(&sent, &text("🙂"), false, false);
        check(&sent, &text("????"), true, false);
        check(&sent, &text("????"), false, false);
        check(&sent, &text("???? and more"), false, true);
        check(&sent, &text("old"), false, false);

        let overtaken = Base { overtaken: true, ..Base::written(1, text("old"), text("ours")) };
        check(&overtaken, &text("theirs"), true, true);
        check(&overtaken, &text("ours"), true, false);

        let long = Base::written(1, text("old"), text("Customer Care, Returns and Refunds"));
        check(&long, &text("Customer Care, Returns and Ref"), false, false);
        check(&long, &text("Customer Care"), false, true);
    }

    #[test]
    fn a_record_resembles_what_was_sent() {
        let check = |sent: &[&str], shown: &[&str], expected: Resemblance| {
            let values = |texts: &[&str]| texts.iter().map(|one| text(one)).collect::<Vec<_>>();
            let (sent, shown) = (values(sent), values(shown));
            let rows = sent.iter().zip(&shown).map(|(sent, shown)| (sent.as_slice(), shown.as_slice()));
            assert_eq!(resembles(rows), expected, "{sent:?} {shown:?}");
        };
        check(&["Anna", "Cruz", "555"], &["Anna", "Cruz", "555"], Resemblance::Whole);
        check(&["Anna", "Cruz", "555"], &["Anna", "Cruz", "+1 555"], Resemblance::Partial);
        check(&["Anna", "Cruz", "555"], &["Anna", "Kruz", "+1 555"], Resemblance::None);
        check(&["Anna", "Cruz"], &["Anna", "Kruz"], Resemblance::Partial);
        check(&["Anna"], &["Hanna"], Resemblance::None);
        check(&[], &[], Resemblance::None);
        let unread = |sent: &[&str], shown: &[&str]| {
            let sent: Vec<_> = sent.iter().map(|one| text(one)).collect();
            let shown: Vec<_> =
                shown.iter().map(|one| if one.is_empty() { vec![Value::Absent] } else { text(one) }).collect();
            resembles(sent.iter().zip(&shown).map(|(sent, shown)| (sent.as_slice(), shown.as_slice())))
        };
        assert_eq!(unread(&["Anna", "Cruz"], &["Anna", ""]), Resemblance::Partial, "the other field went away");
        assert_eq!(unread(&["Anna", "Cruz"], &["Berta", ""]), Resemblance::None);
        assert_eq!(unread(&["Anna", "Cruz"], &["", ""]), Resemblance::Partial, "nobody can tell");
    }

    #[test]
    fn an_unanswered_write_has_arrived_once_the_side_shows_what_it_made_of_it() {
        let sent = "Customer Care, Returns and Refunds";
        let base = Base::written(1, text("old"), text(sent));
        let check = |values: &str, shown: &str, arrived: bool| {
            assert_eq!(base.arrived(&text(values), &text(shown)), arrived, "{values:?} sent, {shown:?} shown");
        };
        check(sent, sent, true);
        check(sent, "Customer Care, Returns and Ref", true);
        check(sent, "old", false);
        check(sent, "Customer", false);
        check("something newer", "Customer Care, Returns and Ref", false);
        assert!(!Base::shown(1, text("old")).arrived(&text(sent), &text(sent)), "nothing was sent");
    }
}
