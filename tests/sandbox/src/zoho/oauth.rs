//! Logging in: the consent page, codes, tokens, and Zoho's habit of saying no with HTTP 200.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::consent;
use super::refusal::JSON;
use crate::http::{Answer, Request};
use crate::rng::Rng;

/// A code may be exchanged for so long.
const CODE_LIFE_MS: i64 = 3 * 60_000;
/// Codes per client, and access tokens per refresh token, in any window of ten minutes.
const PER_WINDOW_MAX: usize = 10;
const WINDOW_MS: i64 = 10 * 60_000;
/// Access tokens of one refresh token that live at one time; one more ends the oldest.
const LIVE_ACCESS_MAX: usize = 15;
/// Refresh tokens of the user for the client; one more ends the oldest and its access tokens.
const REFRESH_MAX: usize = 20;

/// The registered application and everything granted to it.
#[derive(Debug)]
pub(super) struct OAuth {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    redirect_uri: Option<String>,
    /// This server's own address: accounts server and API are one here.
    url: String,
    token_life_s: i64,
    rng: Rng,
    codes: BTreeMap<String, Code>,
    code_times: VecDeque<i64>,
    /// Oldest first.
    refresh: Vec<Refresh>,
    access: Vec<Access>,
}

#[derive(Debug, Clone)]
struct Code {
    scopes: Vec<String>,
    redirect_uri: String,
    gives_refresh: bool,
    issued_ms: i64,
}

#[derive(Debug)]
struct Refresh {
    token: String,
    scopes: Vec<String>,
    window_start_ms: i64,
    issued_in_window: usize,
}

#[derive(Debug)]
struct Access {
    token: String,
    refresh: Option<String>,
    scopes: Vec<String>,
    expires_ms: i64,
}

impl OAuth {
    pub(super) fn new(
        seed: u64,
        url: &str,
        token_life_s: i64,
        registered: (Option<String>, Option<String>, Option<String>),
    ) -> OAuth {
        let mut rng = Rng::fork(seed, "oauth");
        let (client_id, client_secret, redirect_uri) = registered;
        OAuth {
            client_id: client_id.unwrap_or_else(|| format!("1000.{}", rng.hex(30).to_uppercase())),
            client_secret: client_secret.unwrap_or_else(|| rng.hex(42)),
            redirect_uri,
            url: url.to_owned(),
            token_life_s,
            rng,
            codes: BTreeMap::new(),
            code_times: VecDeque::new(),
            refresh: Vec::new(),
            access: Vec::new(),
        }
    }

