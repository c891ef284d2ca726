//! Facts of the login and of the call.

/// Names and values: what the manifest's auth kind captured (`user-id`, `time-zone`), the connection's settings (`setting.NAME`) and
/// `now-ms`. A transform gets the facts that are fixed for its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pairs: Vec<(String, String)>,
}

impl Facts {
    /// Facts from names and values.
    pub fn new(pairs: Vec<(String, String)>) -> Facts {
        Facts { pairs }
    }

    /// The facts of this call of a connector.
    pub fn of_call() -> Facts {
        Facts::new(host_facts())
    }

    /// The value of one fact; none if it is unknown.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of one setting of the connection; none if it is not set.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known.strip_prefix("setting.") == Some(name))
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The host's clock at the start of the call, in milliseconds since 1970; 0 if the host does not tell.
    pub fn now_ms(&self) -> i64 {
        self.get("now-ms").and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

#[cfg(target_arch = "wasm32")]
fn host_facts() -> Vec<(String, String)> {
    crate::bindings::connector::crmsync::plugin::egress::facts()
}

#[cfg(not(target_arch = "wasm32"))]
fn host_facts() -> Vec<(String, String)> {
    crate::testing::facts()
}
