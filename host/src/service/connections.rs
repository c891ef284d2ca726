//! Connections: add, change, list, look into, remove. Who a login is and where is in `identity.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::failure::{Failure, call_failed};
use super::identity::StoredCheck;
use crate::app::{App, parse_addresses, parse_origins};
use crate::egress::{AuthSpec, Base, Secrets, base_url};
use crate::engine::{FieldInfo, Remote, User};
use crate::runtime::capability::consent;
use crate::runtime::manifest::Manifest;
use crate::store::{ConnectionRow, ConnectionState};

/// Longest time for telling a CRM that an authorisation has ended.
const REVOKE_TIME: Duration = Duration::from_secs(10);
/// How often secrets are put into the vault before somebody else's changes count as a fault of the store.
const KEEP_ATTEMPTS_MAX: u32 = 8;
/// Largest setting in milliseconds where the plugin names no other: a week.
const SETTING_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Largest other number in a setting where the plugin names no other.
const SETTING_INTEGER_MAX: i64 = 1 << 53;
/// Most characters of a setting.
const SETTING_CHARS_MAX: usize = 2_000;

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

/// What is taken back from a connection.
#[derive(Clone, Debug, Default)]
pub struct Withdrawn {
    /// Addresses that the operator granted.
    pub addresses: Vec<String>,
    /// Origins that the operator pointed elsewhere.
    pub origins: Vec<String>,
}

/// Adds a connection, or changes the one of that name: what is not given stays as it was. A change of a setting, an origin or a secret
/// needs a new login, because nobody knows whether the old one belongs to the same organisation.
///
/// # Errors
/// An unknown plugin, a missing or unknown setting or secret, a secret given as a setting, a wrong address.
pub async fn add(app: &App, tenant: &str, new: NewConnection) -> Result<ConnectionRow, Failure> {
    change(app, tenant, new, &Withdrawn::default()).await
}

/// The same, and takes back what was granted before.
///
/// # Errors
/// As [`add`]; also if what is taken back was never granted.
pub async fn change(
    app: &App,
    tenant: &str,
    new: NewConnection,
    withdrawn: &Withdrawn,
) -> Result<ConnectionRow, Failure> {
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
    let mut row = before.clone().unwrap_or_else(|| ConnectionRow {
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
    take_back(&mut row, withdrawn)?;
    row.settings.extend(new.settings);
    row.origins.extend(new.origins);
    for address in new.addresses {
        if !row.addresses.contains(&address) {
            row.addresses.push(address);
        }
    }
    check_settings(&manifest, &row.settings)?;
    check_origins(&manifest, &row)?;
    let names = secret_names(&manifest);
    let stored = match &before {
        Some(_) => load_secrets(app, tenant, &row.name).await?.1,
        // What an earlier connection of this name may have left is not this one's.
        None => Secrets::default(),
    };
    check_secrets(&row, &names, &new.secrets, &stored)?;
    let is_other = |(name, value): (&String, &SecretString)| {
        stored.values.get(name).is_none_or(|stored| stored.expose_secret() != value.expose_secret())
    };
    let secrets_change = new.secrets.iter().any(is_other);
    let settings_change =
        before.as_ref().is_none_or(|before| before.settings != row.settings || before.origins != row.origins);
    if !(secrets_change || settings_change) {
        app.store().put_connection(tenant, row.clone()).await?;
        return Ok(row);
    }
    if row.state == ConnectionState::Ready {
        row.state = ConnectionState::LoggedOut;
    }
    row.checked.clear();
    // First nobody uses the connection any more, then the old login's tokens go.
    app.store().put_connection(tenant, row.clone()).await?;
    let mut values = stored.values;
    values.retain(|name, _| names.contains(name));
    values.extend(new.secrets);
    keep_secrets(app, tenant, &row.name, Secrets { values, facts: BTreeMap::new() }).await?;
    app.forget_door(tenant, &row.name).await;
    Ok(row)
}

fn take_back(row: &mut ConnectionRow, withdrawn: &Withdrawn) -> Result<(), Failure> {
    for address in &withdrawn.addresses {
        let Some(place) = row.addresses.iter().position(|known| known == address) else {
            let known = if row.addresses.is_empty() { "none".to_owned() } else { row.addresses.join(", ") };
            return Err(Failure::input(
                "connection.not_granted",
                format!("the address `{address}` is not granted to `{}`", row.name),
                format!("granted: {known}"),
            ));
        };
        row.addresses.remove(place);
    }
    for origin in &withdrawn.origins {
        if row.origins.remove(origin).is_none() {
            let known: Vec<&str> = row.origins.keys().map(String::as_str).collect();
            return Err(Failure::input(
                "connection.not_granted",
                format!("the origin `{origin}` of `{}` is not pointed elsewhere", row.name),
                format!("pointed elsewhere: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") }),
            ));
        }
    }
    Ok(())
}

