//! What the test suite and the long-running test programs share: the product as a process, two sandbox CRMs with people in front of
//! them, and a workplace where both are connected and a flow is approved. Start with [`workplace`]; [`first_sync`], [`kills`] and [`office`]
//! are long programs.
//!
//! Failures are sentences: whoever reads them is looking for a defect, and nothing recovers from them.

pub mod crms;
pub mod first_sync;
pub mod kills;
pub mod office;
pub mod product;
pub mod served;
pub mod snapshot;
pub mod workplace;

/// The answer of a step that can only be reported, not recovered from.
pub type Outcome<T> = Result<T, String>;
