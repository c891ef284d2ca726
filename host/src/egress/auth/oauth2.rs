//! OAuth 2: authorisation code once, then refresh tokens.
//!
//! The protocol's messages are the crate `oauth2`'s; what is ours is where they go (the manifest's table, never a redirect's or a
//! tenant's word), who may send them (one host at a time), and that errors are recognised whatever status they come with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenResponse,
    TokenUrl,
};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::desk::{Claim, fact_ms, refusal};
use super::{Desk, ExpiredSpec, Pass, finish};
use crate::egress::limiter::Limiter;
use crate::egress::origin::join;
use crate::egress::path::Path;
use crate::egress::transport::{Failure, Incoming, Outgoing};
use crate::egress::{Error, Refusal, Secrets};
use crmsync_body::scalar_at;

const CLIENT_ID: &str = "client_id";
const CLIENT_SECRET: &str = "client_secret";
const ACCESS_TOKEN: &str = "access_token";
const REFRESH_TOKEN: &str = "refresh_token";
const EXPIRES_FACT: &str = "expires_at_ms";
const DATA_CENTRE_FACT: &str = "data_centre";
/// The setting in which a person chooses a row of the table.
const DATA_CENTRE_SETTING: &str = "data_centre";
const THROTTLED_FACT: &str = "token_throttled_until_ms";

/// Tokens that we ask for in a span of [`TOKEN_WINDOW_MS`]: CRMs count them, and a loop of refusals must not use them up.
const TOKENS_MAX: u32 = 8;
const TOKENS_AT_ONCE_MAX: u32 = 4;
const TOKEN_WINDOW_MS: u64 = 600_000;

/// OAuth 2 code flow, parametrised by the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth2Spec {
    /// Word before the token in the `Authorization` header, such as `Bearer`.
    pub scheme: String,
    /// What separates scopes in the authorisation URL.
    pub scope_separator: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Path of the consent page, below the accounts host.
    pub authorize_path: String,
    /// Path of the token endpoint, below the accounts host.
    pub token_path: String,
    /// Path of the revocation endpoint, below the accounts host, if there is one.
    #[serde(default)]
    pub revoke_path: Option<String>,
    /// Name of the accounts host in the data-centre table, and of the override that replaces it.
    pub host: String,
    /// Further parameters of the authorisation URL.
    #[serde(default)]
    pub authorize_parameters: BTreeMap<String, String>,
    /// Data centre → host name → base address. The only source of hosts that ever receive a secret.
    pub data_centres: BTreeMap<String, BTreeMap<String, Url>>,
    /// Parameter of the callback that names the data centre, if the CRM has several.
    #[serde(default)]
    pub data_centre_parameter: Option<String>,
    /// Data centre at which a login starts.
    pub default_data_centre: String,
    /// RFC 6901 pointer to the error code in answers of the token endpoint, whatever their status.
    pub error_pointer: String,
    /// What the codes of the token endpoint mean; a code that is not listed may go away by itself.
    #[serde(default)]
    pub token_errors: BTreeMap<String, TokenError>,
    /// How long the token endpoint refuses after it has answered `throttled`, in milliseconds.
    pub throttle_ms: u64,
    /// How long before its end a token is refreshed, in milliseconds.
    pub refresh_early_ms: u64,
    /// Life of a token whose answer does not tell it, in milliseconds.
    pub default_lifetime_ms: u64,
    /// How the CRM says that a token has ended.
    pub expired: ExpiredSpec,
}

/// What an error code of the token endpoint means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenError {
    /// The grant is gone: a person has to log in again.
    LoggedOut,
    /// Client id, secret or redirect address are wrong: an administrator has to correct the settings.
    Configuration,
    /// Too many tokens were asked for.
    Throttled,
}

/// The tokens of one door.
pub(in crate::egress) struct Tokens {
    pub(super) spec: Oauth2Spec,
    desk: Arc<Desk>,
    /// Replaces the table's accounts host, by an operator's override.
    accounts: Option<Url>,
    flight: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    token: Option<Token>,
    /// The access token that the CRM did not accept.
    stale: Option<SecretString>,
    /// The refresh token that the CRM did not accept.
    refused: Option<SecretString>,
    budget: Limiter,
}

#[derive(Clone)]
struct Token {
    value: SecretString,
    expires_at_ms: u64,
}

