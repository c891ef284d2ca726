//! Bodies of a CRM's answers: what no guest may read is overwritten, and arrays of rows become packed cells (S9).
//!
//! Every byte that a CRM sends passes here once, so this is a crate of its own, compiled for speed in every profile. It
//! knows neither the network nor a guest: bytes in, bytes and batches out.
//!
//! - `redact.rs` live secrets and secret fields · `records.rs` arrays into batches · `cell.rs` one value into one cell
//! - `json.rs` the reader under them

mod cell;
mod json;
#[cfg(test)]
mod properties;
mod records;
mod redact;

pub use records::{
    BATCH_COLUMNS_MAX, BATCH_ROWS_MAX, BATCH_TEXT_BYTES_MAX, BodyFault, parse_records, read_pointer, scalar_at,
};
pub use redact::{NotRedactable, Redactor, SecretField, mask_fields};
