//! The five fields that people know from other integrations: client id, client secret, auth URL, token URL and scope. The addresses only
//! choose a row of the manifest's table of data centres; no text of a person ever becomes an address that a secret is sent to.

use std::collections::BTreeSet;

use url::Url;

use super::connections::NewConnection;
use super::failure::Failure;
use crate::app::App;
use crate::egress::{AuthSpec, Oauth2Spec};

const AUTH_URL: &str = "auth_url";
const TOKEN_URL: &str = "token_url";
const SCOPE: &str = "scope";
const DATA_CENTRE: &str = "data_centre";

/// Takes `auth_url`, `token_url` and `scope` out of what a person gives, puts the data centre that they mean in their place, and gives
/// what the person should know.
///
/// # Errors
/// An address is of no data centre that the plugin knows.
pub async fn read_manual(app: &App, tenant: &str, new: &mut NewConnection) -> Result<Vec<String>, Failure> {
    let given: Vec<Option<String>> = [AUTH_URL, TOKEN_URL, SCOPE].map(|name| new.settings.remove(name)).into();
    if given.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    let oauth2 = match app.connectors().await?.contains(&new.plugin) {
        true => app.manifest(&new.plugin).await?.auth.iter().find_map(|auth| match auth {
            AuthSpec::Oauth2(oauth2) => Some(oauth2.clone()),
            _ => None,
        }),
        false => None,
    };
    let Some(oauth2) = oauth2 else {
        return Err(Failure::input(
            "connection.unknown_setting",
            format!("`{}` does not log in by OAuth: it has no auth URL, token URL or scope", new.plugin),
            "leave them out",
        ));
    };
    let mut elsewhere = new.origins.get(&oauth2.host).cloned();
    if elsewhere.is_none() {
        let known = app.store().connection(tenant, &new.name).await?;
        elsewhere = known.and_then(|row| row.origins.get(&oauth2.host).cloned());
    }
    let mut notes = Vec::new();
    let auth = given[0].as_deref().map(|url| data_centre(&oauth2, url, &oauth2.authorize_path, elsewhere.as_deref()));
    let token = given[1].as_deref().map(|url| data_centre(&oauth2, url, &oauth2.token_path, elsewhere.as_deref()));
    let (auth, token) = (auth.transpose()?, token.transpose()?);
    if let (Some(auth), Some(token)) = (&auth, &token)
        && auth != token
    {
        notes.push(format!(
            "the auth URL is of the data centre `{auth}`, the token URL of `{token}`: `{token}` is used. If the login is refused, take \
             both from the data centre where your organisation is"
        ));
    }
    if let Some(chosen) = token.or(auth) {
        new.settings.insert(DATA_CENTRE.to_owned(), chosen);
    }
    if let Some(scope) = &given[2] {
        let written: BTreeSet<&str> = scope.split([',', ' ']).filter(|part| !part.is_empty()).collect();
        let lacking: Vec<&str> =
            oauth2.scopes.iter().map(String::as_str).filter(|scope| !written.contains(scope)).collect();
        if !lacking.is_empty() {
            notes.push(format!(
                "the scope lacks {}; the login asks for them as well",
                lacking.join(oauth2.scope_separator.as_str())
            ));
        }
    }
    Ok(notes)
}

/// The row of the table that an address belongs to.
fn data_centre(oauth2: &Oauth2Spec, text: &str, path: &str, elsewhere: Option<&str>) -> Result<String, Failure> {
    let origin = |text: &str| Url::parse(text.trim()).ok().map(|url| url.origin());
    let wanted = origin(text).filter(|origin| origin.is_tuple());
    let hosts = || {
        let host =
            |row: &std::collections::BTreeMap<String, Url>| row.get(&oauth2.host).map(|url| url.as_str().to_owned());
        oauth2.data_centres.values().filter_map(host).collect::<Vec<_>>().join(", ")
    };
    let Some(wanted) = wanted else {
        return Err(Failure::input(
            "connection.address",
            format!("`{text}` is not an address"),
            format!("known: {}", hosts()),
        ));
    };
    let is_path = Url::parse(text.trim()).is_ok_and(|url| url.path() == path || url.path() == "/");
    if !is_path {
        return Err(Failure::input(
            "connection.address",
            format!("`{text}` is not the address that a login needs"),
            format!("it ends with {path}"),
        ));
    }
    let is_it =
        |row: &std::collections::BTreeMap<String, Url>| row.get(&oauth2.host).is_some_and(|url| url.origin() == wanted);
    let known = oauth2.data_centres.iter().find(|(_, row)| is_it(row)).map(|(name, _)| name.clone());
    // The operator has pointed the logins elsewhere (a sandbox): every data centre is there.
    let pointed =
        elsewhere.and_then(origin).filter(|origin| *origin == wanted).map(|_| oauth2.default_data_centre.clone());
    known.or(pointed).ok_or_else(|| {
        Failure::input(
            "connection.unknown_data_centre",
            format!("`{text}` is of no data centre that `{}` is known to have", oauth2.host),
            format!("known: {}", hosts()),
        )
    })
}