/// What a failed token request means.
enum Denial {
    /// A person has to log in again, or to correct the settings; the code that said so.
    Final(TokenError, String),
    /// The CRM gives no more tokens for a while.
    Throttled,
    /// Our own budget gives none for so many milliseconds.
    OverBudget(u64),
    /// It may work later.
    Passing(String),
}

type TokenClient = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

impl Tokens {
    pub(super) fn new(spec: Oauth2Spec, desk: Arc<Desk>, accounts: Option<Url>) -> Result<Tokens, Error> {
        let broken = |what: String| Err(Error::BadGrant(what));
        for path in
            [Some(&spec.authorize_path), Some(&spec.token_path), spec.revoke_path.as_ref()].into_iter().flatten()
        {
            if let Err(reason) = Path::parse(path) {
                return broken(format!("the path `{path}` {reason}"));
            }
        }
        if !spec.data_centres.contains_key(&spec.default_data_centre) {
            return broken(format!("the data centre `{}` is not in its table", spec.default_data_centre));
        }
        if HeaderValue::from_str(&spec.scheme).is_err() || spec.scheme.contains(' ') {
            return broken(format!("`{}` is not a word for the authorization header", spec.scheme));
        }
        let budget = Limiter::new(Some(TOKENS_MAX), TOKENS_AT_ONCE_MAX, TOKEN_WINDOW_MS);
        let state = Mutex::new(State { token: None, stale: None, refused: None, budget });
        Ok(Tokens { spec, desk, accounts, flight: tokio::sync::Mutex::default(), state })
    }

    pub(super) async fn pass(self: Arc<Self>, deadline: Instant) -> Result<Pass, Refusal> {
        let token = match self.current() {
            Some(token) => token,
            None => finish(Arc::clone(&self).renew(), deadline).await?,
        };
        let text = format!("{} {}", self.spec.scheme, token.value.expose_secret());
        let mut value = HeaderValue::from_str(&text).map_err(|_| Refusal::LoggedOut)?;
        value.set_sensitive(true);
        Ok(Pass::Header { name: AUTHORIZATION, value, secret: token.value })
    }

    /// Never to give out this access token again.
    pub(super) fn expire(&self, refused: SecretString) {
        let mut state = self.state();
        // Somebody else may have refreshed since: the token of now is not the one that was refused then.
        if state.token.as_ref().is_none_or(|token| token.value.expose_secret() == refused.expose_secret()) {
            state.token = None;
            state.stale = Some(refused);
        }
    }

    pub(super) async fn know_facts(&self) -> Result<(), Refusal> {
        match self.desk.facts().contains_key(DATA_CENTRE_FACT) {
            true => Ok(()),
            false => self.desk.load().await.map(drop).map_err(refusal),
        }
    }

    /// The host of this name in the row of the table that the login chose.
    pub(super) fn host(&self, name: &str) -> Option<Url> {
        self.spec.data_centres.get(&self.data_centre())?.get(name).cloned()
    }

    pub(super) fn data_centre(&self) -> String {
        self.desk.facts().remove(DATA_CENTRE_FACT).unwrap_or_else(|| self.spec.default_data_centre.clone())
    }

    /// The address of the consent page. `state` is one-use and bound to session, tenant and connection by the caller.
    pub(in crate::egress) fn authorize_url(&self, redirect_uri: &str, state: &str) -> Result<Url, Error> {
        let page = self.accounts_url(&self.home_data_centre(), &self.spec.authorize_path)?;
        let client = BasicClient::new(self.client_id()?)
            .set_auth_uri(AuthUrl::from_url(page))
            .set_redirect_uri(redirect_url(redirect_uri)?);
        let state = state.to_owned();
        let mut request = client.authorize_url(|| CsrfToken::new(state));
        if !self.spec.scopes.is_empty() {
            // One scope of our own making, because the crate would separate them by blanks.
            request = request.add_scope(Scope::new(self.spec.scopes.join(&self.spec.scope_separator)));
        }
        for (name, value) in &self.spec.authorize_parameters {
            request = request.add_extra_param(name, value);
        }
        Ok(request.url().0)
    }

