//! Who may ask. A page that a browser of this machine shows can send requests here, too; it must not learn or start anything.
//!
//! - **Rebinding**: a foreign name that suddenly means this machine comes with that name in `Host`. Only `localhost` and addresses are
//!   answered: an address in a link leads to its own server, never to another's page.
//! - **Forgery**: everything under `/api/v1` asks for a token in the `Authorization` header, which no page can know or send unasked.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY};
use axum::http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::service::Failure;

/// Where the token lies in the data folder.
const TOKEN_FILE: &str = "api.token";
/// A page of ours loads its own style sheet and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses requests for other names than this machine's, and sets the headers of every answer.
pub(super) async fn is_for_this_machine(request: Request, next: Next) -> Response {
    let mut answer = if names_this_machine(request.headers()) {
        next.run(request).await
    } else {
        let failure = Failure::input(
            "api.host",
            "this service answers to `localhost` and to addresses only",
            "use the address that `crmsync serve` printed",
        );
        Problem::with(StatusCode::MISDIRECTED_REQUEST, failure).into_response()
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Refuses requests without the token.
pub(super) async fn asks_for_token(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !is_equal(given, &token) {
        let failure = Failure::input(
            "api.token",
            "this needs the token of the data folder",
            format!("send `Authorization: Bearer TOKEN`; the token is in the file `{TOKEN_FILE}` of the data folder"),
        );
        return Problem::with(StatusCode::UNAUTHORIZED, failure).into_response();
    }
    next.run(request).await
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// In a time that does not tell how much of it is right.
fn is_equal(given: &str, token: &str) -> bool {
    let differ = given.bytes().zip(token.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other));
    !token.is_empty() && given.len() == token.len() && differ == 0
}

/// The token of a data folder, made on first use and readable by its owner only.
///
/// # Errors
/// The file cannot be written or read.
pub(in crate::service) fn read_or_make_token(folder: &Path) -> Result<String, Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(TOKEN_FILE);
    let failed = |error: std::io::Error| {
        Failure::environment("data.folder", format!("{}: {error}", path.display()), "check the data folder")
    };
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let mut bytes = [0_u8; 32];
            getrandom::fill(&mut bytes).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
            let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            file.write_all(token.as_bytes()).map_err(failed)?;
            Ok(token)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => read_token(folder),
        Err(error) => Err(failed(error)),
    }
}

/// The token of a data folder.
///
/// # Errors
/// There is none, or it cannot be read.
fn read_token(folder: &Path) -> Result<String, Failure> {
    let path = folder.join(TOKEN_FILE);
    let hint = format!("remove {} and start `crmsync serve` again", path.display());
    let token = std::fs::read_to_string(&path)
        .map_err(|error| Failure::environment("api.token", format!("{}: {error}", path.display()), hint.clone()))?;
    let token = token.trim().to_owned();
    if token.len() < 32 {
        return Err(Failure::environment("api.token", format!("{} holds no token", path.display()), hint));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_named() {
        for (host, expected) in [
            ("127.0.0.1:8780", true),
            ("localhost:8780", true),
            ("LOCALHOST", true),
            ("[::1]:8780", true),
            ("192.168.1.4", true),
            ("evil.example", false),
            ("evil.example:8780", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            assert_eq!(names_this_machine(&headers), expected, "{host}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(is_equal("abc", "abc"));
        for (given, token) in [("", ""), ("", "abc"), ("ab", "abc"), ("abcd", "abc"), ("abd", "abc")] {
            assert!(!is_equal(given, token), "{given} {token}");
        }
    }
}
