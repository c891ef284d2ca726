//! What every kind of login needs: the stored secrets, the host's own requests, and the guard that keeps secrets out of answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};

use crate::egress::limiter::Limiter;
use crate::egress::transport::{Failure, Incoming, Outgoing, Transport};
use crate::egress::{CallKind, Error, GateConfig, Grant, Lane, Refusal, Secrets, Spend, Vault};
use crmsync_body::Redactor;

/// Longest time for one request of a login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// For so long other hosts leave a refresh or login to the one that claimed it; more than the requests of one login can take.
const CLAIM_MS: u64 = 65_000;
/// How often a host that waits for another one's refresh looks again.
const CLAIM_POLL: Duration = Duration::from_millis(150);
/// The facts that hold a claim: until when, and which process is at it.
const CLAIM_FACT: &str = "login_claimed_until_ms";
const CLAIM_HOLDER_FACT: &str = "login_claimed_by";
/// The facts of a claim: they belong to whoever is at it, not to the login.
pub(in crate::egress) const CLAIM_FACTS: [&str; 2] = [CLAIM_FACT, CLAIM_HOLDER_FACT];
/// Characters of a CRM's error code; what is longer, or has other letters, is no code and is not repeated to anybody.
const CODE_CHARS_MAX: usize = 64;
/// How often a compare-and-set is tried before somebody else's changes count as a fault of the store.
const REPLACE_ATTEMPTS_MAX: u32 = 8;

/// One connection's place in the vault and on the network.
pub(in crate::egress) struct Desk {
    pub(in crate::egress) tenant: String,
    pub(in crate::egress) connection: String,
    pub(in crate::egress) settings: BTreeMap<String, String>,
    pub(in crate::egress) vault: Arc<dyn Vault>,
    pub(in crate::egress) transport: Transport,
    config: GateConfig,
    /// The CRM counts our logins with everything else.
    limiter: Mutex<Limiter>,
    calls: AtomicU64,
    facts: RwLock<BTreeMap<String, String>>,
    known: Mutex<BTreeMap<String, SecretString>>,
    redactor: RwLock<Arc<Redactor>>,
}

/// The right to refresh or log in, stored in the vault so that other hosts see it.
pub(super) struct Claim {
    version: u64,
}

impl Desk {
    pub(in crate::egress) fn new(
        grant: &Grant,
        vault: Arc<dyn Vault>,
        transport: Transport,
        config: GateConfig,
    ) -> Desk {
        Desk {
            tenant: grant.tenant.clone(),
            connection: grant.connection.clone(),
            settings: grant.settings.clone(),
            vault,
            transport,
            config,
            limiter: Mutex::new(Limiter::of_connection(grant.limits)),
            calls: AtomicU64::new(0),
            facts: RwLock::default(),
            known: Mutex::default(),
            redactor: RwLock::default(),
        }
    }

    pub(in crate::egress) fn now_ms(&self) -> u64 {
        (self.config.clock)()
    }

    /// Requests that logins made so far.
    pub(in crate::egress) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What overwrites the secrets known now.
    pub(in crate::egress) fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The facts loaded or stored last.
    pub(in crate::egress) fn facts(&self) -> BTreeMap<String, String> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The setting of this name, if it has a value.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The stored secrets and their version.
    pub(in crate::egress) async fn load(&self) -> Result<(u64, Secrets), Error> {
        let loaded = self.vault.load(&self.tenant, &self.connection).await.map_err(Error::Vault)?;
        let (version, secrets) =
            loaded.ok_or_else(|| Error::Settings("nothing is stored for this connection".to_owned()))?;
        self.note(&secrets)?;
        Ok((version, secrets))
    }

    /// Changes the stored secrets, again and again until nobody else did so in between. `change` answers false to leave them.
    pub(super) async fn change(&self, mut change: impl FnMut(&mut Secrets) -> bool) -> Result<(), Error> {
        for _ in 0..REPLACE_ATTEMPTS_MAX {
            let (version, mut secrets) = self.load().await?;
            if !change(&mut secrets) || self.replace(version, secrets).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Vault("somebody else keeps changing them".to_owned()))
    }

    /// Takes the claim for a refresh or login if nobody holds it; none if somebody does, after a short wait.
    pub(super) async fn claim(&self, version: u64, secrets: &Secrets) -> Result<Option<Claim>, Error> {
        let held_until_ms = fact_ms(secrets, CLAIM_FACT);
        // A claim from the far future is a broken clock's, not a host at work.
        let holder = secrets.facts.get(CLAIM_HOLDER_FACT);
        let gone = holder.is_some_and(|holder| (self.config.is_gone)(holder));
        if held_until_ms > self.now_ms() && held_until_ms <= self.now_ms() + 2 * CLAIM_MS && !gone {
            tokio::time::sleep(CLAIM_POLL).await;
            return Ok(None);
        }
        let mut claimed = secrets.clone();
        claimed.facts.insert(CLAIM_FACT.to_owned(), (self.now_ms() + CLAIM_MS).to_string());
        claimed.facts.insert(CLAIM_HOLDER_FACT.to_owned(), self.config.holder.clone());
        Ok(self.replace(version, claimed).await?.map(|version| Claim { version }))
    }

