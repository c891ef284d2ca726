//! Credentials that never change by themselves: user and password, or a key in a header.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::desk::refusal;
use super::{Desk, Pass};
use crate::egress::{Error, Refusal};

/// HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicSpec {
    /// Name of the setting that holds the user's name.
    pub user: String,
    /// Name of the secret that holds the password or key.
    pub password: String,
}

/// A key in a header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeySpec {
    /// Name of the header.
    pub header: String,
    /// Name of the secret that holds the key.
    pub secret: String,
}

/// A credential that is read from the vault and put into a header.
pub(in crate::egress) struct Fixed {
    pub(super) header: HeaderName,
    /// Name of the setting with the user's name, for basic authentication.
    user: Option<String>,
    secret: String,
    desk: Arc<Desk>,
    /// The secret in use, and the one that the CRM did not accept.
    state: Mutex<(Option<SecretString>, Option<SecretString>)>,
}

impl Fixed {
    pub(super) fn basic(spec: BasicSpec, desk: Arc<Desk>) -> Fixed {
        Fixed { header: AUTHORIZATION, user: Some(spec.user), secret: spec.password, desk, state: Mutex::default() }
    }

    pub(super) fn api_key(spec: ApiKeySpec, desk: Arc<Desk>) -> Result<Fixed, Error> {
        let header = HeaderName::from_bytes(spec.header.as_bytes())
            .map_err(|_| Error::BadGrant(format!("`{}` is not a header's name", spec.header)))?;
        Ok(Fixed { header, user: None, secret: spec.secret, desk, state: Mutex::default() })
    }

    pub(super) async fn pass(&self) -> Result<Pass, Refusal> {
        let (kept, _) = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let secret = match kept {
            Some(secret) => secret,
            None => self.read().await?,
        };
        let text = match &self.user {
            None => secret.expose_secret().to_owned(),
            Some(name) => {
                let user = self.desk.setting(name).ok_or(Refusal::LoggedOut)?;
                let pair = SecretString::from(STANDARD.encode(format!("{user}:{}", secret.expose_secret())));
                self.desk.keep_out("basic", &pair).map_err(refusal)?;
                format!("Basic {}", pair.expose_secret())
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| Refusal::LoggedOut)?;
        value.set_sensitive(true);
        Ok(Pass::Header { name: self.header.clone(), value, secret })
    }

    pub(super) fn expire(&self, secret: SecretString) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (None, Some(secret));
    }

    async fn read(&self) -> Result<SecretString, Refusal> {
        let (_, secrets) = self.desk.load().await.map_err(refusal)?;
        let secret = secrets.values.get(&self.secret).ok_or(Refusal::LoggedOut)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1.as_ref().is_some_and(|refused| refused.expose_secret() == secret.expose_secret()) {
            return Err(Refusal::LoggedOut);
        }
        *state = (Some(secret.clone()), None);
        Ok(secret.clone())
    }
}