    /// Trades the callback's code for tokens and stores them.
    pub(in crate::egress) async fn exchange_code(
        &self,
        redirect_uri: Option<&str>,
        code: &str,
        parameters: &[(String, String)],
    ) -> Result<(), Error> {
        let data_centre = self.chosen_data_centre(parameters)?;
        let (_, secrets) = self.desk.load().await?;
        let mut client = self.client(&data_centre, &secrets)?;
        if let Some(redirect_uri) = redirect_uri {
            client = client.set_redirect_uri(redirect_url(redirect_uri)?);
        }
        let request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let answer = request.request_async(self).await;
        let answer = answer.map_err(|error| match self.denial(error) {
            Denial::Final(TokenError::Configuration, code) => Error::Settings(format!(
                "the CRM answers `{code}`: check client id, client secret and redirect address"
            )),
            Denial::Final(_, code) => Error::LoginRefused(code),
            Denial::Throttled => Error::Unreachable(Refusal::RateLimited(self.spec.throttle_ms)),
            Denial::OverBudget(wait_ms) => Error::Unreachable(Refusal::RateLimited(wait_ms)),
            Denial::Passing(reason) => Error::Unreachable(Refusal::NotSent(reason)),
        })?;
        if answer.refresh_token().is_none() {
            return Err(Error::NoRefreshToken);
        }
        let now_ms = self.desk.now_ms();
        self.desk
            .change(|secrets| {
                self.store(secrets, &answer, now_ms);
                secrets.facts.insert(DATA_CENTRE_FACT.to_owned(), data_centre.clone());
                secrets.facts.remove(THROTTLED_FACT);
                true
            })
            .await?;
        let mut state = self.state();
        (state.token, state.stale, state.refused) = (None, None, None);
        Ok(())
    }

    /// Ends the authorisation at the CRM, if it can be ended there, and forgets the tokens.
    pub(in crate::egress) async fn revoke(&self) -> Result<(), Error> {
        let (_, secrets) = self.desk.load().await?;
        if let (Some(path), Some(token)) = (&self.spec.revoke_path, secrets.values.get(REFRESH_TOKEN)) {
            let url = self.accounts_url(&self.data_centre(), path)?;
            let form = [("token".to_owned(), token.expose_secret().to_owned())];
            self.desk.call(Method::POST, url, Some(&form)).await.map_err(Refusal::from)?;
        }
        self.state().token = None;
        self.desk
            .change(|secrets| {
                secrets.values.remove(REFRESH_TOKEN);
                secrets.values.remove(ACCESS_TOKEN);
                secrets.facts.remove(EXPIRES_FACT);
                true
            })
            .await
    }

    /// The token in memory, if it will last and was not refused.
    fn current(&self) -> Option<Token> {
        let now_ms = self.desk.now_ms();
        self.state().token.clone().filter(|token| token.expires_at_ms > now_ms + self.spec.refresh_early_ms)
    }

    /// A token from the vault if another host has refreshed, else a new one.
    async fn renew(self: Arc<Self>) -> Result<Token, Refusal> {
        let _flight = self.flight.lock().await;
        loop {
            if let Some(token) = self.current() {
                return Ok(token);
            }
            let (version, secrets) = self.desk.load().await.map_err(refusal)?;
            let stored = self.stored_token(&secrets);
            let now_ms = self.desk.now_ms();
            if let Some(token) = &stored
                && token.expires_at_ms > now_ms + self.spec.refresh_early_ms
            {
                self.state().token = Some(token.clone());
                return Ok(token.clone());
            }
            let usable = stored.filter(|token| token.expires_at_ms > now_ms);
            let refresh_token = self.refresh_token(&secrets)?;
            let throttled_ms = fact_ms(&secrets, THROTTLED_FACT).saturating_sub(now_ms).min(self.spec.throttle_ms);
            if throttled_ms > 0 {
                return usable.ok_or(Refusal::RateLimited(throttled_ms));
            }
            let Some(claim) = self.desk.claim(version, &secrets).await.map_err(refusal)? else { continue };
            return match self.refresh(claim, &secrets, refresh_token).await {
                Err(Refusal::RateLimited(_) | Refusal::NotSent(_)) if usable.is_some() => {
                    usable.ok_or(Refusal::LoggedOut)
                }
                outcome => outcome,
            };
        }
    }

