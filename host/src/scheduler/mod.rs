//! When, and whose turn. It never looks inside a record: it knows flows by their names, the connections that they use, and how their
//! last runs ended.
//!
//! - `timetable.rs` the state of a flow and when it is due · `queue.rs` whose turn it is: both pure, with the time as an argument
//! - `turns.rs` the loop that looks, starts and waits. What a run is, the room above says behind the trait [`Office`].
//!
//! Turns are fair by connection: scheduled runs take turns on a connection, and a run that a person asked for goes beside them, so that
//! nobody waits for a first sync of thousands. A slow or broken flow holds up only those that share a connection with it.

mod queue;
mod timetable;
mod turns;

pub use queue::{Cause, RUNS_MAX, Running, Turn, next_turns};
pub use timetable::{Blocked, End, Flow, LastRun, Standing, State, backoff_ms, due_at_ms, next_look_ms, standing};
pub use turns::{Board, Office, serve};
