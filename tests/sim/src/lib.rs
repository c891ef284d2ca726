//! A deterministic simulator: the real core, engine and store against in-memory CRMs, with people who work, administrators who change
//! fields, calls that fail in every way, and hosts that are killed, or freeze and go on, at any of their points. One seed is one world and
//! one order of events, always; what must hold is asked after each of them.
//!
//! `plan.rs` says what a seed stands for, `world.rs` lets it happen, `host.rs` runs flows, `pulse.rs` is where a run is killed or frozen,
//! `line.rs` and `crm.rs` are the CRMs, `people.rs` the people and the account of what they did, `invariants.rs` and `audit.rs` the
//! questions. `scenarios.rs`, `merges.rs`, `bites.rs` and `tenants.rs` are small worlds in which one thing happens. `hunt.rs` goes through
//! seeds, `shrink.rs` makes a failure small, and `sabotages.rs` asks whether all that finds the bugs that are planted.

mod audit;
mod bites;
mod coverage;
mod crash_points;
mod crm;
mod disk;
mod doubts;
mod faults;
mod host;
mod hunt;
mod invariants;
mod line;
mod merges;
mod people;
mod plan;
mod pulse;
mod sabotages;
mod scenarios;
mod settings;
mod shrink;
mod tenants;
mod world;

pub use coverage::Coverage;
pub use crash_points::{CrashReport, crash_points};
pub use hunt::{Account, Failure, Hunt, Ledger, Verdict, hunt, live};
pub use plan::{Cut, EVENTS, parse_points, parse_ranges};
pub use sabotages::{Bite, bite};
pub use scenarios::{Scenario, scenarios};
