//! The decisions of crmsync: values in, values out. No I/O, no clock, no randomness, no vendor's name.
//!
//! The engine drives this crate in production and a seeded simulator drives it in tests; both see the same decisions.
//! A reader in a hurry reads [`decide`] first: it takes a [`decide::View`] of one link (what each side shows, held against
//! what it showed last) and gives a [`decide::Decision`] (what to write, what to remember, what to tell people).
//!
//! # The seven rules
//! Code that upholds one of them quotes its number.
//!
//! 1. No write leaves before its intent is stored.
//! 2. A cursor moves only together with the staged records of its page; a staged record goes only with its outcome.
//! 3. A side's base changes only by what that side showed or acknowledged.
//! 4. Absent is not empty: a field that was not read is never written.
//! 5. Deletes need a tombstone. Absence is one only after all the checks of a sweep.
//! 6. Credentials never enter guest memory, the journal or a log.
//! 7. Only the holder of the current lease writes; every commit names its fencing token.

pub mod decide;
pub mod filter;
pub mod link;
pub mod mapping;
pub mod matching;
pub mod merge;
pub mod normalise;
pub mod policy;
pub mod record;
pub mod retry;
pub mod sabotage;
pub mod value;

pub use filter::Filter;
pub use link::{Base, Owed, Resemblance};
pub use mapping::{Direction, MappingRow, PairMapping, Role, RowKey};
pub use policy::{DeletePolicy, FirstSync, LeavePolicy, Policy, SafetyStop, Winner};
pub use record::{Away, Fault, Presence, RemovalReason, Side};
pub use value::Value;