    /// Stores what a refresh or login gave and ends the claim. If somebody changed the secrets meanwhile, `still_valid` says whether
    /// the result still belongs to what is stored now; if not, only the claim ends.
    pub(super) async fn settle(
        &self,
        claim: Claim,
        still_valid: impl Fn(&Secrets) -> bool,
        apply: impl Fn(&mut Secrets),
    ) -> Result<(), Error> {
        let claimed_version = claim.version;
        for _ in 0..REPLACE_ATTEMPTS_MAX {
            let (version, mut secrets) = self.load().await?;
            if version == claimed_version || still_valid(&secrets) {
                apply(&mut secrets);
            }
            secrets.facts.remove(CLAIM_FACT);
            secrets.facts.remove(CLAIM_HOLDER_FACT);
            if self.replace(version, secrets).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Vault("somebody else keeps changing them".to_owned()))
    }

    /// One request of a login: the same address checks and caps as for a guest's.
    pub(super) async fn call(
        &self,
        method: Method,
        url: Url,
        form: Option<&[(String, String)]>,
    ) -> Result<Incoming, Failure> {
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let body = form.map(|form| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes()
        });
        self.call_raw(Outgoing { method, url, headers, body }).await
    }

    /// Like [`Desk::call`], for a request that somebody else has put together.
    pub(super) async fn call_raw(&self, outgoing: Outgoing) -> Result<Incoming, Failure> {
        let peer = self.transport.check(&outgoing.url).await?;
        self.turn().await?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let incoming = self.transport.exchange(&peer, outgoing, LOGIN_TIMEOUT).await?;
        self.obey(incoming.status, &incoming.headers);
        Ok(incoming)
    }

    /// Waits for the connection's budget, but not for long (S10).
    async fn turn(&self) -> Result<(), Failure> {
        let mut waited_ms = 0;
        loop {
            let taken = self.limiter().take(self.now_ms());
            let taken = match taken {
                Ok(()) => self.config.budget.take(self.login()).await,
                Err(wait_ms) => Err(wait_ms),
            };
            let Err(wait_ms) = taken else { return Ok(()) };
            if waited_ms + wait_ms > self.config.wait_ms_max {
                return Err(Failure::RateLimited(wait_ms));
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            waited_ms += wait_ms;
        }
    }

    fn login(&self) -> Spend<'_> {
        let (tenant, connection) = (self.tenant.as_str(), self.connection.as_str());
        Spend { tenant, connection, lane: Lane::default(), kind: CallKind::Login, rows: 0 }
    }

    /// The connection's budget.
    pub(in crate::egress) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops everything for as long as an answer says so.
    pub(in crate::egress) fn obey(&self, status: u16, headers: &HeaderMap) {
        if let (429 | 503, Some(wait_ms)) = (status, self.retry_after_ms(headers)) {
            self.limiter().block_until(self.now_ms() + wait_ms);
        }
    }

    /// `Retry-After`: seconds or a date.
    fn retry_after_ms(&self, headers: &HeaderMap) -> Option<u64> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait_ms = match text.parse::<u64>() {
            Ok(seconds) => seconds.saturating_mul(1_000),
            Err(_) => {
                let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
                u64::try_from(at.as_millis()).ok()?.saturating_sub(self.now_ms())
            }
        };
        Some(wait_ms.min(self.config.retry_after_ms_max))
    }

    /// An error code of the CRM as it may be shown and logged: short, plain, and no secret. None if it is not such a code.
    pub(super) fn plain_code(&self, text: &str) -> Option<String> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ' ' | '.' | '-');
        let is_code = (1..=CODE_CHARS_MAX).contains(&text.len()) && text.chars().all(plain);
        is_code.then(|| self.redactor().masked(text))
    }

    /// Keeps a secret out of all answers from now on. The one that it replaces may live a little longer, so it stays, too.
    pub(super) fn keep_out(&self, name: &str, secret: &SecretString) -> Result<(), Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if remember(&mut known, name, secret) { self.rebuild(&known) } else { Ok(()) }
    }

    async fn replace(&self, version: u64, secrets: Secrets) -> Result<Option<u64>, Error> {
        // Known before they are stored: there must be no moment at which a live secret could pass.
        self.note(&secrets)?;
        let replaced =
            self.vault.replace(&self.tenant, &self.connection, version, secrets).await.map_err(Error::Vault)?;
        Ok(replaced.ok())
    }

    fn note(&self, secrets: &Secrets) -> Result<(), Error> {
        self.facts.write().unwrap_or_else(PoisonError::into_inner).clone_from(&secrets.facts);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let changed =
            secrets.values.iter().fold(false, |changed, (name, secret)| remember(&mut known, name, secret) || changed);
        if changed { self.rebuild(&known) } else { Ok(()) }
    }

    fn rebuild(&self, known: &BTreeMap<String, SecretString>) -> Result<(), Error> {
        let redactor = Redactor::new(known.values().map(ExposeSecret::expose_secret))?;
        *self.redactor.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(redactor);
        Ok(())
    }
}

/// The moment that a fact names, in milliseconds since 1970; 0 if there is none.
pub(super) fn fact_ms(secrets: &Secrets, name: &str) -> u64 {
    secrets.facts.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What an error of a login means for the guest's request, which has not been sent.
pub(super) fn refusal(error: Error) -> Refusal {
    match error {
        Error::Unreachable(refusal) => refusal,
        Error::Vault(_) => Refusal::NotSent(error.to_string()),
        _ => Refusal::LoggedOut,
    }
}

/// Whether anything changed.
fn remember(known: &mut BTreeMap<String, SecretString>, name: &str, secret: &SecretString) -> bool {
    if known.get(name).is_some_and(|known| known.expose_secret() == secret.expose_secret()) {
        return false;
    }
    if let Some(previous) = known.insert(name.to_owned(), secret.clone()) {
        known.insert(format!("{name} before"), previous);
    }
    true
}
