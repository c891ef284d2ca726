//! Sessions: a challenge, a digest over it, a login, and a session name that goes with each request.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ExpiredSpec;

/// Challenge login as closed data. In templates `{name}` is a captured value, a secret, a setting or `digest`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// Origin that is logged in to.
    pub origin: String,
    /// Names of the secrets that templates may use; only the digest and the login may.
    pub secrets: Vec<String>,
    /// The request that gives the challenge.
    pub challenge: ChallengeSpec,
    /// What proves that we know the secret.
    pub digest: DigestSpec,
    /// The request that opens the session.
    pub login: LoginSpec,
    /// RFC 6901 pointer to the boolean that says whether challenge and login succeeded.
    pub success_pointer: String,
    /// RFC 6901 pointer to the error code of a refused challenge or login.
    pub error_pointer: String,
    /// Codes by which the CRM says that the credentials are wrong.
    pub refused: Vec<String>,
    /// Codes after which challenge and login are repeated once: another worker may have taken a newer challenge.
    #[serde(default)]
    pub challenge_again: Vec<String>,
    /// RFC 6901 pointer to the session's name in the login's answer.
    pub session_pointer: String,
    /// Names of the non-secret facts for the plugin, each with a pointer into the login's answer.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// Where the session's name goes.
    pub place: PlaceSpec,
    /// How the CRM says that a session has ended.
    pub expired: ExpiredSpec,
    /// Sessions open side by side; each carries one request at a time.
    pub sessions_max: u32,
    /// A session unused for so many milliseconds is not used again.
    pub idle_ms: u64,
}

/// The request that gives the challenge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeSpec {
    /// `GET` or `POST`.
    pub method: String,
    /// Path below the origin.
    pub path: String,
    /// Query parameters, as templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Form parameters, as templates.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
    /// Names for values of the answer, each with an RFC 6901 pointer.
    pub capture: BTreeMap<String, String>,
}

/// What proves that we know the secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSpec {
    /// How the parts are hashed; the digest is lower-case hex.
    pub algorithm: Algorithm,
    /// Templates, joined without a separator. For an HMAC the first part is the key.
    pub parts: Vec<String>,
}

/// Digest algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// MD5, because a CRM demands it.
    Md5,
    /// SHA-256.
    Sha256,
    /// HMAC with SHA-256.
    HmacSha256,
}

/// The request that opens the session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginSpec {
    /// `GET` or `POST`.
    pub method: String,
    /// Path below the origin.
    pub path: String,
    /// Query parameters, as templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Form parameters, as templates.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
}

/// Where the session's name goes; both names are refused in requests of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceSpec {
    /// Name of the query parameter, for requests without a form.
    pub query: String,
    /// Name of the form parameter, for requests with one.
    pub form: String,
}
