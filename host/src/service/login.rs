//! Logins: with a session's key at once, or over a browser with OAuth's code flow.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use super::connections;
use super::failure::{Failure, refused};
use super::identity;
use crate::app::App;
use crate::egress::{AuthSpec, Door, DraftVault, Refusal};
use crate::engine::CheckReport;
use crate::store::ConnectionRow;

/// The fixed loopback port of the OAuth callback: people register `http://127.0.0.1:8765/callback` once with their CRM.
pub const CALLBACK_PORT: u16 = 8765;
/// Longest time of one login request, in milliseconds.
const LOGIN_TIMEOUT_MS: u64 = 30_000;

/// The address that a CRM sends people back to.
pub fn callback_address(port: u16) -> String {
    format!("http://{}/callback", SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// An OAuth login that was begun: one-use, bound to this process, tenant and connection.
pub struct Login<'a> {
    app: &'a App,
    tenant: String,
    connection: ConnectionRow,
    door: Arc<Door>,
    draft: Arc<DraftVault>,
    state: String,
    redirect_uri: String,
    /// Where the person consents.
    pub url: Url,
    /// The scopes that are asked for, in one line.
    pub scopes: String,
}

impl<'a> Login<'a> {
    /// Begins a login.
    ///
    /// # Errors
    /// The connection is unknown, does not log in by OAuth, or lacks settings.
    pub async fn begin(app: &'a App, tenant: &str, name: &str, redirect_uri: String) -> Result<Login<'a>, Failure> {
        let row = connections::get(app, tenant, name).await?;
        let manifest = app.manifest(&row.plugin).await?;
        let scopes = manifest.auth.iter().find_map(|auth| match auth {
            AuthSpec::Oauth2(oauth2) => Some(oauth2.scopes.join(&oauth2.scope_separator)),
            _ => None,
        });
        let Some(scopes) = scopes else {
            return Err(Failure::input(
                "connection.no_browser_login",
                format!("`{name}` does not log in over a browser"),
                "",
            ));
        };
        let (door, draft) = app.door_for_login(tenant, &row).await?;
        let state = random_word()?;
        let url = door.authorize_url(&redirect_uri, &state)?;
        let tenant = tenant.to_owned();
        Ok(Login { app, tenant, connection: row, door, draft, state, redirect_uri, url, scopes })
    }

    /// Whether the parameters of a callback belong to this login.
    pub fn is_mine(&self, parameters: &[(String, String)]) -> bool {
        parameters.iter().any(|(name, value)| name == "state" && *value == self.state)
    }

    /// Completes the login with the parameters of the callback, then checks the connection.
    ///
    /// # Errors
    /// The person refused, the state is not ours, the CRM refuses the code, or the check fails; a login from before is then as it was.
    pub async fn finish(self, parameters: &[(String, String)]) -> Result<CheckReport, Failure> {
        let get = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if !self.is_mine(parameters) {
            return Err(Failure::failed(
                "connection.login_state",
                "the answer does not belong to this login",
                "start the login again, and use only the address that it prints",
            ));
        }
        if let Some(error) = get("error") {
            let hint = if error == "access_denied" { "press Accept on the CRM's page to give access" } else { "" };
            let code: String = error.chars().filter(|letter| !letter.is_control()).take(64).collect();
            return Err(Failure::failed("connection.login_refused", format!("the CRM answers `{code}`"), hint));
        }
        let Some(code) = get("code") else {
            return Err(Failure::failed(
                "connection.login_code",
                "the CRM's answer has no code",
                "start the login again",
            ));
        };
        let answer = self.door.exchange_code(Some(&self.redirect_uri), code, parameters).await;
        answer.map_err(|error| at(&self.connection, error.into()))?;
        identity::accept_login(self.app, &self.tenant, &self.connection, self.door, &self.draft).await
    }
}

/// Logs in with a code that a person made at the CRM's own console, without a redirect, then checks the connection.
/// The code belongs to the data centre that the connection names, or the default one.
///
/// # Errors
/// The connection does not log in by OAuth, the CRM refuses the code, or the check fails; a login from before is then as it was.
pub async fn login_with_code(app: &App, tenant: &str, name: &str, code: &str) -> Result<CheckReport, Failure> {
    let row = connections::get(app, tenant, name).await?;
    let manifest = app.manifest(&row.plugin).await?;
    if !manifest.auth.iter().any(|auth| matches!(auth, AuthSpec::Oauth2(_))) {
        return Err(Failure::input(
            "connection.no_code_login",
            format!("`{name}` does not log in with a code"),
            format!("run `crmsync connection login {name}`"),
        ));
    }
    let code = code.trim();
    if code.is_empty() || code.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(Failure::input(
            "connection.login_code",
            "this is not a code",
            "copy the code alone, without blanks",
        ));
    }
    let (door, draft) = app.door_for_login(tenant, &row).await?;
    if let Err(error) = door.exchange_code(None, code, &[]).await {
        let failure = at(&row, error.into());
        let hint = "a code is good once and for a few minutes: make a new one, with the scopes that `crmsync connection login` prints; \
                    if your organisation is in another data centre, set it: --set data_centre=eu";
        return Err(Failure {
            hint: format!("{}{}{hint}", failure.hint, if failure.hint.is_empty() { "" } else { "; " }),
            ..failure
        });
    }
    identity::accept_login(app, tenant, &row, door, &draft).await
}

/// The scopes that a login asks for, in one line; none if the connection logs in without.
///
/// # Errors
/// The connection or its plugin is unknown.
pub async fn scopes(app: &App, tenant: &str, name: &str) -> Result<Option<String>, Failure> {
    let row = connections::get(app, tenant, name).await?;
    let manifest = app.manifest(&row.plugin).await?;
    Ok(manifest.auth.iter().find_map(|auth| match auth {
        AuthSpec::Oauth2(oauth2) => Some(oauth2.scopes.join(&oauth2.scope_separator)),
        _ => None,
    }))
}

/// A failure of the network does not say where it happened: the connection and its address do.
fn at(row: &ConnectionRow, failure: Failure) -> Failure {
    let mut places: Vec<&str> = row.origins.values().map(String::as_str).collect();
    places.extend(row.settings.values().filter(|value| value.starts_with("http")).map(String::as_str));
    places.sort_unstable();
    places.dedup();
    let place = if places.is_empty() { String::new() } else { format!(" at {}", places.join(", ")) };
    Failure { message: format!("`{}`{place}: {}", row.name, failure.message), ..failure }
}

/// Logs in a connection whose secret was given with it, then checks it.
///
/// # Errors
/// The connection needs a browser, the CRM refuses the credentials, or it cannot be reached.
pub async fn login_with_session(app: &App, tenant: &str, name: &str) -> Result<CheckReport, Failure> {
    let row = connections::get(app, tenant, name).await?;
    let (door, draft) = app.door_for_login(tenant, &row).await?;
    let deadline = Instant::now() + Duration::from_millis(LOGIN_TIMEOUT_MS);
    match door.login_session(deadline).await {
        Ok(()) => identity::accept_login(app, tenant, &row, door, &draft).await,
        Err(Refusal::LoggedOut) => {
            let manifest = app.manifest(&row.plugin).await?;
            Err(Failure::failed(
                "connection.login_refused",
                format!("`{name}`: the CRM refuses the user or the key"),
                connections::how_to_give_again(&row, &manifest),
            ))
        }
        Err(refusal) => Err(at(&row, refused(&refusal))),
    }
}

/// The parameters of a callback's address, as a person pastes it.
///
/// # Errors
/// The text is not an address.
pub fn parse_callback(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let url = Url::parse(text.trim()).map_err(|error| {
        Failure::input(
            "connection.login_paste",
            format!("this is not an address: {error}"),
            "paste the whole address from the browser's address bar, beginning with http",
        )
    })?;
    Ok(url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
}

fn random_word() -> Result<String, Failure> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|error| Failure::environment("host.randomness", error.to_string(), ""))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