/// Every secret is one of the plugin's, and each of those is given now or was before.
fn check_secrets(
    row: &ConnectionRow,
    names: &[String],
    given: &BTreeMap<String, SecretString>,
    stored: &Secrets,
) -> Result<(), Failure> {
    if let Some(unknown) = given.keys().find(|name| !names.contains(name)) {
        return Err(Failure::input(
            "connection.unknown_secret",
            format!("`{}` has no secret `{unknown}`", row.plugin),
            format!("its secrets: {}", names.join(", ")),
        ));
    }
    match names.iter().find(|name| !given.contains_key(*name) && !stored.values.contains_key(*name)) {
        Some(missing) => Err(Failure::input(
            "connection.missing_secret",
            format!("`{}` needs the secret `{missing}`", row.plugin),
            format!("add `--secret {missing}`; {}", how_to_give(missing)),
        )),
        None => Ok(()),
    }
}

/// How a person gives a secret.
fn how_to_give(secret: &str) -> String {
    format!("its value is read from the environment variable CRMSYNC_SECRET_{}, else asked for", secret.to_uppercase())
}

/// How a person gives the secrets of a connection anew.
pub(super) fn how_to_give_again(row: &ConnectionRow, manifest: &Manifest) -> String {
    let names = secret_names(manifest);
    let flags: Vec<String> = names.iter().map(|name| format!("--secret {name}")).collect();
    let how: Vec<String> = names.iter().map(|name| how_to_give(name)).collect();
    format!(
        "check user and key, and give the key again with `crmsync connection add {} --plugin {} {}`; {}",
        row.name,
        row.plugin,
        flags.join(" "),
        how.join("; ")
    )
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

/// Whether a connection can be used without a person: logged in, and sending secrets only to where a person agreed to.
///
/// # Errors
/// It cannot; says how to log in.
pub(super) async fn usable(app: &App, row: &ConnectionRow) -> Result<(), Failure> {
    if row.state == ConnectionState::LoggedOut {
        return Err(Failure::failed(
            "connection.logged_out",
            format!("`{}` is logged out", row.name),
            format!("run `crmsync connection login {}`", row.name),
        ));
    }
    agreed(app, row).await
}

/// Whether a person has agreed to where the secrets of a connection go now.
pub(super) async fn agreed(app: &App, row: &ConnectionRow) -> Result<(), Failure> {
    let name = &row.name;
    let login = format!("run `crmsync connection login {name}`");
    if row.state == ConnectionState::New {
        return Err(Failure::failed("connection.not_logged_in", format!("`{name}` was never logged in"), login));
    }
    let manifest = app.manifest(&row.plugin).await?;
    match StoredCheck::of(row) {
        // Whatever was changed since the last login has also removed what was remembered of it.
        None => {
            Err(Failure::failed("connection.logged_out", format!("`{name}` was changed since its last login"), login))
        }
        Some(known) if known.consent != consent(&manifest).fingerprint => Err(Failure::failed(
            "connection.consent_changed",
            format!("the plugin of `{name}` sends secrets to other places than you agreed to"),
            format!("{login}; it shows the places first"),
        )),
        Some(_) => Ok(()),
    }
}

/// Every place that receives a secret of a connection, as it is set up now: shown before a login.
///
/// # Errors
/// The connection or its plugin is unknown.
pub async fn receivers(app: &App, tenant: &str, name: &str) -> Result<Vec<String>, Failure> {
    let row = get(app, tenant, name).await?;
    let manifest = app.manifest(&row.plugin).await?;
    let mut places = std::collections::BTreeSet::new();
    let show = |text: &str| base_url(text).map_or_else(|_| text.to_owned(), |url| url.origin().ascii_serialization());
    for origin in &manifest.origins {
        match (row.origins.get(&origin.name), &origin.base) {
            (Some(elsewhere), _) => drop(places.insert(show(elsewhere))),
            (None, Base::Literal(url)) => drop(places.insert(show(url.as_str()))),
            (None, Base::Setting(setting)) => places.extend(row.settings.get(setting).map(|url| show(url))),
            // The hosts of the login's table follow below.
            (None, Base::Auth(_)) => {}
        }
    }
    for auth in &manifest.auth {
        let AuthSpec::Oauth2(oauth2) = auth else { continue };
        for (host, url) in oauth2.data_centres.values().flatten() {
            places.insert(row.origins.get(host).map_or_else(|| show(url.as_str()), |elsewhere| show(elsewhere)));
        }
    }
    Ok(places.into_iter().collect())
}

/// Fields of a module.
pub async fn fields(app: &App, tenant: &str, name: &str, module: &str) -> Result<Vec<FieldInfo>, Failure> {
    let row = get(app, tenant, name).await?;
    usable(app, &row).await?;
    let crm = app.crm_anew(tenant, &row).await?;
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
    usable(app, &row).await?;
    app.crm(tenant, &row).await?.users().await.map_err(|error| call_failed(name, "list the users", &error))
}

/// What the removal of a connection did at the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revoked {
    /// The CRM has ended the authorisation.
    Yes,
    /// There was nothing to end: no login, or one that the CRM does not keep.
    Nothing,
    /// The CRM could not be told; a person can end it there.
    Failed,
}

