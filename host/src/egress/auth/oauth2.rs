//! OAuth 2: authorisation code once, then refresh tokens.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::ExpiredSpec;

/// OAuth 2 code flow, parametrised by the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth2Spec {
    /// Word before the token in the `Authorization` header, such as `Bearer`.
    pub scheme: String,
    /// What separates scopes in the authorisation URL.
    pub scope_separator: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Path of the consent page, below the accounts host.
    pub authorize_path: String,
    /// Path of the token endpoint, below the accounts host.
    pub token_path: String,
    /// Path of the revocation endpoint, below the accounts host, if there is one.
    #[serde(default)]
    pub revoke_path: Option<String>,
    /// Name of the accounts host in the data-centre table, and of the override that replaces it.
    pub host: String,
    /// Further parameters of the authorisation URL.
    #[serde(default)]
    pub authorize_parameters: BTreeMap<String, String>,
    /// Data centre → host name → base address. The only source of hosts that ever receive a secret.
    pub data_centres: BTreeMap<String, BTreeMap<String, Url>>,
    /// Parameter of the callback that names the data centre, if the CRM has several.
    #[serde(default)]
    pub data_centre_parameter: Option<String>,
    /// Data centre at which a login starts.
    pub default_data_centre: String,
    /// RFC 6901 pointer to the error code in answers of the token endpoint, whatever their status.
    pub error_pointer: String,
    /// What the codes of the token endpoint mean; a code that is not listed may go away by itself.
    #[serde(default)]
    pub token_errors: BTreeMap<String, TokenError>,
    /// How long the token endpoint refuses after it has answered `throttled`, in milliseconds.
    pub throttle_ms: u64,
    /// How long before its end a token is refreshed, in milliseconds.
    pub refresh_early_ms: u64,
    /// Life of a token whose answer does not tell it, in milliseconds.
    pub default_lifetime_ms: u64,
    /// How the CRM says that a token has ended.
    pub expired: ExpiredSpec,
}

/// What an error code of the token endpoint means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenError {
    /// The grant is gone: a person has to log in again.
    LoggedOut,
    /// Client id, secret or redirect address are wrong: an administrator has to correct the settings.
    Configuration,
    /// Too many tokens were asked for.
    Throttled,
}
