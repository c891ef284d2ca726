//! A simulated Vtiger CRM, open source 8.2: `webservice.php` with its challenge login, its query language and its
//! oddities.
//!
//! Start with [`Vtiger`] in `server.rs`, which takes one request apart and hands it to `session`, `describe`, `reads`
//! or `writes`. `schema` and `tables` say which modules and fields there are, `value` what a column makes of a value,
//! `vtql` what a query means.
//!
//! What differs from a real server on purpose: answers come at once, workflows are counted and not run, two
//! simultaneous creates of one Account name never both succeed, and modules other than Contacts, Accounts, Leads,
//! Users, Groups, Currency and CompanyDetails do not exist, nor do the operations for related lists and files. Leads are
//! converted, and records merged, at the screen only (`screen`).
//!
//! A profile is a list of words with commas between: `default`; `plain`, where Contacts have no custom field for keys; `keyless`, where
//! `source` is missing as well, as in older releases;
//! `repaired`, where `sync` and `logout` work; `own_sync`, where they work, but `sync` lists the caller's own records only, as it does
//! where nobody registered its parameter `syncType`; `hidden=20`, where users who are not administrators cannot read so many
//! percent of the records; `view_only`, where they can change none; `db_zone=-05:00`, where the database keeps its times in
//! that zone.

mod answer;
mod collation;
mod describe;
mod html;
mod params;
mod profile;
mod reads;
mod schema;
mod screen;
mod seed;
mod server;
mod session;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod value;
mod vtql;
mod writes;

pub use schema::{CUSTOM_KEY_FIELD, column_chars_max};
pub use server::Vtiger;
pub use vtql::{Asked, asked};
