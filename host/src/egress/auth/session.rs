//! Sessions: a challenge, a digest over it, a login, and a session name that goes with each request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::desk::{Claim, refusal};
use super::{Desk, ExpiredSpec, Pass, finish};
use crate::egress::origin::join;
use crate::egress::path::Path;
use crate::egress::{Error, Refusal, Secrets};
use crmsync_body::scalar_at;

/// More sessions than this are not opened side by side, whatever a manifest asks.
const SESSIONS_MAX: u32 = 16;

/// Challenge login as closed data. In templates `{name}` is a captured value, a secret, a setting or `digest`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// Origin that is logged in to.
    pub origin: String,
    /// Names of the secrets that templates may use; only the digest and the login may.
    pub secrets: Vec<String>,
    /// The request that gives the challenge.
    pub challenge: ChallengeSpec,
    /// What proves that we know the secret.
    pub digest: DigestSpec,
    /// The request that opens the session.
    pub login: LoginSpec,
    /// RFC 6901 pointer to the boolean that says whether challenge and login succeeded.
    pub success_pointer: String,
    /// RFC 6901 pointer to the error code of a refused challenge or login.
    pub error_pointer: String,
    /// Codes by which the CRM says that the credentials are wrong.
    pub refused: Vec<String>,
    /// Codes after which challenge and login are repeated once: another worker may have taken a newer challenge.
    #[serde(default)]
    pub challenge_again: Vec<String>,
    /// RFC 6901 pointer to the session's name in the login's answer.
    pub session_pointer: String,
    /// Names of the non-secret facts for the plugin, each with a pointer into the login's answer.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// Where the session's name goes.
    pub place: PlaceSpec,
    /// How the CRM says that a session has ended.
    pub expired: ExpiredSpec,
    /// Sessions open side by side; each carries one request at a time.
    pub sessions_max: u32,
    /// A session unused for so many milliseconds is not used again.
    pub idle_ms: u64,
}

/// The request that gives the challenge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeSpec {
    /// `GET` or `POST`.
    pub method: String,
    /// Path below the origin.
    pub path: String,
    /// Query parameters, as templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Form parameters, as templates.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
    /// Names for values of the answer, each with an RFC 6901 pointer.
    pub capture: BTreeMap<String, String>,
}

/// What proves that we know the secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSpec {
    /// How the parts are hashed; the digest is lower-case hex.
    pub algorithm: Algorithm,
    /// Templates, joined without a separator. For an HMAC the first part is the key.
    pub parts: Vec<String>,
}

/// Digest algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// MD5, because a CRM demands it.
    Md5,
    /// SHA-256.
    Sha256,
    /// HMAC with SHA-256.
    HmacSha256,
}

/// The request that opens the session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginSpec {
    /// `GET` or `POST`.
    pub method: String,
    /// Path below the origin.
    pub path: String,
    /// Query parameters, as templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Form parameters, as templates.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
}

/// Where the session's name goes; both names are refused in requests of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceSpec {
    /// Name of the query parameter, for requests without a form.
    pub query: String,
    /// Name of the form parameter, for requests with one.
    pub form: String,
}

/// The sessions of one door.
pub(in crate::egress) struct Sessions {
    pub(super) spec: SessionSpec,
    desk: Arc<Desk>,
    base: Url,
    /// One permit for each session that may be open.
    slots: Arc<Semaphore>,
    flight: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Open sessions that carry no request, the one used last at the end.
    idle: Vec<Session>,
    /// Sessions opened so far, so that each has a name of its own among the secrets to keep out.
    opened: u32,
    /// The secrets that the CRM did not accept: they are not tried again until they change.
    refused: Option<Vec<SecretString>>,
}

#[derive(Clone)]
struct Session {
    name: SecretString,
    used_at_ms: u64,
}

/// A session that carries a request. Dropped, it is free for the next one.
pub(in crate::egress) struct Held {
    session: Option<Session>,
    owner: Arc<Sessions>,
    _slot: OwnedSemaphorePermit,
}

