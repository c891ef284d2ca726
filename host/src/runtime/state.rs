//! The small cache that a connection's plugin may keep between calls. It may vanish at any time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::limits::STATE_BYTES_MAX;

/// Keys and values of one connection; shared by its instances, never by two connections.
#[derive(Debug, Default)]
pub struct StateCache {
    values: Mutex<Values>,
}

#[derive(Debug, Default)]
struct Values {
    now: HashMap<String, Vec<u8>>,
    /// Whether something was stored since somebody last asked for the news.
    is_news: bool,
}

impl StateCache {
    /// An empty cache.
    pub fn new() -> StateCache {
        StateCache::default()
    }

    /// A cache that holds this already; nothing, if it is too much.
    pub fn with(values: HashMap<String, Vec<u8>>) -> StateCache {
        let cache = StateCache::new();
        if values.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= STATE_BYTES_MAX {
            cache.lock().now = values;
        }
        cache
    }

    /// All that it holds, if something was stored since this was last asked.
    pub fn news(&self) -> Option<HashMap<String, Vec<u8>>> {
        let mut values = self.lock();
        std::mem::take(&mut values.is_news).then(|| values.now.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().now.get(key).cloned()
    }

    /// Stores a value; false if keys and values would then take more than [`STATE_BYTES_MAX`], and nothing was changed.
    pub(super) fn set(&self, key: String, value: Vec<u8>) -> bool {
        let mut values = self.lock();
        let others: usize =
            values.now.iter().filter(|(other, _)| **other != key).map(|(key, value)| key.len() + value.len()).sum();
        let fits = others + key.len() + value.len() <= STATE_BYTES_MAX;
        if fits {
            values.is_news |= values.now.get(&key) != Some(&value);
            values.now.insert(key, value);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_keeps_what_it_has() {
        let cache = StateCache::new();
        assert!(cache.set("a".to_owned(), vec![0; STATE_BYTES_MAX - 1]));
        assert!(!cache.set("b".to_owned(), Vec::new()), "the key alone is one byte too many");
        assert!(cache.set("a".to_owned(), vec![1; 8]), "a value may be replaced");
        assert!(cache.set("b".to_owned(), vec![2]));
        assert_eq!((cache.get("a"), cache.get("b"), cache.get("c")), (Some(vec![1; 8]), Some(vec![2]), None));
    }

    #[test]
    fn news_are_told_once() {
        let cache = StateCache::with(HashMap::from([("a".to_owned(), vec![1])]));
        assert_eq!(cache.news(), None);
        assert!(cache.set("a".to_owned(), vec![1]));
        assert_eq!(cache.news(), None, "it was there");
        assert!(cache.set("b".to_owned(), vec![2]));
        assert_eq!(cache.news(), Some(HashMap::from([("a".to_owned(), vec![1]), ("b".to_owned(), vec![2])])));
        assert_eq!(cache.news(), None);
        let too_much = StateCache::with(HashMap::from([("a".to_owned(), vec![0; STATE_BYTES_MAX])]));
        assert_eq!(too_much.get("a"), None);
    }
}
