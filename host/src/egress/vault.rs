//! The one thing that the gate asks of the store: to keep secrets.

use std::collections::BTreeMap;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use secrecy::SecretString;

use super::auth::CLAIM_FACTS;

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

/// How often a compare-and-set is tried before somebody else's changes count as a fault of the store.
const REPLACE_ATTEMPTS_MAX: u32 = 8;

/// What a login gives, before it is known whether it is the right one: it begins with the stored secrets, and nothing of it is stored
/// until it is committed. So a login to the wrong organisation leaves the one before it as it was (S19).
pub struct DraftVault {
    stored: Arc<dyn Vault>,
    draft: Mutex<Option<(u64, Secrets)>>,
}

impl DraftVault {
    /// An empty draft.
    pub fn of(stored: Arc<dyn Vault>) -> DraftVault {
        DraftVault { stored, draft: Mutex::default() }
    }

    /// Stores what the login gave.
    ///
    /// # Errors
    /// Says in words why it could not be written.
    pub async fn commit(&self, tenant: &str, connection: &str) -> Result<(), String> {
        let Some((_, draft)) = self.draft().clone() else { return Ok(()) };
        for _ in 0..REPLACE_ATTEMPTS_MAX {
            let (version, mut secrets) = self.stored.load(tenant, connection).await?.unwrap_or_default();
            secrets.values.extend(draft.values.clone());
            secrets.facts.clone_from(&draft.facts);
            if self.stored.replace(tenant, connection, version, secrets).await?.is_ok() {
                return Ok(());
            }
        }
        Err("somebody else keeps changing them".to_owned())
    }

    fn draft(&self) -> std::sync::MutexGuard<'_, Option<(u64, Secrets)>> {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault for DraftVault {
    fn load<'a>(
        &'a self,
        tenant: &'a str,
        connection: &'a str,
    ) -> BoxFuture<'a, Result<Option<(u64, Secrets)>, String>> {
        Box::pin(async move {
            if let Some(draft) = self.draft().clone() {
                return Ok(Some(draft));
            }
            let mut loaded = self.stored.load(tenant, connection).await?;
            if let Some((_, secrets)) = &mut loaded {
                // Who refreshes the old login does not stand in the way of a new one.
                CLAIM_FACTS.iter().for_each(|fact| drop(secrets.facts.remove(*fact)));
            }
            self.draft().clone_from(&loaded);
            Ok(loaded)
        })
    }

    fn replace<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        expected: u64,
        secrets: Secrets,
    ) -> BoxFuture<'a, Result<Result<u64, Conflict>, String>> {
        Box::pin(async move {
            match &mut *self.draft() {
                Some((version, draft)) if *version == expected => {
                    (*version, *draft) = (expected + 1, secrets);
                    Ok(Ok(expected + 1))
                }
                _ => Ok(Err(Conflict)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::testing::MemoryVault;

    #[tokio::test]
    async fn nothing_of_a_login_is_stored_before_it_is_committed() {
        let stored = MemoryVault::with(&[("key", "k"), ("token", "old")], &[(CLAIM_FACTS[0], "1"), ("place", "eu")]);
        let draft = DraftVault::of(Arc::new(stored.clone()));
        let (version, mut secrets) = draft.load("t", "c").await.expect("it can be read").expect("it is there");
        assert_eq!(secrets.facts.len(), 1, "claims of others are not the draft's");
        secrets.values.insert("token".to_owned(), "new".into());
        secrets.facts.insert("place".to_owned(), "us".to_owned());
        assert_eq!(draft.replace("t", "c", version, secrets.clone()).await, Ok(Ok(version + 1)));
        assert_eq!(draft.replace("t", "c", version, secrets).await, Ok(Err(Conflict)));
        let token = |secrets: Secrets| secrecy::ExposeSecret::expose_secret(&secrets.values["token"]).to_owned();
        assert_eq!((token(stored.secrets()).as_str(), stored.secrets().facts["place"].as_str()), ("old", "eu"));
        // Somebody changes another secret meanwhile; it stays.
        stored.set("other", "o");
        draft.commit("t", "c").await.expect("it can be written");
        assert_eq!((token(stored.secrets()).as_str(), stored.secrets().facts["place"].as_str()), ("new", "us"));
        assert!(stored.secrets().values.contains_key("other"));
    }
}
