//! A small cache of the connection's plugin: 64 KiB in all, and it may vanish at any time. Never keep truth in it.

/// The bytes stored under a key, if they are still there.
#[cfg(target_arch = "wasm32")]
pub fn get(key: &str) -> Option<Vec<u8>> {
    crate::bindings::connector::crmsync::plugin::state::get(key)
}

/// Stores bytes under a key; `false` if they are over the limit and were not stored.
#[cfg(target_arch = "wasm32")]
pub fn set(key: &str, value: &[u8]) -> bool {
    crate::bindings::connector::crmsync::plugin::state::set(key, value)
}

#[cfg(not(target_arch = "wasm32"))]
pub use crate::testing::{state_get as get, state_set as set};
