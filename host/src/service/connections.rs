//! Connections: add, list, check, look into, remove.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::failure::{Failure, call_failed};
use crate::app::{App, parse_addresses, parse_origins};
use crate::egress::{AuthSpec, Base, Secrets};
use crate::engine::{CheckReport, FieldInfo, Remote, User};
use crate::runtime::manifest::Manifest;
use crate::store::{ConnectionRow, ConnectionState};

/// What a person gives for a new connection.
#[derive(Clone, Debug, Default)]
pub struct NewConnection {
    /// Name, unique in the workspace.
    pub name: String,
    /// Plugin id.
    pub plugin: String,
    /// Settings, nothing secret.
    pub settings: BTreeMap<String, String>,
    /// Secrets by name; they go straight into the vault.
    pub secrets: BTreeMap<String, SecretString>,
    /// Origins that the operator points elsewhere.
    pub origins: BTreeMap<String, String>,
    /// `address:port` that the operator grants.
    pub addresses: Vec<String>,
}

/// Adds a connection, or changes the one of that name: what is not given stays as it was, and a login stays valid as long as neither its
/// plugin nor its addresses change.
///
/// # Errors
/// An unknown plugin, a missing or unknown setting, a secret given as a setting, a wrong address.
pub async fn add(app: &App, tenant: &str, new: NewConnection) -> Result<ConnectionRow, Failure> {
    check_name(&new.name)?;
    let known = app.connectors().await?;
    if !known.contains(&new.plugin) {
        return Err(Failure::input(
            "connection.unknown_plugin",
            format!("there is no connector `{}`", new.plugin),
            format!("known connectors: {}", known.join(", ")),
        ));
    }
    let manifest = app.manifest(&new.plugin).await?;
    let before = app.store().connection(tenant, &new.name).await?;
    if before.as_ref().is_some_and(|before| before.plugin != new.plugin) {
        return Err(Failure::input(
            "connection.other_plugin",
            format!("`{}` is a connection of another connector already", new.name),
            "choose another name, or remove it first",
        ));
    }
    let mut row = before.unwrap_or_else(|| ConnectionRow {
        name: new.name.clone(),
        plugin: new.plugin.clone(),
        settings: BTreeMap::new(),
        origins: BTreeMap::new(),
        addresses: Vec::new(),
        grant_version: 1,
        org_id: String::new(),
        org_name: String::new(),
        state: ConnectionState::New,
        checked: String::new(),
        created_at_ms: app.now_ms(),
    });
    row.settings.extend(new.settings);
    row.origins.extend(new.origins);
    for address in new.addresses {
        if !row.addresses.contains(&address) {
            row.addresses.push(address);
        }
    }
    check_settings(&manifest, &row.settings)?;
    check_origins(&manifest, &row)?;
    let secrets = secret_names(&manifest);
    if let Some(unknown) = new.secrets.keys().find(|name| !secrets.contains(name)) {
        return Err(Failure::input(
            "connection.unknown_secret",
            format!("`{}` has no secret `{unknown}`", row.plugin),
            format!("its secrets: {}", secrets.join(", ")),
        ));
    }
    app.store().put_connection(tenant, row.clone()).await?;
    if !new.secrets.is_empty() {
        keep_secrets(app, tenant, &row.name, new.secrets).await?;
    }
    Ok(row)
}

/// All connections, by name.
pub async fn list(app: &App, tenant: &str) -> Result<Vec<ConnectionRow>, Failure> {
    Ok(app.store().connections(tenant).await?)
}

/// The connection of this name.
pub(super) async fn get(app: &App, tenant: &str, name: &str) -> Result<ConnectionRow, Failure> {
    match app.store().connection(tenant, name).await? {
        Some(row) => Ok(row),
        None => {
            let names: Vec<String> = list(app, tenant).await?.into_iter().map(|row| row.name).collect();
            let hint = if names.is_empty() {
                "there is none yet: `crmsync connection add NAME --plugin PLUGIN`".to_owned()
            } else {
                format!("known connections: {}", names.join(", "))
            };
            Err(Failure::input("connection.unknown", format!("there is no connection `{name}`"), hint))
        }
    }
}

