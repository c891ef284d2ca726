//! One run of one flow, from pull to write. The engine knows the order of the steps and nothing else: decisions are the core's, SQL is
//! the store's, CRMs and transforms are behind the traits of `remote.rs`.
//!
//! Start at `run.rs`, which reads like the story: `stage.rs` pulls, `view.rs`, `carry.rs` and `references.rs` prepare what the core
//! decides on, `plan.rs` turns decisions into commits (`agreed.rs` into links), `apply.rs` drains the outbox call by call (`push.rs`),
//! `unknown.rs` finds out what happened to unanswered writes and `sweep.rs` looks for records that left without a word; `leaving.rs`
//! weighs deletes before they travel; `undo/` takes back what was written. `preview.rs` is a run that only counts and lists
//! (`listing.rs`), `trial.rs` one that writes a few records and leaves the rest.
//!
//! 2026-11: bases move when a row is decided, and what still has to be told to the other side is *owed* on the link until its receipt.
//! The alternative, leaving the bases until the receipt, needed the source's values a second time after a refusal or a withdrawn
//! write, hence more reads; a debt on the link needs none.

mod agreed;
mod apply;
mod call;
mod carry;
mod error;
mod leaving;
mod listing;
mod plan;
mod preview;
mod push;
mod references;
mod remote;
mod report;
mod run;
mod setup;
mod stage;
mod sweep;
mod trial;
mod undo;
mod unknown;
mod view;

pub use error::Error;
pub use preview::preview;
pub use remote::{
    CallError, CheckReport, Choice, CreateClass, Cursor, DeleteWays, Fetched, FieldInfo, Found, ModuleInfo, Page,
    PushOutcome, PushReport, PushRequest, PushRow, Receipt, Remote, RemoteRecord, TransformStep, Transformed,
    Transforms, User,
};
pub use report::{Effort, PairPreview, PairReport, PlanCounts, PlannedCalls, Preview, RunReport};
pub use run::{FirstSync, RunOptions, run};
pub use setup::{CopyOf, KeyOf, Limits, MarkSetup, OwnerTable, PairSetup, Progress, RunSetup, SideSetup};
pub use undo::{UndoAct, UndoRecord, UndoReport, UndoRequest, UndoValue, settle, undo};

/// Every key of ours begins so: a value in the key field that does not is not ours.
pub const KEY_MARK: &str = "crmsync:";
