//! How a connection logs in: closed kinds, parametrised by the plugin's manifest, none of them a vendor's.
//!
//! A guest never sees what is kept here (Rule 6). [`AuthSpec`] is what a manifest may say; [`Auth`] is the login of one door: it gives
//! a [`Pass`] for each request and takes back those that the CRM did not accept. Refreshes and logins are single flight: one at a time
//! in this process by a lock, and among all hosts by a claim in the vault.

mod basic;
mod desk;
mod oauth2;
mod session;

use std::sync::Arc;
use std::time::Instant;

use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::transport::Incoming;
use super::{Error, Refusal};
use crmsync_body::scalar_at;

pub use basic::{ApiKeySpec, BasicSpec};
pub(super) use desk::{CLAIM_FACTS, Desk};
pub use oauth2::{Oauth2Spec, TokenError};
pub use session::{Algorithm, ChallengeSpec, DigestSpec, LoginSpec, PlaceSpec, SessionSpec};

/// Larger answers are not searched for the code of an expired credential: refusals are short, pages of records are not.
const EXPIRED_BODY_BYTES_MAX: usize = 16 << 10;

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

impl ExpiredSpec {
    /// Whether this answer says so. A code that is not listed has another reason, whatever the status: a missing permission must not
    /// cost a token.
    fn matches(&self, incoming: &Incoming) -> bool {
        if !self.codes.is_empty()
            && incoming.body.len() <= EXPIRED_BODY_BYTES_MAX
            && let Some(code) = scalar_at(&incoming.body, &self.code_pointer)
        {
            return self.codes.contains(&code);
        }
        self.statuses.contains(&incoming.status)
    }
}

/// The login of one door.
pub(super) enum Auth {
    Oauth2(Arc<oauth2::Tokens>),
    Session(Arc<session::Sessions>),
    Fixed(basic::Fixed),
}

/// A credential for one request. A session is busy until its pass is dropped.
pub(super) enum Pass {
    /// A header with the credential.
    Header { name: HeaderName, value: HeaderValue, secret: SecretString },
    /// A session, as a parameter.
    Session(session::Held),
}

impl Auth {
    /// The login that a grant describes.
    pub(super) fn new(spec: AuthSpec, desk: Arc<Desk>, login_base: Option<Url>) -> Result<Auth, Error> {
        Ok(match spec {
            AuthSpec::Oauth2(spec) => Auth::Oauth2(Arc::new(oauth2::Tokens::new(spec, desk, login_base)?)),
            AuthSpec::Session(spec) => {
                let base = login_base.ok_or_else(|| {
                    Error::BadGrant(format!("the login's origin `{}` has no fixed address", spec.origin))
                })?;
                Auth::Session(Arc::new(session::Sessions::new(spec, desk, base)?))
            }
            AuthSpec::Basic(spec) => Auth::Fixed(basic::Fixed::basic(spec, desk)),
            AuthSpec::ApiKey(spec) => Auth::Fixed(basic::Fixed::api_key(spec, desk)?),
        })
    }

    /// A credential that should work, logging in or refreshing if need be.
    pub(super) async fn pass(&self, deadline: Instant) -> Result<Pass, Refusal> {
        match self {
            Auth::Oauth2(tokens) => Arc::clone(tokens).pass(deadline).await,
            Auth::Session(sessions) => Arc::clone(sessions).pass(deadline).await,
            Auth::Fixed(fixed) => fixed.pass().await,
        }
    }

    /// Whether an answer says that the credential has ended and nothing was executed.
    pub(super) fn is_expired(&self, incoming: &Incoming) -> bool {
        match self {
            Auth::Oauth2(tokens) => tokens.spec.expired.matches(incoming),
            Auth::Session(sessions) => sessions.spec.expired.matches(incoming),
            Auth::Fixed(_) => incoming.status == 401,
        }
    }

    /// Takes back a credential that the CRM did not accept; it is not given out again.
    pub(super) fn expire(&self, pass: Pass) {
        match (self, pass) {
            (Auth::Oauth2(tokens), Pass::Header { secret, .. }) => tokens.expire(secret),
            (Auth::Fixed(fixed), Pass::Header { secret, .. }) => fixed.expire(secret),
            (_, Pass::Session(held)) => held.expire(),
            (Auth::Session(_), Pass::Header { .. }) => {}
        }
    }

    /// Whether a query or form parameter is the login's own.
    pub(super) fn owns_parameter(&self, name: &str) -> bool {
        // Servers trim names and read `name[0]` as an array called `name`.
        let name = name.trim().split(['[', '\0']).next().unwrap_or_default();
        match self {
            Auth::Session(sessions) => {
                let PlaceSpec { query, form } = &sessions.spec.place;
                name.eq_ignore_ascii_case(query) || name.eq_ignore_ascii_case(form)
            }
            Auth::Oauth2(_) | Auth::Fixed(_) => false,
        }
    }

    /// Whether a header is the login's own.
    pub(super) fn owns_header(&self, name: &str) -> bool {
        match self {
            Auth::Fixed(fixed) => fixed.header == *name,
            Auth::Oauth2(_) | Auth::Session(_) => name == "authorization",
        }
    }

    /// Makes sure that the facts of the login are known, the chosen hosts among them.
    pub(super) async fn know_facts(&self) -> Result<(), Refusal> {
        match self {
            Auth::Oauth2(tokens) => tokens.know_facts().await,
            Auth::Session(_) | Auth::Fixed(_) => Ok(()),
        }
    }

    /// The host of this name that the login chose.
    pub(super) fn host(&self, name: &str) -> Option<Url> {
        match self {
            Auth::Oauth2(tokens) => tokens.host(name),
            Auth::Session(_) | Auth::Fixed(_) => None,
        }
    }

    /// The facts of the login that a guest may see.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        match self {
            Auth::Oauth2(tokens) => vec![("data-centre".to_owned(), tokens.data_centre())],
            Auth::Session(sessions) => sessions.facts(),
            Auth::Fixed(_) => Vec::new(),
        }
    }

    /// The OAuth part of the login.
    pub(super) fn oauth2(&self) -> Result<&Arc<oauth2::Tokens>, Error> {
        match self {
            Auth::Oauth2(tokens) => Ok(tokens),
            Auth::Session(_) => Err(Error::WrongKind("session")),
            Auth::Fixed(_) => Err(Error::WrongKind("a fixed key")),
        }
    }
}

/// Runs a refresh or login to its end even if the caller goes away: a token that the CRM has issued must not be lost. The caller stops
/// waiting at its deadline.
async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    deadline: Instant,
) -> Result<T, Refusal> {
    match tokio::time::timeout_at(deadline.into(), tokio::spawn(work)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Refusal::NotSent("the login broke off".to_owned())),
        Err(_) => Err(Refusal::Cancelled),
    }
}

#[cfg(test)]
mod tests;