    /// Answers every path under `/oauth`.
    pub(super) fn handle(&mut self, request: &Request, now_ms: i64) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/oauth/v2/auth") => self.ask(&Params::of(request), now_ms),
            ("POST", "/oauth/v2/auth") => self.decide(&Params::of(request), now_ms),
            ("GET", "/oauth/self-client") => self.self_client(&Params::of(request), now_ms),
            ("POST", "/oauth/v2/token") => self.token(&Params::of(request), now_ms),
            ("POST", "/oauth/v2/token/revoke") => self.revoke(&Params::of(request)),
            _ => Answer::text(404, "text/html;charset=UTF-8", consent::problem("This page does not exist.")),
        }
    }

    /// The scopes of a live access token.
    pub(super) fn scopes(&self, token: &str, now_ms: i64) -> Option<&[String]> {
        let access = self.access.iter().find(|access| access.token == token)?;
        (access.expires_ms > now_ms).then_some(access.scopes.as_slice())
    }

    /// Ends all access tokens; refresh tokens stay good.
    pub(super) fn expire_access(&mut self) {
        self.access.clear();
    }

    fn ask(&mut self, params: &Params, now_ms: i64) -> Answer {
        if let Some(problem) = self.problem(params) {
            return Answer::text(400, "text/html;charset=UTF-8", consent::problem(&problem));
        }
        let scopes = scopes_of(params.get("scope"));
        let known = self.refresh.iter().any(|refresh| scopes.iter().all(|scope| refresh.scopes.contains(scope)));
        if known && params.get("prompt") != "consent" {
            return self.send_back(params, false, now_ms);
        }
        Answer::text(200, "text/html;charset=UTF-8", consent::page(&scopes, &params.pairs))
    }

    fn decide(&mut self, params: &Params, now_ms: i64) -> Answer {
        if let Some(problem) = self.problem(params) {
            return Answer::text(400, "text/html;charset=UTF-8", consent::problem(&problem));
        }
        if params.get("decision") != "accept" {
            return redirect(params, &[("error", "access_denied")]);
        }
        self.send_back(params, true, now_ms)
    }

    /// The API console's page for a Self Client: a code without a consent page and without a redirect address.
    fn self_client(&mut self, params: &Params, now_ms: i64) -> Answer {
        let scopes = scopes_of(params.get("scope"));
        if scopes.is_empty() || scopes.iter().any(|scope| !is_scope(scope)) {
            return Answer::json(400, JSON, &json!({"error": "invalid_scope"}));
        }
        let code = self.new_token();
        let granted = Code { scopes, redirect_uri: String::new(), gives_refresh: true, issued_ms: now_ms };
        self.codes.insert(code.clone(), granted);
        Answer::json(200, JSON, &json!({"code": code}))
    }

    /// Back to the application with a code, or without one if it has asked for too many.
    fn send_back(&mut self, params: &Params, asked: bool, now_ms: i64) -> Answer {
        while self.code_times.front().is_some_and(|issued_ms| issued_ms + WINDOW_MS <= now_ms) {
            self.code_times.pop_front();
        }
        if self.code_times.len() >= PER_WINDOW_MAX {
            return redirect(params, &[("error", "access_denied")]);
        }
        self.code_times.push_back(now_ms);
        let code = self.new_token();
        self.codes.insert(
            code.clone(),
            Code {
                scopes: scopes_of(params.get("scope")),
                redirect_uri: params.get("redirect_uri").to_owned(),
                // A repeated authorization without a new consent gives no refresh token.
                gives_refresh: asked && params.get("access_type") == "offline",
                issued_ms: now_ms,
            },
        );
        let server = self.url.clone();
        redirect(params, &[("code", &code), ("location", "us"), ("accounts-server", &server)])
    }

    /// Why an authorization request cannot even be asked about, in words for the person in front of it.
    fn problem(&self, params: &Params) -> Option<String> {
        if params.get("client_id") != self.client_id {
            return Some("Invalid Client Id: the application is not registered here.".to_owned());
        }
        if !self.is_registered(params.get("redirect_uri")) {
            return Some("Invalid Redirect Uri: it is not the one that was registered.".to_owned());
        }
        if params.get("response_type") != "code" {
            return Some("Invalid Response Type: only code is supported.".to_owned());
        }
        let scopes = scopes_of(params.get("scope"));
        if scopes.is_empty() || scopes.iter().any(|scope| !is_scope(scope)) {
            return Some("Invalid OAuth Scope: a scope does not exist.".to_owned());
        }
        None
    }

    fn is_registered(&self, redirect_uri: &str) -> bool {
        match &self.redirect_uri {
            Some(registered) => registered == redirect_uri,
            None => redirect_uri
                .strip_prefix("http://127.0.0.1:")
                .and_then(|rest| rest.strip_suffix("/callback"))
                .is_some_and(|port| port.parse::<u16>().is_ok()),
        }
    }

    fn token(&mut self, params: &Params, now_ms: i64) -> Answer {
        if params.get("client_id") != self.client_id {
            return token_error("invalid_client");
        }
        if params.get("client_secret") != self.client_secret {
            return token_error("invalid_client_secret");
        }
        match params.get("grant_type") {
            "authorization_code" => self.exchange(params, now_ms),
            "refresh_token" => self.renew(params, now_ms),
            _ => token_error("general_error"),
        }
    }

    fn exchange(&mut self, params: &Params, now_ms: i64) -> Answer {
        let Some(code) = self.codes.get(params.get("code")).cloned() else { return token_error("invalid_code") };
        if code.redirect_uri != params.get("redirect_uri") {
            return token_error("invalid_redirect_uri");
        }
        self.codes.remove(params.get("code"));
        if code.issued_ms + CODE_LIFE_MS <= now_ms {
            return token_error("invalid_code");
        }
        let refresh = code.gives_refresh.then(|| self.new_refresh(&code.scopes, now_ms));
        let access = self.new_access(refresh.clone(), &code.scopes, now_ms);
        let mut body = json!({"access_token": access});
        if let Some(refresh) = refresh {
            body["refresh_token"] = Value::String(refresh);
        }
        self.granted(body, &code.scopes)
    }

    fn renew(&mut self, params: &Params, now_ms: i64) -> Answer {
        let Some(refresh) = self.refresh.iter_mut().find(|refresh| refresh.token == params.get("refresh_token")) else {
            return token_error("invalid_code");
        };
        if refresh.window_start_ms + WINDOW_MS <= now_ms {
            (refresh.window_start_ms, refresh.issued_in_window) = (now_ms, 0);
        }
        if refresh.issued_in_window >= PER_WINDOW_MAX {
            return Answer::json(
                400,
                JSON,
                &json!({
                    "error_description": "You have made too many requests continuously. Please try again after some time.",
                    "error": "Access Denied",
                    "status": "failure",
                }),
            );
        }
        refresh.issued_in_window += 1;
        let (token, scopes) = (refresh.token.clone(), refresh.scopes.clone());
        let access = self.new_access(Some(token), &scopes, now_ms);
        self.granted(json!({"access_token": access}), &scopes)
    }

    fn revoke(&mut self, params: &Params) -> Answer {
        let token = params.get("token");
        if !self.refresh.iter().any(|refresh| refresh.token == token) {
            return token_error("invalid_code");
        }
        self.end_refresh(token);
        Answer::json(200, JSON, &json!({"status": "success"}))
    }

    fn granted(&self, mut body: Value, scopes: &[String]) -> Answer {
        body["scope"] = Value::String(scopes.join(" "));
        body["api_domain"] = Value::String(self.url.clone());
        body["token_type"] = Value::String("Bearer".to_owned());
        body["expires_in"] = json!(self.token_life_s);
        Answer::json(200, JSON, &body)
    }

    fn new_refresh(&mut self, scopes: &[String], now_ms: i64) -> String {
        let token = self.new_token();
        self.refresh.push(Refresh {
            token: token.clone(),
            scopes: scopes.to_vec(),
            window_start_ms: now_ms,
            issued_in_window: 0,
        });
        if self.refresh.len() > REFRESH_MAX {
            let oldest = self.refresh[0].token.clone();
            self.end_refresh(&oldest);
        }
        token
    }

    fn new_access(&mut self, refresh: Option<String>, scopes: &[String], now_ms: i64) -> String {
        self.access.retain(|access| access.expires_ms > now_ms);
        let live: Vec<usize> = (0..self.access.len()).filter(|index| self.access[*index].refresh == refresh).collect();
        if refresh.is_some() && live.len() >= LIVE_ACCESS_MAX {
            self.access.remove(live[0]);
        }
        let token = self.new_token();
        let expires_ms = now_ms + self.token_life_s * 1_000;
        self.access.push(Access { token: token.clone(), refresh, scopes: scopes.to_vec(), expires_ms });
        token
    }

    fn end_refresh(&mut self, token: &str) {
        self.refresh.retain(|refresh| refresh.token != token);
        self.access.retain(|access| access.refresh.as_deref() != Some(token));
    }

    fn new_token(&mut self) -> String {
        format!("1000.{}.{}", self.rng.hex(32), self.rng.hex(32))
    }
}