/// Asks the CRM who and where we are, and remembers it. The first check binds the connection to its organisation (S19).
///
/// # Errors
/// The CRM cannot be reached, the login does not work, a permission is missing, or it is another organisation than before.
pub async fn check(app: &App, tenant: &str, name: &str) -> Result<CheckReport, Failure> {
    let row = get(app, tenant, name).await?;
    let crm = app.crm(tenant, &row).await?;
    let report = match crm.check().await {
        Ok(report) => report,
        Err(error) => return Err(not_checked(app, tenant, &row, &error).await?),
    };
    if !row.org_id.is_empty() && row.org_id != report.org_id {
        return Err(Failure::failed(
            "connection.other_org",
            format!("this login belongs to `{}`, and `{name}` is a connection to `{}`", report.org_name, row.org_name),
            "log in to the same organisation again, or add a new connection and start a new flow",
        ));
    }
    if !report.missing.is_empty() {
        return Err(Failure::failed(
            "connection.missing_permission",
            format!("`{name}`: these permissions are missing: {}", report.missing.join(", ")),
            format!("grant them in the CRM and run `crmsync connection login {name}`"),
        ));
    }
    let org = row.org_id.is_empty().then(|| (report.org_id.clone(), report.org_name.clone()));
    let known = StoredCheck::of(&row).filter(|_| row.state == ConnectionState::Ready);
    let at_login = known.map_or_else(|| report.clone(), |known| known.at_login);
    let stored = StoredCheck { at_login, last: report.clone(), last_at_ms: app.now_ms() };
    let stored = serde_json::to_string(&stored).unwrap_or_default();
    app.store().set_connection_checked(tenant, name, ConnectionState::Ready, org, stored).await?;
    Ok(report)
}

/// What is kept of a connection's checks.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct StoredCheck {
    /// What the login could see at first: a later change is what a sweep has to notice.
    pub(super) at_login: CheckReport,
    /// The last check.
    pub(super) last: CheckReport,
    /// When that was.
    pub(super) last_at_ms: i64,
}

impl StoredCheck {
    pub(super) fn of(row: &ConnectionRow) -> Option<StoredCheck> {
        serde_json::from_str(&row.checked).ok()
    }
}

async fn not_checked(
    app: &App,
    tenant: &str,
    row: &ConnectionRow,
    error: &crate::engine::CallError,
) -> Result<Failure, Failure> {
    use crmsync_core::Fault;
    if matches!(error, crate::engine::CallError::Fault(Fault::LoggedOut)) && row.state == ConnectionState::Ready {
        app.store().set_connection_checked(tenant, &row.name, ConnectionState::LoggedOut, None, String::new()).await?;
    }
    Ok(call_failed(&row.name, "check", error))
}

/// Fields of a module.
pub async fn fields(app: &App, tenant: &str, name: &str, module: &str) -> Result<Vec<FieldInfo>, Failure> {
    let row = get(app, tenant, name).await?;
    let crm = app.crm(tenant, &row).await?;
    let modules = crm.modules().await.map_err(|error| call_failed(name, "list the modules", &error))?;
    if !modules.iter().any(|known| known.name == module) {
        let known: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        return Err(Failure::input(
            "connection.unknown_module",
            format!("`{name}` has no module `{module}`"),
            format!("known modules: {}", known.join(", ")),
        ));
    }
    crm.describe(module).await.map_err(|error| call_failed(name, &format!("describe {module}"), &error))
}

/// Users and groups.
pub async fn users(app: &App, tenant: &str, name: &str) -> Result<Vec<User>, Failure> {
    let row = get(app, tenant, name).await?;
    app.crm(tenant, &row).await?.users().await.map_err(|error| call_failed(name, "list the users", &error))
}

/// Removes a connection with its secrets, unless a flow uses it.
pub async fn remove(app: &App, tenant: &str, name: &str) -> Result<(), Failure> {
    get(app, tenant, name).await?;
    for flow in app.store().flows(tenant).await? {
        let document = crate::flow::Document::parse(&flow.document);
        if document.is_ok_and(|document| document.between.iter().any(|side| side == name)) {
            return Err(Failure::input(
                "connection.in_use",
                format!("flow `{}` uses `{name}`", flow.name),
                "remove the flow first",
            ));
        }
    }
    app.store().remove_connection(tenant, name).await?;
    Ok(())
}

