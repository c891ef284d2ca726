//! The flow file: what a person writes about two connections, read, checked and resolved to the core's mapping.
//!
//! Three steps, each a function of its input alone:
//!
//! 1. [`Document::parse`] reads the TOML text. It knows the words of the file but nothing about either CRM.
//! 2. [`resolve`] holds the document against what both CRMs say about their modules and fields ([`SideInfo`]) and what the installed
//!    transforms can do ([`FunctionInfo`]), adds the rows of a bundled [`preset`], and gives one [`Pair`] for each module.
//! 3. [`settings_hash`] tells whether a person's approval still stands for the document as it is now.
//!
//! Everything that is wrong is a [`Problem`] with its place in the file; as many as possible are told at once.
//!
//! This room never opens a file, asks a CRM or names one: vendors' names stand in the preset file, which is data.

mod carry;
mod checks;
mod deletes;
mod depth;
mod describe;
mod document;
mod edit;
mod filter;
mod hash;
mod lookup;
mod module;
mod pair;
pub mod preset;
mod problem;
mod reader;
mod resolve;
mod row;
mod rows;
mod schema;
mod template;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;

pub use deletes::{Mark, MarkText};
pub use depth::{UserInfo, owner_gaps};
pub use describe::{Choice, FieldInfo, FunctionInfo, Inversion, ModuleInfo, SideInfo};
pub use document::{Document, Owners, SafetyStop};
pub use edit::{EditError, set};
pub use filter::Written as WrittenFilter;
pub use hash::settings_hash;
pub use module::{FieldSet, MatchText, ModulePair};
pub use pair::{LeftOut, Pair};
pub use problem::{Placed, Problem, Spot};
pub use resolve::resolve;
pub use row::{Carrying, FunctionUse, Row};
pub use rows::{Misfit, Origin};
pub use schema::SCHEMA;
pub use template::Template;
