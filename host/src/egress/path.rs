//! Paths of guests: parsed once, strictly, so that no server behind the gate can read one differently than the gate did.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The longest path that a guest may name, in bytes before encoding.
pub(super) const PATH_BYTES_MAX: usize = 4_096;

/// What stays as it is in a path: RFC 3986 `pchar`, less `;`, which some servers take for the start of parameters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// Characters that some servers fold into `.`, `/` or `\` before they look at a path.
const LOOKALIKES: &[char] = &[
    '\u{2024}', '\u{2044}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{fe52}', '\u{fe68}', '\u{ff0e}', '\u{ff0f}',
    '\u{ff3c}',
];

/// An absolute path that means the same to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    decoded: String,
    encoded: String,
}

impl Path {
    /// Takes a decoded absolute path. Refused are `.` and `..` segments, empty segments (a `/` at the end is fine), backslash,
    /// control characters, look-alikes of these, and anything that is percent-encoded already: it would be decoded twice.
    ///
    /// # Errors
    /// Says why the path is refused, as a continuation of "the path …".
    pub(super) fn parse(decoded: &str) -> Result<Path, &'static str> {
        if decoded.len() > PATH_BYTES_MAX {
            return Err("is too long");
        }
        let Some(below) = decoded.strip_prefix('/') else { return Err("does not start with `/`") };
        if decoded.chars().any(|letter| letter.is_control() || letter == '\\' || LOOKALIKES.contains(&letter)) {
            return Err("has a backslash, a control character or a look-alike of a separator");
        }
        if has_escape(decoded.as_bytes()) {
            return Err("is percent-encoded; paths are given decoded");
        }
        let mut segments = below.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() && segments.peek().is_some() {
                return Err("has an empty segment");
            }
            // What follows a `;` or blanks around the dots are dropped by some servers: `/..;/` and `/.. /` climb there.
            let name = segment.split(';').next().unwrap_or_default().trim();
            if name == "." || name == ".." {
                return Err("has a `.` or `..` segment");
            }
        }
        let encoded = utf8_percent_encode(decoded, ENCODED).to_string();
        Ok(Path { decoded: decoded.to_owned(), encoded })
    }

    /// The path as the guest gave it.
    pub(super) fn decoded(&self) -> &str {
        &self.decoded
    }

    /// The path as it goes onto the wire.
    pub(super) fn encoded(&self) -> &str {
        &self.encoded
    }
}

/// Whether a path lies below a prefix of a manifest: `/v1/` and `/v1` cover `/v1/x`, neither covers `/v10`.
pub(super) fn has_prefix(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn has_escape(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|three| three[0] == b'%' && three[1].is_ascii_hexdigit() && three[2].is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::testing::Rng;

    #[test]
    fn paths_have_one_meaning() {
        let check = |path: &str, expected: Option<&str>| {
            let parsed = Path::parse(path).ok();
            assert_eq!(parsed.as_ref().map(Path::encoded), expected, "{path:?}");
        };
        check("/", Some("/"));
        check("/v1/Contacts/", Some("/v1/Contacts/"));
        check("/v1/a b/ø", Some("/v1/a%20b/%C3%B8"));
        check("/v1/a?b#c;d", Some("/v1/a%3Fb%23c%3Bd"));
        check("/v1/50% off", Some("/v1/50%25%20off"));
        check("/v1/.hidden/..name/...", Some("/v1/.hidden/..name/..."));
        check("/v1/a:b@c", Some("/v1/a:b@c"));
        for refused in [
            "",
            "v1",
            "//",
            "//evil.example/",
            "/v1//x",
            "/..",
            "/v1/../x",
            "/v1/.",
            "/./v1",
            "/v1/..;/x",
            "/v1/.. /x",
            "/v1/ ../x",
            "/v1\\x",
            "/v1/\\..\\x",
            "/v1/%2e%2e/x",
            "/v1/%2E",
            "/v1/%5c",
            "/v1/%00",
            "/v1/%252e",
            "/v1/\0",
            "/v1/\r\nHost: x",
            "/v1/\u{7f}",
            "/v1/\u{85}",
            "/v1/\u{ff0e}\u{ff0e}/x",
            "/v1\u{2215}x",
            "/v1/%c0%ae",
        ] {
            check(refused, None);
        }
        check(&format!("/{}", "a".repeat(PATH_BYTES_MAX)), None);
    }

    #[test]
    fn prefixes_end_at_a_segment() {
        let check = |path: &str, prefix: &str, expected: bool| {
            assert_eq!(has_prefix(path, prefix), expected, "{path} {prefix}")
        };
        check("/v1/x", "/v1/", true);
        check("/v1/x", "/v1", true);
        check("/v1", "/v1", true);
        check("/v10", "/v1", false);
        check("/v1", "/v1/", false);
        check("/api.php", "/api.php", true);
        check("/api.php/x", "/api.php", true);
        check("/api.phpx", "/api.php", false);
        check("/anything", "/", true);
    }

    /// Whatever passes survives a URL parser unchanged and stays below its first segment.
    #[test]
    fn no_path_climbs() {
        let pieces = [
            "/", ".", "..", "%2e", "%", "2f", "\\", ";", "a", "ø", " ", "?", "#", "\u{ff0e}", "\t", "@", ":", "//",
            "%25", "&",
        ];
        for seed in 0..4_000 {
            let mut rng = Rng::new(seed);
            let tail: String = (0..rng.below(9)).map(|_| pieces[rng.below(pieces.len())]).collect();
            let Ok(path) = Path::parse(&format!("/v1/{tail}")) else { continue };
            let url = url::Url::parse(&format!("https://a.example{}", path.encoded()))
                .expect("an encoded path fits into a URL");
            assert_eq!(url.path(), path.encoded(), "seed {seed}");
            assert!(url.path().starts_with("/v1/"), "seed {seed}");
            assert_eq!((url.host_str(), url.query(), url.fragment()), (Some("a.example"), None, None), "seed {seed}");
            let again = percent_encoding::percent_decode_str(url.path()).decode_utf8().expect("it was UTF-8");
            assert_eq!(again, path.decoded(), "seed {seed}");
        }
    }
}
