//! The only door to the network.
//!
//! A plugin names an origin and a path; this room adds the address and the credential, checks where the connection really goes, obeys
//! the CRM's limits and caps and cleans the answer. It never knows what a contact is, and no credential ever leaves it towards
//! a guest (Rule 6). Start at [`Door::send`] in `gate.rs`, which is the path of one request.
//!
//! - `grant.rs` what a connection may do · `request.rs` what passes through · `origin.rs`, `path.rs` what may be named
//! - `address.rs` where connections may go · `transport.rs` one HTTP exchange
//! - `auth/` logins, single flight · `vault.rs` where the store keeps their secrets · `limiter.rs` the token bucket, pure
//! - `budget.rs` what a connection may call in a day, in two lanes · `errand.rs` on whose behalf
//!
//! What is in an answer's body is the matter of the crate `crmsync-body`: secrets are masked there, and rows become batches.

mod address;
mod auth;
mod budget;
mod errand;
mod error;
mod gate;
mod grant;
mod limiter;
mod origin;
mod path;
mod request;
#[cfg(test)]
mod testing;
mod transport;
mod vault;

pub use auth::{
    Algorithm, ApiKeySpec, AuthSpec, BasicSpec, ChallengeSpec, DigestSpec, ExpiredSpec, LoginSpec, Oauth2Spec,
    PlaceSpec, SessionSpec, TokenError,
};
pub use budget::{
    Allowance, Budget, BudgetSpec, CallKind, EditionBudget, HOUR_MS, Lane, NoBudget, RESERVE_PERCENT, Spend, Used,
    hour_of,
};
pub use crmsync_body::{BodyFault, parse_records, read_pointer};
pub use errand::{Errand, Exchange, NoRecorder, Recorder, on_errand};
pub use error::Error;
pub use gate::{Counters, Door, Gate};
pub use grant::{Clock, GateConfig, Grant, IsGone};
pub use limiter::{Limits, take_of_minute};
pub use origin::{Base, OriginSpec, base_url};
pub use request::{Admissions, Answer, CallScope, Effect, Payload, Refusal, Request};
pub use vault::{Conflict, DraftVault, Secrets, Vault};
