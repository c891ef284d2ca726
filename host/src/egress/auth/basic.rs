//! Credentials that never change by themselves: user and password, or a key in a header.

use serde::Deserialize;

/// HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicSpec {
    /// Name of the setting that holds the user's name.
    pub user: String,
    /// Name of the secret that holds the password or key.
    pub password: String,
}

/// A key in a header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeySpec {
    /// Name of the header.
    pub header: String,
    /// Name of the secret that holds the key.
    pub secret: String,
}