/// Names of the secrets that a person gives for a connection of this plugin.
fn secret_names(manifest: &Manifest) -> Vec<String> {
    let names = |auth: &AuthSpec| -> Vec<String> {
        match auth {
            AuthSpec::Oauth2(_) => vec!["client_secret".to_owned()],
            AuthSpec::Session(session) => session.secrets.clone(),
            AuthSpec::Basic(basic) => vec![basic.password.clone()],
            AuthSpec::ApiKey(key) => vec![key.secret.clone()],
        }
    };
    manifest.auth.iter().flat_map(names).collect()
}

async fn keep_secrets(app: &App, tenant: &str, name: &str, new: BTreeMap<String, SecretString>) -> Result<(), Failure> {
    let vault = app.vault();
    let failed = |why: String| Failure::environment("store.vault", format!("failed to keep the secrets: {why}"), "");
    let (version, mut secrets) = vault.load(tenant, name).await.map_err(failed)?.unwrap_or((0, Secrets::default()));
    secrets.values.extend(new);
    match vault.replace(tenant, name, version, secrets).await.map_err(failed)? {
        Ok(_) => Ok(()),
        Err(conflict) => Err(failed(conflict.to_string())),
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '_';
    if (1..=40).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(Failure::input(
        "connection.name",
        format!("`{name}` is not a name for a connection"),
        "use 1 to 40 lower-case letters, digits, `-` and `_`",
    ))
}

/// Settings against the manifest's JSON Schema, as far as a flat object of texts and numbers goes.
fn check_settings(manifest: &Manifest, settings: &BTreeMap<String, String>) -> Result<(), Failure> {
    let empty = serde_json::Map::new();
    let properties = manifest.settings.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let known = || properties.keys().cloned().collect::<Vec<_>>().join(", ");
    for (name, value) in settings {
        let Some(property) = properties.get(name) else {
            return Err(Failure::input(
                "connection.unknown_setting",
                format!("`{}` has no setting `{name}`", manifest.id),
                format!("its settings: {}", known()),
            ));
        };
        let number = value.parse::<i64>();
        let minimum = property.get("minimum").and_then(Value::as_i64).unwrap_or(i64::MIN);
        let is_integer = property.get("type").and_then(Value::as_str) == Some("integer");
        if is_integer && !number.as_ref().is_ok_and(|number| *number >= minimum) {
            return Err(Failure::input(
                "connection.setting",
                format!("setting `{name}` is `{value}`, not a whole number of at least {minimum}"),
                "",
            ));
        }
    }
    let required = manifest.settings.get("required").and_then(Value::as_array);
    let missing = required.into_iter().flatten().filter_map(Value::as_str).find(|name| !settings.contains_key(*name));
    match missing {
        Some(name) => {
            let about = properties.get(name).and_then(|property| property.get("description")).and_then(Value::as_str);
            Err(Failure::input(
                "connection.missing_setting",
                format!("`{}` needs the setting `{name}`", manifest.id),
                format!("give it with `--set {name}=…`. {}", about.unwrap_or_default()),
            ))
        }
        None => Ok(()),
    }
}

/// Overrides name origins of the manifest (or the hosts of its logins), and grants are addresses.
fn check_origins(manifest: &Manifest, row: &ConnectionRow) -> Result<(), Failure> {
    parse_origins(&row.origins)?;
    parse_addresses(&row.addresses)?;
    let mut known: Vec<String> = manifest.origins.iter().map(|origin| origin.name.clone()).collect();
    known.extend(manifest.auth.iter().filter_map(|auth| match auth {
        AuthSpec::Oauth2(oauth2) => Some(oauth2.host.clone()),
        _ => None,
    }));
    if let Some(unknown) = row.origins.keys().find(|name| !known.contains(name)) {
        return Err(Failure::input(
            "connection.unknown_origin",
            format!("`{}` has no origin `{unknown}`", row.plugin),
            format!("its origins: {}", known.join(", ")),
        ));
    }
    let settings = manifest.origins.iter().filter_map(|origin| match &origin.base {
        Base::Setting(name) => row.settings.get(name).map(|url| (name.clone(), url.clone())),
        _ => None,
    });
    parse_origins(&settings.collect())?;
    Ok(())
}