impl Held {
    /// The session's name.
    pub(in crate::egress) fn name(&self) -> &str {
        self.session.as_ref().map_or("", |session| session.name.expose_secret())
    }

    /// The parameter that carries the name, in a form or in the query.
    pub(in crate::egress) fn parameter(&self, in_form: bool) -> &str {
        let PlaceSpec { query, form } = &self.owner.spec.place;
        if in_form { form } else { query }
    }

    /// The CRM does not know this session any more. Those that wait idle are as old: after a night, or a restart of the CRM, all of
    /// them are dead, and a request tries only once more. A login too many costs two calls, a wrong "log in again" costs a person.
    pub(super) fn expire(mut self) {
        self.session = None;
        self.owner.state().idle.clear();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut session) = self.session.take() {
            session.used_at_ms = self.owner.desk.now_ms();
            self.owner.state().idle.push(session);
        }
    }
}

/// What the CRM said to a challenge or a login.
enum Said {
    Yes(Vec<u8>),
    No(String),
}

impl Sessions {
    pub(super) fn new(spec: SessionSpec, desk: Arc<Desk>, base: Url) -> Result<Sessions, Error> {
        spec.check(&desk.settings)?;
        let slots = Arc::new(Semaphore::new(spec.sessions_max.clamp(1, SESSIONS_MAX) as usize));
        Ok(Sessions { spec, desk, base, slots, flight: tokio::sync::Mutex::default(), state: Mutex::default() })
    }

