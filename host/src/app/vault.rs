//! The gate's secrets, kept sealed in the store.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::egress::{Conflict, Secrets, Vault};
use crate::store::Store;

/// The store as the gate's vault.
pub(super) struct StoreVault {
    store: Store,
}

impl StoreVault {
    pub(super) fn new(store: Store) -> StoreVault {
        StoreVault { store }
    }
}

/// The document that is sealed: secrets and the facts that change with them.
#[derive(serde::Serialize, serde::Deserialize)]
struct Document {
    values: BTreeMap<String, Zeroizing<String>>,
    facts: BTreeMap<String, String>,
}

impl Vault for StoreVault {
    fn load<'a>(
        &'a self,
        tenant: &'a str,
        connection: &'a str,
    ) -> BoxFuture<'a, Result<Option<(u64, Secrets)>, String>> {
        Box::pin(async move {
            let found = self.store.secrets(tenant, connection).await.map_err(|error| error.to_string())?;
            let Some((version, opened)) = found else { return Ok(None) };
            let document: Document = serde_json::from_slice(&opened).map_err(|error| error.to_string())?;
            let values = document.values.into_iter().map(|(name, value)| (name, SecretString::from(value.as_str())));
            Ok(Some((version, Secrets { values: values.collect(), facts: document.facts })))
        })
    }

    fn replace<'a>(
        &'a self,
        tenant: &'a str,
        connection: &'a str,
        expected: u64,
        secrets: Secrets,
    ) -> BoxFuture<'a, Result<Result<u64, Conflict>, String>> {
        Box::pin(async move {
            let values = secrets
                .values
                .iter()
                .map(|(name, value)| (name.clone(), Zeroizing::new(value.expose_secret().to_owned())));
            let document = Document { values: values.collect(), facts: secrets.facts };
            let plain = Zeroizing::new(serde_json::to_vec(&document).map_err(|error| error.to_string())?);
            let replaced = self.store.replace_secrets(tenant, connection, expected, plain).await;
            replaced.map_err(|error| error.to_string()).map(|version| version.ok_or(Conflict))
        })
    }
}
