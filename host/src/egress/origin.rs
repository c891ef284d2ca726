//! Named origins: the addresses that a plugin's manifest asks for, and what a request to one of them may look like.

use std::collections::BTreeMap;

use reqwest::header::HeaderName;
use serde::Deserialize;
use url::Url;

use super::path::{Path, has_prefix};
use super::{Error, Request};

/// One origin as the manifest states it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginSpec {
    /// Name by which the plugin's requests choose it, such as `api`.
    pub name: String,
    /// Where its address comes from.
    pub base: Base,
    /// Path prefixes below the base that may be requested; a prefix ends at a `/` or covers one whole path.
    pub paths: Vec<String>,
    /// Methods that may be used: `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub methods: Vec<String>,
    /// Path prefixes at which a method other than `GET` changes nothing (a query sent by `POST`). Everywhere else only `GET`
    /// may call itself a read, so that a plugin cannot write outside of `push` by calling it one.
    #[serde(default)]
    pub read_paths: Vec<String>,
    /// Request headers that the plugin may set, lower case, besides `accept`.
    #[serde(default)]
    pub request_headers: Vec<String>,
    /// Answer headers that the plugin may see, lower case, besides `content-type`, `date` and `retry-after`.
    #[serde(default)]
    pub answer_headers: Vec<String>,
}

/// Where the address of an origin comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Base {
    /// `auth:NAME`: the host of this name in the data-centre row that was chosen at login.
    Auth(String),
    /// `setting:NAME`: a setting of the connection that holds a base URL.
    Setting(String),
    /// A literal https URL.
    Literal(Url),
}

impl TryFrom<String> for Base {
    type Error = String;

    fn try_from(text: String) -> Result<Base, String> {
        if let Some(name) = text.strip_prefix("auth:") {
            return Ok(Base::Auth(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix("setting:") {
            return Ok(Base::Setting(name.to_owned()));
        }
        match base_url(&text)? {
            url if url.scheme() == "https" => Ok(Base::Literal(url)),
            _ => Err(format!("the base `{text}` is not an https address")),
        }
    }
}

/// Request headers that no manifest can ask for: they belong to the connection, to the credential or to the body's framing.
const HEADERS_NEVER: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// Answer headers that every plugin may see.
const ANSWER_HEADERS_ALWAYS: &[&str] = &["content-type", "date", "retry-after"];

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

impl OriginSpec {
    /// Checks what the manifest's types cannot express.
    ///
    /// # Errors
    /// Names the first entry that can never be granted.
    pub fn check(&self) -> Result<(), Error> {
        let broken = |what: String| Err(Error::BadGrant(format!("origin `{}`: {what}", self.name)));
        if let Some(method) = self.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            return broken(format!("`{method}` is not a method that can be granted"));
        }
        for prefix in self.paths.iter().chain(&self.read_paths) {
            if let Err(reason) = Path::parse(prefix) {
                return broken(format!("the path `{prefix}` {reason}"));
            }
        }
        for name in self.request_headers.iter().chain(&self.answer_headers) {
            if HeaderName::from_lowercase(name.as_bytes()).is_err() {
                return broken(format!("`{name}` is not a header's name in lower case"));
            }
        }
        match self.request_headers.iter().find(|name| is_reserved(name)) {
            Some(name) => broken(format!("the header `{name}` belongs to the host")),
            None => Ok(()),
        }
    }

    /// Whether the plugin may request this path at all.
    pub(super) fn allows_path(&self, path: &Path) -> bool {
        self.paths.iter().any(|prefix| has_prefix(path.decoded(), prefix))
    }

    /// Whether this request can honestly call itself a read.
    pub(super) fn may_read(&self, request: &Request, path: &Path) -> bool {
        request.method == "GET" || self.read_paths.iter().any(|prefix| has_prefix(path.decoded(), prefix))
    }

    /// Whether the plugin may set this request header.
    pub(super) fn allows_request_header(&self, name: &str) -> bool {
        name == "accept" || self.request_headers.iter().any(|allowed| allowed == name)
    }

    /// Whether the plugin may see this answer header.
    pub(super) fn shows_answer_header(&self, name: &str) -> bool {
        ANSWER_HEADERS_ALWAYS.contains(&name) || self.answer_headers.iter().any(|allowed| allowed == name)
    }
}

/// The address of an origin: an operator's override first, then what the manifest says. `auth_host` gives the hosts that the
/// login chose.
///
/// # Errors
/// Says in words which setting or host is missing or is not an address.
pub(super) fn resolve_base(
    origin: &OriginSpec,
    overrides: &BTreeMap<String, Url>,
    settings: &BTreeMap<String, String>,
    auth_host: impl Fn(&str) -> Option<Url>,
) -> Result<Url, String> {
    if let Some(url) = overrides.get(&origin.name) {
        return Ok(url.clone());
    }
    match &origin.base {
        Base::Literal(url) => Ok(url.clone()),
        Base::Auth(name) => auth_host(name).ok_or_else(|| format!("the login names no host `{name}`")),
        Base::Setting(name) => {
            let text = settings.get(name).ok_or_else(|| format!("the setting `{name}` is missing"))?;
            base_url(text).map_err(|reason| format!("the setting `{name}`: {reason}"))
        }
    }
}

/// Reads an address that paths can be put below: http or https, a host, no user, no query, no fragment.
///
/// # Errors
/// Says in words what it has to be.
pub fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not an address: {error}"))?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "http" | "https" if plain && url.host().is_some() => Ok(url),
        _ => Err("an address is `https://host` or `https://host/path`, nothing more".to_owned()),
    }
}