    pub(super) async fn pass(self: Arc<Self>, deadline: Instant) -> Result<Pass, Refusal> {
        let slot = tokio::time::timeout_at(deadline.into(), Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(Refusal::Cancelled) };
        let session = match self.idle_session() {
            Some(session) => session,
            None => finish(Arc::clone(&self).open(), deadline).await?,
        };
        Ok(Pass::Session(Held { session: Some(session), owner: self, _slot: slot }))
    }

    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let known = self.desk.facts();
        self.spec.facts.keys().filter_map(|name| Some((name.clone(), known.get(name)?.clone()))).collect()
    }

    fn idle_session(&self) -> Option<Session> {
        let fresh_after_ms = self.desk.now_ms().saturating_sub(self.spec.idle_ms);
        let mut state = self.state();
        state.idle.retain(|session| session.used_at_ms > fresh_after_ms);
        state.idle.pop()
    }

    /// Logs in, one at a time among all hosts: a challenge replaces the one before it.
    async fn open(self: Arc<Self>) -> Result<Session, Refusal> {
        let _flight = self.flight.lock().await;
        let (claim, secrets) = loop {
            let (version, secrets) = self.desk.load().await.map_err(refusal)?;
            self.refuse_known_bad(&secrets)?;
            if let Some(claim) = self.desk.claim(version, &secrets).await.map_err(refusal)? {
                break (claim, secrets);
            }
        };
        let outcome = self.log_in(&secrets).await;
        self.settle(claim, &secrets, outcome).await
    }

    async fn settle(
        &self,
        claim: Claim,
        secrets: &Secrets,
        outcome: Result<(SecretString, BTreeMap<String, String>), Refusal>,
    ) -> Result<Session, Refusal> {
        let facts = outcome.as_ref().map(|(_, facts)| facts.clone()).unwrap_or_default();
        self.desk.settle(claim, |_| true, |stored| stored.facts.extend(facts.clone())).await.map_err(refusal)?;
        match outcome {
            Ok((name, _)) => {
                let mut state = self.state();
                state.opened += 1;
                // Names repeat after some sessions, so that the list of secrets does not grow for ever.
                let slot = format!("session {}", state.opened % (2 * SESSIONS_MAX));
                self.desk.keep_out(&slot, &name).map_err(refusal)?;
                Ok(Session { name, used_at_ms: self.desk.now_ms() })
            }
            Err(reason) => {
                if reason == Refusal::LoggedOut {
                    self.state().refused = Some(self.used_secrets(secrets));
                }
                Err(reason)
            }
        }
    }

    /// Challenge and login, and both once more if somebody else took a newer challenge.
    async fn log_in(&self, secrets: &Secrets) -> Result<(SecretString, BTreeMap<String, String>), Refusal> {
        let mut again = true;
        loop {
            let code = match self.pair(secrets).await? {
                Said::Yes(body) => return self.read_login(&body),
                Said::No(code) => code,
            };
            if again && self.spec.challenge_again.contains(&code) {
                again = false;
            } else if self.spec.refused.contains(&code) {
                tracing::warn!(connection = self.desk.connection, code, "the CRM refused the login");
                return Err(Refusal::LoggedOut);
            } else {
                return Err(Refusal::NotSent(format!("the CRM answers the login with `{code}`")));
            }
        }
    }

    async fn pair(&self, secrets: &Secrets) -> Result<Said, Refusal> {
        let SessionSpec { challenge, digest, login, .. } = &self.spec;
        let mut words = Words { settings: &self.desk.settings, secrets, captured: BTreeMap::new() };
        let (query, form) = (words.fill_all(&challenge.query)?, words.fill_all(&challenge.form)?);
        let body = match self.request(&challenge.method, &challenge.path, query, form).await? {
            Said::Yes(body) => body,
            Said::No(code) => return Ok(Said::No(code)),
        };
        for (name, pointer) in &challenge.capture {
            let value = scalar_at(&body, pointer)
                .ok_or_else(|| Refusal::NotSent(format!("the CRM's challenge has nothing at `{pointer}`")))?;
            words.captured.insert(name.clone(), value);
        }
        let parts: Vec<String> = digest.parts.iter().map(|part| words.fill(part)).collect::<Result<_, _>>()?;
        let digest = SecretString::from(digest.algorithm.hex(&parts));
        self.desk.keep_out("digest", &digest).map_err(refusal)?;
        words.captured.insert("digest".to_owned(), digest.expose_secret().to_owned());
        let (query, form) = (words.fill_all(&login.query)?, words.fill_all(&login.form)?);
        self.request(&login.method, &login.path, query, form).await
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        query: Vec<(String, String)>,
        form: Vec<(String, String)>,
    ) -> Result<Said, Refusal> {
        let path = Path::parse(path).map_err(|reason| Refusal::Denied(format!("the login's path {reason}")))?;
        let mut url = join(&self.base, &path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let (method, form) = if method == "POST" { (Method::POST, Some(form.as_slice())) } else { (Method::GET, None) };
        // Nothing of the guest's request has been sent, whatever became of the login.
        let incoming = self.desk.call(method, url, form).await.map_err(|failure| match Refusal::from(failure) {
            Refusal::NoAnswer(reason) => Refusal::NotSent(format!("the login was not answered: {reason}")),
            other => other,
        })?;
        let SessionSpec { success_pointer, error_pointer, .. } = &self.spec;
        if scalar_at(&incoming.body, success_pointer).as_deref() == Some("true") {
            return Ok(Said::Yes(incoming.body));
        }
        let code = scalar_at(&incoming.body, error_pointer).and_then(|text| self.desk.plain_code(&text));
        match (code, incoming.status, self.desk.limiter().take_nothing(self.desk.now_ms())) {
            // The CRM has told how long it wants to be left alone.
            (None, 429 | 503, Err(wait_ms)) => Err(Refusal::RateLimited(wait_ms)),
            (code, status, _) => Ok(Said::No(code.unwrap_or_else(|| format!("HTTP {status}")))),
        }
    }

    fn read_login(&self, body: &[u8]) -> Result<(SecretString, BTreeMap<String, String>), Refusal> {
        let name = scalar_at(body, &self.spec.session_pointer).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Refusal::NotSent("the CRM's login gives no session".to_owned()))?;
        let facts =
            self.spec.facts.iter().filter_map(|(fact, pointer)| Some((fact.clone(), scalar_at(body, pointer)?)));
        // Rule 6: facts go to the guest, so a manifest cannot call the session one.
        let facts = facts.filter(|(_, value)| !value.contains(&name)).collect();
        Ok((name.into(), facts))
    }

    fn refuse_known_bad(&self, secrets: &Secrets) -> Result<(), Refusal> {
        let used = self.used_secrets(secrets);
        let expose = |secrets: &[SecretString]| {
            secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
        };
        match &self.state().refused {
            Some(refused) if expose(refused) == expose(&used) => Err(Refusal::LoggedOut),
            _ => Ok(()),
        }
    }

    fn used_secrets(&self, secrets: &Secrets) -> Vec<SecretString> {
        self.spec.secrets.iter().filter_map(|name| secrets.values.get(name).cloned()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionSpec {
    /// Checks that each template names something that will be there, and that secrets go only where consent says so.
    fn check(&self, settings: &BTreeMap<String, String>) -> Result<(), Error> {
        let broken = |what: String| Err(Error::BadGrant(format!("the login: {what}")));
        for (method, path) in [(&self.challenge.method, &self.challenge.path), (&self.login.method, &self.login.path)] {
            if !["GET", "POST"].contains(&method.as_str()) {
                return broken(format!("`{method}` is neither `GET` nor `POST`"));
            }
            if let Err(reason) = Path::parse(path) {
                return broken(format!("the path `{path}` {reason}"));
            }
        }
        let captured = |name: &str| self.challenge.capture.contains_key(name);
        let secret = |name: &str| self.secrets.iter().any(|secret| secret == name);
        let challenge = [&self.challenge.query, &self.challenge.form].into_iter().flat_map(BTreeMap::values);
        let login = [&self.login.query, &self.login.form].into_iter().flat_map(BTreeMap::values);
        let uses = challenge.map(|text| (text, false)).chain(login.chain(&self.digest.parts).map(|text| (text, true)));
        for (text, late) in uses {
            for piece in pieces(text).map_err(|what| Error::BadGrant(format!("the login: {what}")))? {
                let Piece::Name(name) = piece else { continue };
                let known = settings.contains_key(name) || late && (captured(name) || secret(name) || name == "digest");
                if !known {
                    return broken(format!("nothing gives `{{{name}}}` a value; is a setting missing?"));
                }
            }
        }
        Ok(())
    }
}

/// What the names in templates stand for. Secrets come first, so that no setting can take the place of one.
struct Words<'a> {
    settings: &'a BTreeMap<String, String>,
    secrets: &'a Secrets,
    captured: BTreeMap<String, String>,
}

impl Words<'_> {
    fn fill(&self, template: &str) -> Result<String, Refusal> {
        let mut text = String::new();
        for piece in pieces(template).map_err(Refusal::Denied)? {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Name(name) => {
                    let secret = self.secrets.values.get(name).map(ExposeSecret::expose_secret);
                    let word = secret
                        .or_else(|| self.captured.get(name).or_else(|| self.settings.get(name)).map(String::as_str));
                    // What is missing here is a secret: everything else was checked when the door was made.
                    text.push_str(word.ok_or(Refusal::LoggedOut)?);
                }
            }
        }
        Ok(text)
    }

    fn fill_all(&self, templates: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, Refusal> {
        templates.iter().map(|(name, template)| Ok((name.clone(), self.fill(template)?))).collect()
    }
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some(open) = rest.find('{') {
        let length = rest[open..].find('}').ok_or_else(|| format!("`{template}` has no closing brace"))?;
        pieces.push(Piece::Text(&rest[..open]));
        pieces.push(Piece::Name(&rest[open + 1..open + length]));
        rest = &rest[open + length + 1..];
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

impl Algorithm {
    /// The digest of the joined parts, in lower-case hex.
    pub(super) fn hex(self, parts: &[String]) -> String {
        let bytes = match self {
            Algorithm::Md5 => Md5::digest(parts.concat()).to_vec(),
            Algorithm::Sha256 => Sha256::digest(parts.concat()).to_vec(),
            Algorithm::HmacSha256 => {
                let (key, message) =
                    parts.split_first().map_or(("", String::new()), |(key, rest)| (key.as_str(), rest.concat()));
                match Hmac::<Sha256>::new_from_slice(key.as_bytes()) {
                    Ok(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
                    Err(_) => unreachable!("HMAC takes keys of any length"),
                }
            }
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