    async fn refresh(&self, claim: Claim, secrets: &Secrets, refresh_token: SecretString) -> Result<Token, Refusal> {
        let budget = self.state().budget.take(self.desk.now_ms());
        let outcome = match (budget, self.client(&self.data_centre(), secrets)) {
            (Err(wait_ms), _) => Err(Denial::OverBudget(wait_ms)),
            (Ok(()), Ok(client)) => {
                let token = RefreshToken::new(refresh_token.expose_secret().to_owned());
                let answer = client.exchange_refresh_token(&token).request_async(self).await;
                answer.map_err(|error| self.denial(error))
            }
            (Ok(()), Err(error)) => Err(Denial::Final(TokenError::Configuration, error.to_string())),
        };
        let now_ms = self.desk.now_ms();
        let same_login = |secrets: &Secrets| {
            secrets
                .values
                .get(REFRESH_TOKEN)
                .is_some_and(|stored| stored.expose_secret() == refresh_token.expose_secret())
        };
        let settled = self.desk.settle(claim, same_login, |secrets| match &outcome {
            Ok(answer) => self.store(secrets, answer, now_ms),
            Err(Denial::Throttled) => {
                secrets.facts.insert(THROTTLED_FACT.to_owned(), (now_ms + self.spec.throttle_ms).to_string());
            }
            Err(_) => {}
        });
        settled.await.map_err(refusal)?;
        match outcome {
            Ok(answer) => {
                let token = self.token(&answer, now_ms);
                let mut state = self.state();
                (state.token, state.stale) = (Some(token.clone()), None);
                Ok(token)
            }
            Err(Denial::Final(kind, code)) => {
                tracing::warn!(connection = self.desk.connection, code, ?kind, "the token endpoint refused the login");
                self.state().refused = Some(refresh_token);
                Err(Refusal::LoggedOut)
            }
            Err(Denial::Throttled) => Err(Refusal::RateLimited(self.spec.throttle_ms)),
            Err(Denial::OverBudget(wait_ms)) => Err(Refusal::RateLimited(wait_ms)),
            Err(Denial::Passing(reason)) => {
                Err(Refusal::NotSent(format!("the token could not be refreshed: {reason}")))
            }
        }
    }

    /// The stored access token, unless the CRM did not accept it.
    fn stored_token(&self, secrets: &Secrets) -> Option<Token> {
        let value = secrets.values.get(ACCESS_TOKEN)?;
        let stale = self.state().stale.as_ref().is_some_and(|stale| stale.expose_secret() == value.expose_secret());
        (!stale).then(|| Token { value: value.clone(), expires_at_ms: fact_ms(secrets, EXPIRES_FACT) })
    }

    /// The stored refresh token, unless there is none or the CRM did not accept it.
    fn refresh_token(&self, secrets: &Secrets) -> Result<SecretString, Refusal> {
        let token = secrets.values.get(REFRESH_TOKEN).ok_or(Refusal::LoggedOut)?;
        match &self.state().refused {
            Some(refused) if refused.expose_secret() == token.expose_secret() => Err(Refusal::LoggedOut),
            _ => Ok(token.clone()),
        }
    }

    fn store(&self, secrets: &mut Secrets, answer: &BasicTokenResponse, now_ms: u64) {
        let token = self.token(answer, now_ms);
        secrets.values.insert(ACCESS_TOKEN.to_owned(), token.value);
        secrets.facts.insert(EXPIRES_FACT.to_owned(), token.expires_at_ms.to_string());
        // A CRM that rotates refresh tokens sends the next one; one that does not sends none.
        if let Some(refresh_token) = answer.refresh_token() {
            secrets.values.insert(REFRESH_TOKEN.to_owned(), refresh_token.secret().as_str().into());
        }
    }

    fn token(&self, answer: &BasicTokenResponse, now_ms: u64) -> Token {
        let lifetime = answer.expires_in().unwrap_or(Duration::from_millis(self.spec.default_lifetime_ms));
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(self.spec.default_lifetime_ms);
        Token {
            value: answer.access_token().secret().as_str().into(),
            expires_at_ms: now_ms.saturating_add(lifetime_ms),
        }
    }

    fn client(&self, data_centre: &str, secrets: &Secrets) -> Result<TokenClient, Error> {
        let secret = secrets.values.get(CLIENT_SECRET);
        let secret = secret.ok_or_else(|| Error::Settings(format!("the secret `{CLIENT_SECRET}` is missing")))?;
        Ok(BasicClient::new(self.client_id()?)
            .set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(TokenUrl::from_url(self.accounts_url(data_centre, &self.spec.token_path)?)))
    }