/// Parameters from the query and from a form, which Zoho takes alike.
struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    fn of(request: &Request) -> Params {
        let mut pairs = request.query_pairs();
        if request.method == "POST" {
            pairs.extend(request.form_pairs());
        }
        Params { pairs }
    }

    fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }
}

fn scopes_of(text: &str) -> Vec<String> {
    text.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// `ZohoCRM.group[.sub].OPERATION` or the like of the search, or one of the few scopes of the accounts server.
fn is_scope(scope: &str) -> bool {
    let parts: Vec<&str> = scope.split('.').collect();
    let operation =
        ["ALL", "READ", "CREATE", "UPDATE", "WRITE", "DELETE"].iter().any(|word| parts.last() == Some(word));
    match parts.first() {
        Some(&("ZohoCRM" | "ZohoSearch")) => (3..=4).contains(&parts.len()) && operation,
        Some(&("AaaServer" | "aaaserver")) => parts.len() >= 3,
        _ => false,
    }
}

fn token_error(error: &str) -> Answer {
    Answer::json(200, JSON, &json!({"error": error}))
}

fn redirect(params: &Params, answer: &[(&str, &str)]) -> Answer {
    let Ok(mut target) = url::Url::parse(params.get("redirect_uri")) else {
        return Answer::text(400, "text/html;charset=UTF-8", consent::problem("Invalid Redirect Uri."));
    };
    target.query_pairs_mut().extend_pairs(answer);
    let state = params.get("state");
    if !state.is_empty() {
        target.query_pairs_mut().append_pair("state", state);
    }
    Answer::empty(302).with_header("location", target.as_str())
}
