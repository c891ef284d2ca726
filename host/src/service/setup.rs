//! What a person needs to know, and says, to begin: which connectors there are and what they ask for, and the first flow file.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::connections;
use super::failure::Failure;
use crate::app::App;
use crate::flow::{self, Document, Template, preset};

/// A connector, and what a connection of it needs.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorInfo {
    /// Plugin id.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// Settings that must be given, in the order of the manifest.
    pub settings: Vec<SettingInfo>,
    /// Secrets that must be given.
    pub secrets: Vec<String>,
}

/// One setting of a connector.
#[derive(Clone, Debug, Serialize)]
pub struct SettingInfo {
    /// Name.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Where it is found.
    pub description: String,
}

/// What the first flow should be.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Name of the flow.
    pub name: String,
    /// The two connections, left first.
    pub between: [String; 2],
    /// Left modules, by API name; empty for all that have default fields.
    pub modules: Vec<String>,
    /// both, to-NAME or off; "" for both.
    pub direction: String,
    /// Connection whose value stays; "" for the first.
    pub winner: String,
    /// fill-empty, winner or ask; "" for fill-empty.
    pub first_sync: String,
    /// E-mail address of the user who owns what nobody else can own, by connection.
    pub fallback: BTreeMap<String, String>,
}

/// All connectors.
///
/// # Errors
/// The bundled plugins cannot be loaded.
pub async fn connectors(app: &App) -> Result<Vec<ConnectorInfo>, Failure> {
    let mut known = Vec::new();
    for id in app.connectors().await? {
        let manifest = app.manifest(&id).await?;
        let property = |name: &str, key: &str| {
            let text = manifest.settings.pointer(&format!("/properties/{name}/{key}")).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let required = manifest.settings.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let settings = required.iter().filter_map(Value::as_str).map(|name| SettingInfo {
            name: name.to_owned(),
            title: property(name, "title"),
            description: property(name, "description"),
        });
        known.push(ConnectorInfo {
            id: manifest.id.clone(),
            title: manifest.title.clone(),
            settings: settings.collect(),
            secrets: connections::secret_names(&manifest),
        });
    }
    Ok(known)
}

/// Modules that have default fields for two connections, left first.
///
/// # Errors
/// A connection is unknown.
pub async fn modules_between(app: &App, tenant: &str, between: &[String; 2]) -> Result<Vec<[String; 2]>, Failure> {
    let left = connections::get(app, tenant, &between[0]).await?;
    let right = connections::get(app, tenant, &between[1]).await?;
    Ok(preset::modules([&left.plugin, &right.plugin]))
}

/// The commented flow file that does what is wished.
///
/// # Errors
/// A connection or module is unknown; everything else is judged by whoever applies the file.
pub async fn draft(app: &App, tenant: &str, wish: &Wish) -> Result<String, Failure> {
    let known = modules_between(app, tenant, &wish.between).await?;
    let mut modules = Vec::new();
    for name in &wish.modules {
        let is_it = |pair: &&[String; 2]| pair.iter().any(|known| known.eq_ignore_ascii_case(name));
        match known.iter().find(is_it) {
            Some(pair) => modules.push(pair.clone()),
            None => {
                let names: Vec<&str> = known.iter().map(|pair| pair[0].as_str()).collect();
                return Err(Failure::input(
                    "setup.unknown_module",
                    format!("there are no default fields for the module `{name}`"),
                    format!("with default fields: {}; add others to the file afterwards", names.join(", ")),
                ));
            }
        }
    }
    if modules.is_empty() {
        modules = known;
    }
    let fallback = wish.between.each_ref().map(|side| wish.fallback.get(side).map(String::as_str));
    let between = wish.between.each_ref().map(String::as_str);
    let mut text =
        Document::template(&Template { name: &wish.name, between, modules: &modules, owner_fallback: fallback });
    let mut settings = vec![("winner".to_owned(), &wish.winner), ("first_sync".to_owned(), &wish.first_sync)];
    settings.extend(modules.iter().map(|[left, _]| (format!("{left}.direction"), &wish.direction)));
    for (key, value) in settings {
        if !value.is_empty() {
            text = flow::set(&text, &key, value)
                .map_err(|error| Failure::input("flow.setting", error.message, error.hint))?;
        }
    }
    Ok(text)
}
