//! The query of a call.

use crate::http::Request;

/// Decoded parameters; of a repeated one, the first counts.
#[derive(Debug)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    pub(super) fn of(request: &Request) -> Params {
        Params { pairs: request.query_pairs() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All parameters but the named ones, and one header, in an order of their own: what a page token is bound to.
    pub(super) fn without(&self, names: &[&str], header: Option<&str>) -> String {
        let mut kept: Vec<String> = self
            .pairs
            .iter()
            .filter(|(key, _)| !names.contains(&key.as_str()))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        kept.sort();
        format!("{}\n{}", kept.join("\n"), header.unwrap_or_default())
    }
}
