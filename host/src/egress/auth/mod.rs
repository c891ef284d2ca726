//! How a connection logs in: closed kinds, parametrised by the plugin's manifest, none of them a vendor's.
//!
//! A guest never sees what is kept here. [`AuthSpec`] is what a manifest may say.

mod basic;
mod oauth2;
mod session;

use serde::Deserialize;

pub use basic::{ApiKeySpec, BasicSpec};
pub use oauth2::{Oauth2Spec, TokenError};
pub use session::{Algorithm, ChallengeSpec, DigestSpec, LoginSpec, PlaceSpec, SessionSpec};

/// One way to log in, as the manifest states it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AuthSpec {
    /// OAuth 2 code flow with refresh tokens.
    Oauth2(Oauth2Spec),
    /// Challenge, digest, login, session.
    Session(SessionSpec),
    /// HTTP basic authentication.
    Basic(BasicSpec),
    /// A key in a header.
    ApiKey(ApiKeySpec),
}

/// How the CRM says that a credential has ended, before it executed anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiredSpec {
    /// HTTP statuses that say so when the answer carries no code.
    #[serde(default)]
    pub statuses: Vec<u16>,
    /// RFC 6901 pointer to the error code in the answer.
    #[serde(default)]
    pub code_pointer: String,
    /// Codes that say so, whatever the status.
    #[serde(default)]
    pub codes: Vec<String>,
}