/// The URL of a path below a base.
pub(super) fn join(base: &Url, path: &Path) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), path.encoded()));
    url
}

fn is_reserved(name: &str) -> bool {
    HEADERS_NEVER.contains(&name)
        || name.starts_with("proxy-")
        || name.starts_with("sec-")
        || name.starts_with("x-forwarded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> OriginSpec {
        serde_json::from_str(json).expect("the spec is well formed")
    }

    #[test]
    fn bases_are_read() {
        let check = |text: &str, good: bool| assert_eq!(Base::try_from(text.to_owned()).is_ok(), good, "{text}");
        check("auth:api", true);
        check("setting:base_url", true);
        check("https://crm.example.com/below", true);
        check("http://crm.example.com", false);
        check("https://user:pass@crm.example.com", false);
        check("https://crm.example.com/?a=b", false);
        check("file:///etc/passwd", false);
        check("crm.example.com", false);
    }

    #[test]
    fn manifests_cannot_ask_for_what_belongs_to_the_host() {
        let check = |member: &str, good: bool| {
            let text = format!(r#"{{"name":"api","base":"auth:api","paths":["/v1/"],{member}}}"#);
            assert_eq!(spec(&text).check().is_ok(), good, "{member}");
        };
        check(r#""methods":["GET","POST"],"request_headers":["if-match","x-external"]"#, true);
        check(r#""methods":["CONNECT"]"#, false);
        check(r#""methods":["GET"],"request_headers":["authorization"]"#, false);
        check(r#""methods":["GET"],"request_headers":["X-Upper"]"#, false);
        check(r#""methods":["GET"],"request_headers":["proxy-authorization"]"#, false);
        check(r#""methods":["GET"],"request_headers":["x-forwarded-for"]"#, false);
        check(r#""methods":["GET"],"read_paths":["/v1/../admin"]"#, false);
    }

    #[test]
    fn paths_join_below_the_base() {
        let check = |base: &str, path: &str, expected: &str| {
            let path = Path::parse(path).expect("the path is allowed");
            assert_eq!(join(&base_url(base).expect("the base is allowed"), &path).as_str(), expected);
        };
        check("https://a.example", "/v1/x y", "https://a.example/v1/x%20y");
        check("https://a.example/crm/", "/v1", "https://a.example/crm/v1");
        check("https://a.example/crm", "/what?#", "https://a.example/crm/what%3F%23");
    }

    #[test]
    fn an_override_comes_before_the_manifest() {
        let origin = spec(r#"{"name":"api","base":"setting:base_url","paths":["/"],"methods":["GET"]}"#);
        let settings = BTreeMap::from([("base_url".to_owned(), "https://crm.example.com".to_owned())]);
        let resolve = |overrides: &BTreeMap<String, Url>, settings: &BTreeMap<String, String>| {
            resolve_base(&origin, overrides, settings, |_| None).map(String::from)
        };
        assert_eq!(resolve(&BTreeMap::new(), &settings).as_deref(), Ok("https://crm.example.com/"));
        assert!(resolve(&BTreeMap::new(), &BTreeMap::new()).is_err());
        let overrides = BTreeMap::from([("api".to_owned(), Url::parse("http://127.0.0.1:9000").expect("an address"))]);
        assert_eq!(resolve(&overrides, &settings).as_deref(), Ok("http://127.0.0.1:9000/"));
    }
}
