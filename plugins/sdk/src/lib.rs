//! What the author of a crmsync plugin writes against.
//!
//! A plugin is a component that the host lends very little: a connector may send requests to the origins of its manifest, keep a
//! small cache and log; a transform may only log. This crate is the contract (`wit/`) in Rust, with the packed batches hidden
//! behind rows and builders:
//!
//! - [`Connector`] and [`export_connector!`], [`Transform`] and [`export_transform!`]: what a plugin implements.
//! - [`egress`]: requests and answers. [`fault`]: why something failed, in the words that steer the engine.
//! - [`rows`]: reading rows out of answers and pushes, building snapshots and push reports.
//! - [`time`]: dates and times in the units of the contract. [`state`], [`facts`], [`log`]: the other things that the host lends.
//! - [`testing`]: a scripted network, so that a whole connector can be tested natively with `cargo test`.
//!
//! A plugin's crate is a `cdylib` (the component) and an `rlib` (its tests), built for `wasm32-unknown-unknown`.
//!
//! ```
//! use crmsync_plugin::{egress, rows, Column, Cursor, Fault, Fetched, Found, Kind, Page, PushReport, PushRequest};
//! use crmsync_plugin::{CheckReport, Connector, FieldInfo, ModuleInfo, User};
//!
//! struct Acme;
//!
//! impl Connector for Acme {
//!     fn fetch(module: &str, ids: &[String], fields: &[String]) -> Result<Fetched, Fault> {
//!         let answer = egress::get("api", format!("/v1/{module}")).query("ids", ids.join(",")).send()?;
//!         let columns: Vec<Column> = fields.iter().map(|field| rows::column(field, Kind::Text)).collect();
//!         let mut asked = vec![rows::column("id", Kind::Text), rows::column("version", Kind::Text)];
//!         asked.extend(columns.iter().cloned());
//!         let (list, _mismatches) = answer.records("/data", asked)?;
//!         let mut live = rows::SnapshotBuilder::new(columns, list.len());
//!         for row in list.iter() {
//!             live.row(row.text(0), row.text(1), 0, row.cells_from(2));
//!         }
//!         let absent = ids.iter().filter(|id| !list.iter().any(|row| row.text(0) == id.as_str())).cloned().collect();
//!         Ok(Fetched { live: live.finish(), absent, removed: Vec::new() })
//!     }
//! #   fn check() -> Result<CheckReport, Fault> { Err(Fault::Gone) }
//! #   fn modules() -> Result<Vec<ModuleInfo>, Fault> { Ok(Vec::new()) }
//! #   fn describe(_: &str) -> Result<Vec<FieldInfo>, Fault> { Ok(Vec::new()) }
//! #   fn users() -> Result<Vec<User>, Fault> { Ok(Vec::new()) }
//! #   fn count(_: &str) -> Result<Option<u64>, Fault> { Ok(None) }
//! #   fn pull(_: &str, _: &[String], _: Option<Cursor>) -> Result<Page, Fault> { Err(Fault::CursorExpired) }
//! #   fn find(_: &str, _: &str, _: &[String], _: &[String]) -> Result<Found, Fault> { Err(Fault::Gone) }
//! #   fn push(_: &PushRequest) -> Result<PushReport, Fault> { Err(Fault::Gone) }
//!     // … and the other functions of the trait.
//! }
//!
//! crmsync_plugin::export_connector!(Acme);
//! ```

#[doc(hidden)]
pub mod bindings;
pub mod connector;
pub mod egress;
pub mod facts;
pub mod fault;
pub mod log;
pub mod rows;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;
pub mod transform;

pub use bindings::connector::crmsync::plugin::batches::{Batch, Column};
pub use connector::{
    CheckReport, Choice, Connector, Cursor, Fetched, FieldInfo, Found, ModuleInfo, Operation, Page, PushOutcome,
    PushReport, PushRequest, PushRow, Receipt, Removal, Snapshot, User,
};
pub use crmsync_cells::{Cell, Kind, canonical_decimal};
pub use fault::{Fault, Rejection};
pub use transform::{Applied, Complaint, FunctionInfo, Step, Transform};
