//! Why a run stopped. What concerns one record never stops a run: it becomes an outcome.

use super::remote::CallError;
use crate::store;

/// Why a run, or a preview, stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed or the lease was lost.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// A call to a CRM failed for good.
    #[error("{connection}: {call}: {source}")]
    Call {
        /// The connection.
        connection: String,
        /// What was asked, for people: `read Contacts`.
        call: String,
        /// Why.
        source: CallError,
    },
    /// A transform failed for good.
    #[error("transform: {0}")]
    Transform(CallError),
    /// Nobody approved what this run would do (S6).
    #[error("{0}")]
    NotApproved(String),
    /// A CRM showed fewer records than it has, twice; deciding on that would create people anew who are there.
    #[error(
        "{connection}: reading {module} twice did not show all of its records; nothing was decided. Other programs may be adding records \
         now: try again later. If it stays so, see that the login may read all of {module}"
    )]
    Incomplete {
        /// The connection.
        connection: String,
        /// The module.
        module: String,
    },
    /// A walk did not end within its limit of pages.
    #[error("{connection}: reading {module} did not end after {pages} pages; the connector may be broken")]
    Endless {
        /// The connection.
        connection: String,
        /// The module.
        module: String,
        /// Pages read.
        pages: u32,
    },
}
