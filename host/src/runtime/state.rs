//! The small cache that a connection's plugin may keep between calls. It lives in memory and may vanish at any time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::limits::STATE_BYTES_MAX;

/// Keys and values of one connection; shared by its instances, never by two connections.
#[derive(Debug, Default)]
pub struct StateCache {
    values: Mutex<HashMap<String, Vec<u8>>>,
}

impl StateCache {
    /// An empty cache.
    pub fn new() -> StateCache {
        StateCache::default()
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Stores a value; false if keys and values would then take more than [`STATE_BYTES_MAX`], and nothing was changed.
    pub(super) fn set(&self, key: String, value: Vec<u8>) -> bool {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let others: usize =
            values.iter().filter(|(other, _)| **other != key).map(|(key, value)| key.len() + value.len()).sum();
        let fits = others + key.len() + value.len() <= STATE_BYTES_MAX;
        if fits {
            values.insert(key, value);
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
}
