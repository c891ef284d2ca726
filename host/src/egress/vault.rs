//! The one thing that the gate asks of the store: to keep secrets.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use secrecy::SecretString;

/// Everything secret that belongs to one connection, and the facts that go with it.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Secrets by name: `client_secret`, `access_key`, `refresh_token`, `access_token` and whatever the manifest names.
    pub values: BTreeMap<String, SecretString>,
    /// What is not secret but changes together with them: `data_centre`, `expires_at_ms`, facts of the login, the claim of a
    /// host that is refreshing.
    pub facts: BTreeMap<String, String>,
}

/// Somebody else replaced the secrets since they were loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored secrets were changed in between")]
pub struct Conflict;

/// Keeps the secrets of connections, sealed at rest. Rows change by compare-and-set, because several hosts may share them.
pub trait Vault: Send + Sync {
    /// The secrets of a connection and their version; none if there are none.
    ///
    /// # Errors
    /// Says in words why they could not be read or opened.
    fn load<'a>(
        &'a self,
        tenant: &'a str,
        connection: &'a str,
    ) -> BoxFuture<'a, Result<Option<(u64, Secrets)>, String>>;

    /// Replaces the secrets if they still have the expected version; gives the new version.
    ///
    /// # Errors
    /// The outer error says in words why they could not be written; the inner one that the version was another.
    fn replace<'a>(
        &'a self,
        tenant: &'a str,
        connection: &'a str,
        expected: u64,
        secrets: Secrets,
    ) -> BoxFuture<'a, Result<Result<u64, Conflict>, String>>;
}
