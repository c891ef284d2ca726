//! State that survives: connections and their sealed secrets, flows, leases, cursors, the inbox, links with a base for each side,
//! the outbox and the journal. The store decides nothing; it speaks in whole steps.
//!
//! A step is one closure over [`Tx`], run on the one writer thread; steps that wait at the same time are committed together
//! (group commit), each inside a savepoint of its own, and answered only after the commit is on disk. Start at [`Store`];
//! `links.rs` has the links; the steps of a run are in `staging.rs` (rule 2), `decisions.rs` (rules 1 and 3), `outbox.rs` (rules 1 and 7)
//! and `settle.rs` (rule 3); `keys.rs` matches, `references.rs` tells what is linked, `leaving.rs` settles deletes, `consent.rs` keeps what the safety stop holds,
//! `attention.rs` tells what needs people, `answers.rs` carries out what they decide about single records, `choice.rs` keeps it, `places.rs`
//! finds the record that they name, `undo.rs` reads back what was written.
//!
//! One SQL text serves SQLite now and PostgreSQL later: tenant first in every key, `BIGINT` times, no dialect beyond both.

mod answers;
mod attention;
mod choice;
mod connections;
mod consent;
mod cursors;
mod decisions;
mod driver;
mod flows;
mod journal;
mod keys;
mod leases;
mod leaving;
mod links;
mod listing;
mod migrate;
mod outbox;
mod places;
mod points;
mod references;
mod schedule;
mod scope;
mod seal;
mod settle;
mod staging;
mod undo;
mod upkeep;
mod usage;

pub use answers::{Answer, Obstacle};
pub use attention::{Point, PointGroup, PointQuery};
pub use connections::{ConnectionRow, ConnectionState};
pub use consent::HeldRemovals;
pub use cursors::CursorRow;
pub use decisions::{NewIntent, OutcomeNote, UnitCommit, UnitRow};
pub use driver::{Error, Store, Tx};
pub use flows::{Approval, FlowRow, PairId, PairRow, RunRow};
pub use journal::{JournalLine, JournalQuery, JournalRow, OutcomeCount, OutcomeRow};
pub use keys::{COPIES_LEFT, COPIES_RIGHT, KnownAs, copies_on};
pub use leases::Lease;
pub use leaving::{Leaving, Mark, MarkField};
pub use links::{Bases, LinkRow, RowBases};
pub use listing::{ListedItem, ListingCount, ListingRow, Replacement};
pub use outbox::{IntentBody, IntentRow, IntentState, RowChange, Settlement};
pub use places::RecordPlace;
pub use points::Moment;
#[cfg(feature = "simulation")]
pub use points::{Watch, watch};
pub use schedule::{ScheduleChange, ScheduleRow, Scheduled};
pub use seal::Sealer;
pub use staging::{InboxRow, InboxState, PresenceWord, Staged, StagedPage, told_version};
pub use undo::{UndoWrite, Written, WrittenLine, WrittenQuery};
pub use upkeep::{ExchangeRow, Removed};
pub use usage::{BudgetRow, Spent, UsageRow};
