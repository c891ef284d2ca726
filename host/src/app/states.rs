//! What connectors keep for themselves between calls, kept between processes as well: a command that runs every few minutes need not
//! ask a CRM for its fields each time. It is a cache; whatever cannot be read or written is asked for again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;

use crate::runtime::StateCache;
use crate::store::{ConnectionRow, Error, Store};

/// The caches of all connections that this host has used.
#[derive(Default)]
pub(super) struct States {
    open: Mutex<HashMap<Key, State>>,
}

/// Tenant and connection.
type Key = (String, String);

struct State {
    /// Whose it is: a connection of that name may come to be of another plugin.
    plugin: String,
    cache: Arc<StateCache>,
}

/// Where the store keeps a plugin's cache, beside what the CRM said: both are forgotten together.
fn topic(plugin: &str) -> String {
    format!("state/{plugin}")
}

impl States {
    /// The cache of a connection, as the last process left it.
    pub(super) async fn of(
        &self,
        store: &Store,
        tenant: &str,
        connection: &ConnectionRow,
    ) -> Result<Arc<StateCache>, Error> {
        let mut open = self.open.lock().await;
        let key = (tenant.to_owned(), connection.name.clone());
        if let Some(state) = open.get(&key).filter(|state| state.plugin == connection.plugin) {
            return Ok(Arc::clone(&state.cache));
        }
        let kept = store.metadata(tenant, &connection.name, &topic(&connection.plugin)).await?;
        let cache = Arc::new(StateCache::with(kept.map(|(document, _)| read(&document)).unwrap_or_default()));
        open.insert(key, State { plugin: connection.plugin.clone(), cache: Arc::clone(&cache) });
        Ok(cache)
    }

    /// Leaves a connection's cache empty, whatever the last process left in it.
    pub(super) async fn begin_anew(&self, tenant: &str, connection: &ConnectionRow) {
        let state = State { plugin: connection.plugin.clone(), cache: Arc::new(StateCache::new()) };
        self.open.lock().await.insert((tenant.to_owned(), connection.name.clone()), state);
    }

    /// Begins anew, for a connection that was changed or forgotten.
    pub(super) async fn forget(&self, tenant: &str, connection: &str) {
        self.open.lock().await.remove(&(tenant.to_owned(), connection.to_owned()));
    }

    /// Keeps what a tenant's caches have come to hold.
    pub(super) async fn keep(&self, store: &Store, tenant: &str, now_ms: i64) -> Result<(), Error> {
        let open = self.open.lock().await;
        for ((of, connection), state) in open.iter().filter(|((of, _), _)| of == tenant) {
            if let Some(values) = state.cache.news() {
                store.put_metadata(of, connection, &topic(&state.plugin), spelled(&values), now_ms).await?;
            }
        }
        Ok(())
    }
}

fn spelled(values: &HashMap<String, Vec<u8>>) -> String {
    let values: BTreeMap<&String, String> = values.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
    serde_json::to_string(&values).unwrap_or_default()
}

fn read(document: &str) -> HashMap<String, Vec<u8>> {
    let values: BTreeMap<String, String> = serde_json::from_str(document).unwrap_or_default();
    values.into_iter().filter_map(|(key, value)| Some((key, STANDARD.decode(value).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_is_nothing() {
        let values = HashMap::from([("1/schema/Contacts".to_owned(), vec![0, 255, 7]), ("empty".to_owned(), vec![])]);
        assert_eq!(read(&spelled(&values)), values);
        assert_eq!(read("{\"a\": \"?\"}"), HashMap::new());
        assert_eq!(read("no JSON"), HashMap::new());
    }
}
