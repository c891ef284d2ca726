//! What a plugin asked for, what was granted, and who would receive a secret.
//!
//! Effective power is what was asked *and* granted. A login is bound to the [`Consent::fingerprint`] of what was shown: when a newer
//! version of the plugin sends secrets elsewhere, or places them differently, a person has to log in again.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::error::Error;
use super::manifest::{Class, Manifest};
use crate::egress::{AuthSpec, Base, OriginSpec};

/// What an operator has granted to a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The largest class whose limits it may use.
    pub class: Class,
    /// Names of the origins that it may reach.
    pub origins: BTreeSet<String>,
}

impl Granted {
    /// Everything that a manifest asks for: the answer "yes" to what [`consent`] shows.
    pub fn all_of(manifest: &Manifest) -> Granted {
        let origins = manifest.origins.iter().map(|origin| origin.name.clone()).collect();
        Granted { class: manifest.class, origins }
    }
}

/// The origins that a plugin may reach: all that it asks for, if all are granted.
///
/// # Errors
/// [`Error::NotGranted`] names the first thing that is asked for and not granted. A plugin is not run with less than it asks for,
/// because it would fail in the middle of a sync.
pub fn effective(manifest: &Manifest, granted: &Granted) -> Result<Vec<OriginSpec>, Error> {
    let refused = |asked: String| Err(Error::NotGranted { plugin: manifest.id.clone(), asked });
    if manifest.class > granted.class {
        return refused(format!("the limits of class {:?}", manifest.class).to_lowercase());
    }
    match manifest.origins.iter().find(|origin| !granted.origins.contains(&origin.name)) {
        Some(origin) => refused(format!("origin `{}`", origin.name)),
        None => Ok(manifest.origins.clone()),
    }
}

/// What a person agrees to when a connection is made with a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Every place that a secret can be sent to, as an address or as the setting that holds one, in order and once each.
    pub destinations: Vec<String>,
    /// Where in a request a secret goes, in order and once each.
    pub placements: Vec<String>,
    /// Digest of plugin id, publisher, destinations and placements, as lower-case hex.
    pub fingerprint: String,
}

/// What a manifest asks a person to agree to.
pub fn consent(manifest: &Manifest) -> Consent {
    let mut destinations = BTreeSet::new();
    let mut placements = BTreeSet::new();
    for origin in &manifest.origins {
        match &origin.base {
            Base::Literal(url) => drop(destinations.insert(url.origin().ascii_serialization())),
            Base::Setting(name) => drop(destinations.insert(format!("the address in the setting `{name}`"))),
            // The hosts of the table follow below.
            Base::Auth(_) => {}
        }
    }
    for auth in &manifest.auth {
        if let AuthSpec::Oauth2(oauth2) = auth {
            let hosts = oauth2.data_centres.values().flat_map(|hosts| hosts.values());
            destinations.extend(hosts.map(|url| url.origin().ascii_serialization()));
        }
        placements.extend(placements_of(auth));
    }
    let mut digest = Sha256::new();
    let lines = [&manifest.id, &manifest.publisher].into_iter().chain(&destinations).chain(&placements);
    for line in lines {
        // With its length before it, no line can pretend to be two.
        digest.update((line.len() as u64).to_le_bytes());
        digest.update(line.as_bytes());
    }
    Consent {
        destinations: destinations.into_iter().collect(),
        placements: placements.into_iter().collect(),
        fingerprint: digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn placements_of(auth: &AuthSpec) -> Vec<String> {
    match auth {
        AuthSpec::Oauth2(oauth2) => vec![
            format!("access token in the header `authorization` after `{}`", oauth2.scheme),
            format!("client secret and tokens at `{}` below `{}`", oauth2.token_path, oauth2.host),
        ],
        AuthSpec::Session(session) => vec![
            format!("digest of {} at `{}` of `{}`", session.secrets.join(", "), session.login.path, session.origin),
            format!("session in the query as `{}`", session.place.query),
            format!("session in the form as `{}`", session.place.form),
        ],
        AuthSpec::Basic(_) => vec!["user and password in the header `authorization`".to_owned()],
        AuthSpec::ApiKey(key) => vec![format!("key in the header `{}`", key.header.to_ascii_lowercase())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(auth: &str, base: &str) -> Manifest {
        let json = format!(
            r#"{{"id":"example","title":"Example","version":"1.0.0","contract":"0.1.0","kind":"connector","class":"python",
                "licence":"Apache-2.0","publisher":"example",
                "limits":{{"requests_parallel":1,"request_timeout_ms":30000}},"origins":[{{"name":"api","base":"{base}","paths":["/v1/"],
                "methods":["GET"]}}],"auth":[{auth}]}}"#
        );
        Manifest::parse("example", json.as_bytes()).expect("the manifest is good")
    }

    const KEY: &str = r#"{"kind":"api-key","header":"X-Api-Key","secret":"api_key"}"#;

    #[test]
    fn power_is_asked_and_granted() {
        let manifest = manifest(KEY, "https://api.example.com");
        let all = Granted::all_of(&manifest);
        assert_eq!(effective(&manifest, &all).expect("all is granted").len(), 1);
        let check = |granted: &Granted, asked: &str| {
            let error = effective(&manifest, granted).expect_err("something is missing").to_string();
            assert_eq!(error, format!("load plugin `example`: it asks for {asked}, which is not granted"));
        };
        check(&Granted { origins: BTreeSet::new(), ..all.clone() }, "origin `api`");
        check(&Granted { class: Class::Rust, ..all }, "the limits of class python");
    }

    #[test]
    fn a_login_is_bound_to_where_secrets_go() {
        let first = consent(&manifest(KEY, "https://api.example.com/v1"));
        assert_eq!(first.destinations, ["https://api.example.com"]);
        assert_eq!(first.placements, ["key in the header `x-api-key`"]);
        let check = |auth: &str, base: &str, same: bool| {
            assert_eq!(consent(&manifest(auth, base)).fingerprint == first.fingerprint, same, "{auth} {base}");
        };
        check(KEY, "https://api.example.com/v2", true);
        check(KEY, "https://api.example.org/v1", false);
        check(KEY, "setting:base_url", false);
        check(&KEY.replace("X-Api-Key", "X-Other"), "https://api.example.com/v1", false);
    }

    #[test]
    fn every_host_of_a_data_centre_table_is_shown() {
        let oauth2 = r#"{"kind":"oauth2","scheme":"Bearer","scope_separator":",","scopes":[],"authorize_path":"/auth",
            "token_path":"/token","host":"accounts","data_centres":{
              "us":{"accounts":"https://accounts.example.com","api":"https://api.example.com"},
              "eu":{"accounts":"https://accounts.example.eu","api":"https://api.example.eu:8443"}},
            "default_data_centre":"us","error_pointer":"/error","throttle_ms":1,"refresh_early_ms":1,"default_lifetime_ms":1,
            "expired":{}}"#;
        let shown = consent(&manifest(oauth2, "auth:api")).destinations;
        let expected = [
            "https://accounts.example.com",
            "https://accounts.example.eu",
            "https://api.example.com",
            "https://api.example.eu:8443",
        ];
        assert_eq!(shown, expected);
    }
}