/// Removes a connection with its secrets, unless a flow uses it. The authorisation at the CRM is ended as well, if that can be done.
pub async fn remove(app: &App, tenant: &str, name: &str) -> Result<Revoked, Failure> {
    let row = get(app, tenant, name).await?;
    for flow in app.store().flows(tenant).await? {
        // A document that cannot be read may use any connection.
        if crate::flow::Document::sides(&flow.document).is_none_or(|sides| sides.iter().any(|side| side == name)) {
            return Err(Failure::input(
                "connection.in_use",
                format!("flow `{}` uses `{name}`", flow.name),
                format!("remove the flow first: `crmsync flow remove {}`", flow.name),
            ));
        }
    }
    let revoked = revoke(app, tenant, &row).await;
    app.store().remove_connection(tenant, name).await?;
    app.forget_door(tenant, name).await;
    Ok(revoked)
}

async fn revoke(app: &App, tenant: &str, row: &ConnectionRow) -> Revoked {
    let has_login = load_secrets(app, tenant, &row.name).await.map(|(_, secrets)| !secrets.facts.is_empty());
    if row.state == ConnectionState::New || !has_login.unwrap_or(true) {
        return Revoked::Nothing;
    }
    let Ok(door) = app.door(tenant, row).await else { return Revoked::Failed };
    match tokio::time::timeout(REVOKE_TIME, door.revoke()).await {
        Ok(Ok(())) => Revoked::Yes,
        Ok(Err(crate::egress::Error::WrongKind(_))) => Revoked::Nothing,
        Ok(Err(_)) | Err(_) => Revoked::Failed,
    }
}

/// Names of the secrets that a person gives for a connection of this plugin.
pub(super) fn secret_names(manifest: &Manifest) -> Vec<String> {
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

pub(super) fn not_kept(why: impl std::fmt::Display) -> Failure {
    Failure::environment("store.vault", format!("failed to keep the secrets: {why}"), "")
}

async fn load_secrets(app: &App, tenant: &str, name: &str) -> Result<(u64, Secrets), Failure> {
    Ok(app.vault().load(tenant, name).await.map_err(not_kept)?.unwrap_or_default())
}

/// Puts secrets in the place of all that were there. Who refreshes an old login meanwhile is overtaken.
async fn keep_secrets(app: &App, tenant: &str, name: &str, secrets: Secrets) -> Result<(), Failure> {
    for _ in 0..KEEP_ATTEMPTS_MAX {
        let (version, _) = load_secrets(app, tenant, name).await?;
        if app.vault().replace(tenant, name, version, secrets.clone()).await.map_err(not_kept)?.is_ok() {
            return Ok(());
        }
    }
    Err(not_kept("somebody else keeps changing them"))
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
        check_setting(name, value, property)?;
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

/// One setting against its schema.
fn check_setting(name: &str, value: &str, property: &Value) -> Result<(), Failure> {
    let wrong = |what: String| Err(Failure::input("connection.setting", format!("setting `{name}` {what}"), ""));
    let number = |key: &str| property.get(key).and_then(Value::as_i64);
    if property.get("type").and_then(Value::as_str) == Some("integer") {
        // Every number is bounded: times are added to the clock.
        let most = if name.ends_with("_ms") { SETTING_MS_MAX } else { SETTING_INTEGER_MAX };
        let (least, most) = (number("minimum").unwrap_or(-most), number("maximum").unwrap_or(most));
        return match value.parse::<i64>() {
            Ok(given) if (least..=most).contains(&given) => Ok(()),
            _ => wrong(format!("is `{value}`, not a whole number from {least} to {most}")),
        };
    }
    let letters = value.chars().count();
    let least = number("minLength").and_then(|least| usize::try_from(least).ok()).unwrap_or(0);
    let most = number("maxLength")
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(SETTING_CHARS_MAX)
        .min(SETTING_CHARS_MAX);
    match letters {
        0 if least > 0 => wrong("is empty".to_owned()),
        _ if letters < least => wrong(format!("has {letters} characters, and needs {least}")),
        _ if letters > most => wrong(format!("has {letters} characters, at most {most} are allowed")),
        _ if value.chars().any(char::is_control) => wrong("has control characters".to_owned()),
        _ => Ok(()),
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
