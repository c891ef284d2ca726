//! The runtime room: plugins in their sandbox.
//!
//! It loads components, gives them what their kind may have and nothing else, turns WIT calls into Rust calls and checks all that
//! comes back. It never keeps a plugin's state between calls, never sees a credential (that is `egress`), and never decides what an
//! answer means for a sync (that is `engine`).
//!
//! Start at [`Runtime`]: it loads a [`Plugin`]; a [`ConnectorPlugin`] gives a [`Connector`] for each connection, a [`TransformPlugin`]
//! is called directly. Three outcomes are told apart everywhere: an answer, a typed [`Fault`](types::Fault) that the CRM or the gate
//! caused, and an [`Error`] that the plugin caused.
//!
//! What stops a guest: memory, tables and core instances by [`limits`], processor time of connectors by epoch ticks and of
//! transforms by fuel, waiting by a clock of its own, requests and host calls by counters. After any of these the whole instance is
//! dropped and the next call starts a fresh one.
//!
//! Note of 2026-11: a guest that breaks a limit of *talking to the host* (calls, log lines, handles) is stopped with a named error
//! rather than answered with a refusal. A refusal would need a case in every interface, and a guest that ignores it would go on.

mod accept;
mod bindings;
mod bundled;
pub mod capability;
mod compiled;
mod connector;
mod engine;
mod error;
mod lent;
pub mod limits;
mod loader;
pub mod manifest;
mod meter;
mod scan;
mod state;
#[cfg(test)]
mod tests;
mod transform;
pub mod types;

pub use compiled::CompiledCode;
pub use connector::{Answered, Connector, ConnectorPlugin};
pub use error::Error;
pub use loader::{Plugin, Runtime, Trust, bundled_manifest, inspect};
pub use state::StateCache;
pub use transform::TransformPlugin;
