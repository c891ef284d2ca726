//! What a plugin says about itself: the JSON in the component's custom section `crmsync:manifest`.

use serde::Deserialize;
use serde_json::Value;

use super::error::Error;
use crate::egress::{AuthSpec, BudgetSpec, Limits, OriginSpec};

/// The contract that this host speaks; a plugin for another minor version of it is refused.
pub const CONTRACT: &str = "0.1";

/// A plugin's manifest. Everything in it is asked for, nothing is granted by it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Stable name, lower case.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// Semantic version of the plugin.
    pub version: String,
    /// Version of the contract that it was built for.
    pub contract: String,
    /// What it is.
    pub kind: PluginKind,
    /// What it was written in, which decides its limits.
    pub class: Class,
    /// SPDX expression.
    pub licence: String,
    /// Who publishes it; a grant is bound to it.
    pub publisher: String,
    /// JSON Schema of a connection's non-secret settings.
    #[serde(default)]
    pub settings: Value,
    /// The addresses that it wants to reach, by name.
    #[serde(default)]
    pub origins: Vec<OriginSpec>,
    /// The ways in which a connection can log in.
    #[serde(default)]
    pub auth: Vec<AuthSpec>,
    /// RFC 6901 pointers into answers whose values no guest may see.
    #[serde(default)]
    pub secret_fields: Vec<String>,
    /// Whether the CRM's automations can be left asleep.
    #[serde(default)]
    pub automations: Automations,
    /// How a person makes the field for our keys, step by step; `{module}` stands for the module.
    #[serde(default)]
    pub prepare: Vec<String>,
    /// The CRM's documented limits; a connector has them, a transform does not.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// What the CRM lets one organisation call in a minute and a day, by edition; none if it counts nothing.
    #[serde(default)]
    pub budget: Option<BudgetSpec>,
}

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// Speaks to one CRM.
    Connector,
    /// Only reshapes values.
    Transform,
}

/// Whether writes start the CRM's own workflows and mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Automations {
    /// As each write says.
    #[default]
    Chosen,
    /// With every write: the CRM has no switch.
    Always,
}

/// What a plugin was written in. The order is that of what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Compiled code: Rust, and what is as small.
    Rust,
    /// A JavaScript interpreter and a script.
    Javascript,
    /// A Python interpreter and a script.
    Python,
}

impl Manifest {
    /// Reads a manifest and checks what does not depend on the component. `plugin` names the file until the id is known.
    pub(super) fn parse(plugin: &str, json: &[u8]) -> Result<Manifest, Error> {
        let manifest: Manifest = serde_json::from_slice(json)
            .map_err(|error| Error::BadManifest { plugin: plugin.to_owned(), reason: error.to_string() })?;
        match manifest.contradiction() {
            Some(reason) => Err(Error::BadManifest { plugin: plugin.to_owned(), reason }),
            None => Ok(manifest),
        }
    }

    fn contradiction(&self) -> Option<String> {
        if !is_name(&self.id) {
            return Some(format!(
                "`id` is `{}`; it may have lower-case letters, digits and hyphens only",
                clip(&self.id)
            ));
        }
        for (name, text) in [("title", &self.title), ("licence", &self.licence), ("publisher", &self.publisher)] {
            if text.trim().is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
                return Some(format!("`{name}` is empty, too long, or has control characters"));
            }
        }
        if version(&self.version).is_none() {
            return Some(format!("`version` is `{}`, not a version like `1.0.0`", clip(&self.version)));
        }
        match version(&self.contract) {
            Some((0, 1, _)) => {}
            _ => {
                return Some(format!(
                    "it is built for contract `{}`, this host speaks {CONTRACT}",
                    clip(&self.contract)
                ));
            }
        }
        if !self.settings.is_null() && !self.settings.is_object() {
            return Some("`settings` is not a JSON Schema of an object".to_owned());
        }
        self.contradiction_of_powers()
    }

    fn contradiction_of_powers(&self) -> Option<String> {
        if self.kind == PluginKind::Transform {
            let powerless = self.origins.is_empty()
                && self.auth.is_empty()
                && self.secret_fields.is_empty()
                && self.limits.is_none()
                && self.budget.is_none();
            return (!powerless).then(|| "a transform has neither origins nor logins nor limits of a CRM".to_owned());
        }
        if self.limits.is_none_or(|limits| limits.requests_parallel == 0 || limits.request_timeout_ms == 0) {
            return Some("a connector needs `limits`, none of them 0".to_owned());
        }
        if self.origins.is_empty() {
            return Some("a connector needs at least one origin".to_owned());
        }
        for (index, origin) in self.origins.iter().enumerate() {
            if !is_name(&origin.name) {
                return Some(format!("the origin `{}` has no usable name", clip(&origin.name)));
            }
            if self.origins[..index].iter().any(|earlier| earlier.name == origin.name) {
                return Some(format!("the origin `{}` is there twice", origin.name));
            }
            if let Err(error) = origin.check() {
                return Some(error.to_string());
            }
        }
        let wild = self.secret_fields.iter().find(|pointer| !pointer.starts_with('/'))?;
        Some(format!("the secret field `{}` is not an RFC 6901 pointer", clip(wild)))
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

/// The three numbers of a semantic version; a pre-release or build part is allowed and ignored.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let core = text.split(['-', '+']).next()?;
    let mut numbers = core.split('.').map(|part| part.parse().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && text.len() <= 64).then_some(version)
}

/// A text from outside, short enough and clean enough for a message.
fn clip(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}
