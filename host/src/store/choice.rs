//! What people chose for single records without a counterpart: some are left alone, some are new whatever their match keys say.

use crmsync_core::Side;

use super::decisions::forget_outcomes;
use super::keys::forget_keys;
use super::staging::stage_unseen;
use super::{Error, PairId, Tx};

/// A choice, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It is not synced.
    LeftAlone,
    /// It has no counterpart.
    New,
}

impl Choice {
    fn as_str(self) -> &'static str {
        match self {
            Choice::LeftAlone => "left-alone",
            Choice::New => "new",
        }
    }
}

/// What was chosen for a record.
pub(super) fn choice_of(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
) -> Result<Option<Choice>, Error> {
    let word: Option<String> = tx.one(
        "SELECT choice FROM choice WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, side.as_str(), record),
        |row| row.get(0),
    )?;
    Ok(word.map(|word| if word == Choice::New.as_str() { Choice::New } else { Choice::LeftAlone }))
}

/// A choice for a record that is there: it is read again, and decided by it.
pub(super) fn choose(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
    choice: Choice,
    now_ms: i64,
) -> Result<(), Error> {
    remember_choice(tx, tenant, pair, side, record, choice, now_ms)?;
    forget_keys(tx, tenant, pair, side, record)?;
    forget_outcomes(tx, tenant, pair, side, record)?;
    stage_unseen(tx, tenant, pair, side, record)
}

/// A choice that counts once the record is seen.
pub(super) fn remember_choice(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
    choice: Choice,
    now_ms: i64,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO choice (tenant, pair, side, record, choice, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant, pair, side, record) DO UPDATE SET choice = excluded.choice, at_ms = excluded.at_ms",
        (tenant, pair, side.as_str(), record, choice.as_str(), now_ms),
    )?;
    Ok(())
}