    fn client_id(&self) -> Result<ClientId, Error> {
        let id = self.desk.setting(CLIENT_ID);
        id.map(|id| ClientId::new(id.to_owned()))
            .ok_or_else(|| Error::Settings(format!("the setting `{CLIENT_ID}` is missing")))
    }

    fn accounts_url(&self, data_centre: &str, path: &str) -> Result<Url, Error> {
        let table = self.spec.data_centres.get(data_centre).and_then(|hosts| hosts.get(&self.spec.host));
        let base = self.accounts.as_ref().or(table).ok_or_else(|| Error::UnknownDataCentre(data_centre.to_owned()))?;
        let path = Path::parse(path).map_err(|reason| Error::BadGrant(format!("the path `{path}` {reason}")))?;
        Ok(join(base, &path))
    }

    /// The data centre where a login begins: the one that a person chose from the table, else the default.
    fn home_data_centre(&self) -> String {
        let chosen = self.desk.setting(DATA_CENTRE_SETTING).filter(|name| self.spec.data_centres.contains_key(*name));
        chosen.unwrap_or(&self.spec.default_data_centre).to_owned()
    }

    /// The data centre that the callback names: a row of the table, or nothing. Any other word of the callback is ignored.
    fn chosen_data_centre(&self, parameters: &[(String, String)]) -> Result<String, Error> {
        let named = self.spec.data_centre_parameter.as_ref();
        let named = named.and_then(|wanted| parameters.iter().find(|(name, _)| name == wanted));
        match named {
            None => Ok(self.home_data_centre()),
            Some((_, name)) if self.spec.data_centres.contains_key(name) => Ok(name.clone()),
            Some((_, name)) => Err(Error::UnknownDataCentre(name.clone())),
        }
    }

    /// Sends a request of the crate `oauth2` through our own door.
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| Failure::NotSent(error.to_string()))?;
        let outgoing = Outgoing { method: parts.method, url, headers: parts.headers, body: Some(body) };
        self.normalise(self.desk.call_raw(outgoing).await?)
    }

    /// Turns an error into the form of RFC 6749, whatever status it came with: some CRMs answer 200.
    fn normalise(&self, incoming: Incoming) -> Result<HttpResponse, Failure> {
        let (mut status, mut body) = (incoming.status, incoming.body);
        if scalar_at(&body, "/access_token").is_some() {
            status = 200;
        } else if let Some(code) =
            scalar_at(&body, &self.spec.error_pointer).and_then(|text| self.desk.plain_code(&text))
        {
            (status, body) = (400, serde_json::json!({ "error": code }).to_string().into_bytes());
        } else if let (429 | 503, Err(wait_ms)) = (status, self.desk.limiter().take_nothing(self.desk.now_ms())) {
            return Err(Failure::RateLimited(wait_ms));
        } else {
            return Err(Failure::NoAnswer { reason: format!("HTTP {status} without a token"), timed_out: false });
        }
        let response =
            oauth2::http::Response::builder().status(status).header(CONTENT_TYPE, "application/json").body(body);
        response.map_err(|error| Failure::NotSent(error.to_string()))
    }

    fn denial(&self, error: RequestTokenError<Failure, BasicErrorResponse>) -> Denial {
        match error {
            RequestTokenError::ServerResponse(answer) => {
                let code = answer.error().as_ref().to_owned();
                match self.spec.token_errors.get(&code) {
                    Some(TokenError::Throttled) => Denial::Throttled,
                    Some(&kind) => Denial::Final(kind, code),
                    None => Denial::Passing(format!("the token endpoint answers `{code}`")),
                }
            }
            RequestTokenError::Request(Failure::RateLimited(wait_ms)) => Denial::OverBudget(wait_ms),
            RequestTokenError::Request(failure) => Denial::Passing(failure.to_string()),
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                Denial::Passing("the token endpoint's answer is not understood".to_owned())
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The crate `oauth2` reaches the token endpoint by our own door.
impl<'c> AsyncHttpClient<'c> for Tokens {
    type Error = Failure;
    type Future = BoxFuture<'c, Result<HttpResponse, Failure>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.fetch(request))
    }
}

fn redirect_url(text: &str) -> Result<RedirectUrl, Error> {
    RedirectUrl::new(text.to_owned())
        .map_err(|error| Error::Settings(format!("the redirect address `{text}`: {error}")))
}
