//! What no guest may read is overwritten in an answer before its first byte reaches one: live secrets, in all the spellings in
//! which a CRM may echo them, and the fields that the manifest calls secret.
//!
//! Bytes are overwritten in place, so an answer stays the JSON that it was.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::json::{Pointer, Scanner, Shape, Value, array_index};
use super::records::BodyFault;

/// Shorter secrets are not looked for: they would be found by chance, and masking them would destroy data.
const SECRET_BYTES_MIN: usize = 6;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why something cannot be kept out of answers. Reads as a sentence about a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRedactable {
    /// The secrets are too large to be looked for.
    #[error("its secrets cannot be kept out of answers: {0}")]
    Secrets(String),
    /// What the manifest calls a secret field is no JSON pointer.
    #[error("the secret field `{0}` is not a JSON pointer")]
    Field(String),
}

/// Finds live secrets.
#[derive(Debug, Default)]
pub struct Redactor {
    forms: Option<AhoCorasick>,
}

impl Redactor {
    /// Looks for these secrets in all their spellings.
    ///
    /// # Errors
    /// The secrets are too large to be looked for.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Redactor, NotRedactable> {
        let mut forms = BTreeSet::new();
        secrets
            .into_iter()
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .for_each(|secret| spell(secret, &mut forms));
        if forms.is_empty() {
            return Ok(Redactor { forms: None });
        }
        let forms = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(forms)
            .map_err(|error| NotRedactable::Secrets(error.to_string()))?;
        Ok(Redactor { forms: Some(forms) })
    }

    /// Overwrites every secret: in the spellings that encoders are known to use, and in any mixture of escapes, as a reader of JSON or of
    /// a form would undo them.
    pub fn mask(&self, bytes: &mut [u8]) {
        let Some(forms) = &self.forms else { return };
        let mut found: Vec<Range<usize>> = forms.find_iter(&*bytes).map(|found| found.range()).collect();
        let read = Unescaped::of_json(bytes);
        if let Some(read) = &read {
            found.extend(forms.find_iter(&read.bytes).map(|found| read.source(found.range())));
        }
        let quoted = read.as_ref().map_or(&*bytes, |read| &read.bytes);
        if let Some(decoded) = Unescaped::of_percent(quoted) {
            let ranges = forms.find_iter(&decoded.bytes).map(|found| decoded.source(found.range()));
            found.extend(ranges.map(|range| read.as_ref().map_or(range.clone(), |read| read.source(range))));
        }
        found.into_iter().for_each(|range| bytes[range].fill(b'*'));
    }

    /// A text with every secret overwritten.
    pub fn masked(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.mask(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A text whose escapes were undone, and the places where they stood.
struct Unescaped {
    bytes: Vec<u8>,
    /// What each escape became, and where it stood. Between two of them nothing was changed.
    escapes: Vec<(Range<usize>, Range<usize>)>,
}

/// What an escape stands for.
enum Escaped {
    Byte(u8),
    Letter(char),
}

impl Unescaped {
    /// Undoes the escapes of JSON strings; none if there are none. What is no escape stays as it is.
    fn of_json(source: &[u8]) -> Option<Unescaped> {
        Unescaped::of(source, b'\\', |rest| {
            let simple = match rest.get(1)? {
                b'u' => return json_unit(rest),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                &letter @ (b'"' | b'\\' | b'/') => char::from(letter),
                _ => return None,
            };
            Some((Escaped::Letter(simple), 2))
        })
    }

    /// Undoes `%2F`; none if there is nothing to undo.
    fn of_percent(source: &[u8]) -> Option<Unescaped> {
        Unescaped::of(source, b'%', |rest| {
            let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
            let byte = u8::try_from(digit(1)? * 16 + digit(2)?).ok()?;
            Some((Escaped::Byte(byte), 3))
        })
    }

    /// `undo` gives what the escape at the start of a text stands for, and its length.
    fn of(source: &[u8], mark: u8, undo: impl Fn(&[u8]) -> Option<(Escaped, usize)>) -> Option<Unescaped> {
        let mut plain = Unescaped { bytes: Vec::new(), escapes: Vec::new() };
        let (mut from, mut at) = (0, 0);
        while let Some(next) = source[at..].iter().position(|&byte| byte == mark) {
            at += next;
            let Some((escaped, used)) = undo(&source[at..]) else {
                at += 1;
                continue;
            };
            plain.bytes.extend_from_slice(&source[from..at]);
            let start = plain.bytes.len();
            match escaped {
                Escaped::Byte(byte) => plain.bytes.push(byte),
                Escaped::Letter(letter) => plain.bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            plain.escapes.push((start..plain.bytes.len(), at..at + used));
            at += used;
            from = at;
        }
        if plain.escapes.is_empty() {
            return None;
        }
        plain.bytes.extend_from_slice(&source[from..]);
        Some(plain)
    }

    /// Where something that was found stands in the source, with whole escapes.
    fn source(&self, found: Range<usize>) -> Range<usize> {
        self.place(found.start).start..self.place(found.end - 1).end
    }

    /// Where one byte comes from.
    fn place(&self, at: usize) -> Range<usize> {
        match self.escapes[..self.escapes.partition_point(|(plain, _)| plain.start <= at)].last() {
            Some((plain, source)) if plain.contains(&at) => source.clone(),
            Some((plain, source)) => {
                let start = source.end + (at - plain.end);
                start..start + 1
            }
            None => at..at + 1,
        }
    }
}

/// `\u00d8`, or two of them that make one letter.
fn json_unit(rest: &[u8]) -> Option<(Escaped, usize)> {
    let unit = |at: usize| -> Option<u16> {
        let digits = rest.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digits =
            digits.iter().map(|&digit| char::from(digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok()));
        digits.into_iter().try_fold(0, |unit, digit| Some(unit << 4 | digit?))
    };
    let first = unit(0)?;
    let (units, used) = match unit(6) {
        Some(second) if (0xd800..0xdc00).contains(&first) => (vec![first, second], 12),
        _ => (vec![first], 6),
    };
    let letter = char::decode_utf16(units).next()?.ok()?;
    Some((Escaped::Letter(letter), used))
}

/// A field of answers that the manifest calls secret: an RFC 6901 pointer, in which the segment `*` stands for every element.
#[derive(Clone, Debug)]
pub struct SecretField(Pointer);

impl SecretField {
    /// Reads the manifest's pointer.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(pointer: &str) -> Result<SecretField, NotRedactable> {
        Pointer::parse(pointer).map(SecretField).ok_or_else(|| NotRedactable::Field(pointer.to_owned()))
    }
}

/// Overwrites the values of secret fields. A body that looks like JSON but is not is blanked as a whole, because nobody can say where
/// its secrets are.
pub fn mask_fields(body: &mut [u8], fields: &[SecretField]) {
    for field in fields {
        let mut found = Vec::new();
        if find(body, &field.0, &mut found).is_err() && body.iter().any(|byte| matches!(byte, b'{' | b'[')) {
            body.fill(b' ');
            return;
        }
        found.into_iter().for_each(|range| blank(&mut body[range]));
    }
}

fn find(body: &[u8], pointer: &Pointer, found: &mut Vec<Range<usize>>) -> Result<(), BodyFault> {
    let mut scanner = Scanner::new(body)?;
    if scanner.is_at_end() {
        return Ok(());
    }
    // A byte order mark is not part of what the scanner counts.
    let skipped = if body.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    walk(&mut scanner, &pointer.segments, &mut |range| found.push(range.start + skipped..range.end + skipped))?;
    scanner.end()
}

fn walk(scanner: &mut Scanner<'_>, segments: &[String], found: &mut impl FnMut(Range<usize>)) -> Result<(), BodyFault> {
    let shape = scanner.shape();
    let start = scanner.position();
    let Some((segment, below)) = segments.split_first() else {
        scanner.value()?;
        found(start..scanner.position());
        return Ok(());
    };
    let mut first = true;
    match shape {
        Shape::Object => {
            scanner.open()?;
            while let Some(name) = scanner.member(&mut first)? {
                if segment == "*" || name.is(segment) {
                    walk(scanner, below, found)?;
                } else {
                    scanner.value()?;
                }
            }
        }
        Shape::Array => {
            scanner.open()?;
            let (wanted, mut index) = (array_index(segment), 0);
            while scanner.element(&mut first)? {
                if segment == "*" || wanted == Some(index) {
                    walk(scanner, below, found)?;
                } else {
                    scanner.value()?;
                }
                index += 1;
            }
        }
        Shape::Scalar => drop::<Value<'_>>(scanner.value()?),
    }
    Ok(())
}

/// Overwrites one JSON value by another of the same length.
fn blank(value: &mut [u8]) {
    match value {
        [b'"', text @ .., b'"'] => text.fill(b'*'),
        [head @ .., _, _, _, _] => {
            head.fill(b' ');
            let at = value.len() - 4;
            value[at..].copy_from_slice(b"null");
        }
        // Too short to become `null`: one digit and blanks.
        [first, rest @ ..] => {
            *first = b'0';
            rest.fill(b' ');
        }
        [] => {}
    }
}

/// All spellings of a secret that an answer may hold.
fn spell(secret: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let quoted = serde_json::Value::from(secret).to_string();
    let escaped = &quoted[1..quoted.len() - 1];
    let ascii: String = escaped.chars().map(json_ascii).collect();
    // Encoders that are careful about HTML, or about everything, write `=` as `\u003d`; some of them in capitals.
    for careful in ["<>&='", "<>&", "<>&'\"", ""] {
        let wanted = |letter: char| match careful {
            "" => !letter.is_ascii_alphanumeric(),
            letters => letters.contains(letter) || !letter.is_ascii(),
        };
        for text in [json_escaped(secret, wanted, false), json_escaped(secret, wanted, true)] {
            forms.insert(text.replace('/', "\\/").into_bytes());
            forms.insert(text.into_bytes());
        }
    }
    forms.insert(json_escaped(secret, |_| true, false).into_bytes());
    forms.insert(json_escaped(secret, |_| true, true).into_bytes());
    let percent = utf8_percent_encode(secret, UNRESERVED).to_string();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let texts = [
        secret.to_owned(),
        escaped.to_owned(),
        escaped.replace('/', "\\/"),
        ascii.replace('/', "\\/"),
        ascii,
        percent.replace("%20", "+"),
        lower_escapes(&percent),
        percent,
        hex.to_uppercase(),
        hex,
    ];
    forms.extend(texts.into_iter().map(String::into_bytes));
    for form in [STANDARD.encode(secret), URL_SAFE.encode(secret)] {
        forms.insert(form.into_bytes());
    }
    // Inside of a longer text (`user:secret`) the secret's base64 depends on how many bytes stand before it, and only the characters
    // that hold nothing but its own bits are certain.
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(secret.as_bytes());
        let certain = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
        forms.insert(STANDARD.encode(&padded).as_bytes()[certain.clone()].to_vec());
        forms.insert(URL_SAFE.encode(&padded).as_bytes()[certain].to_vec());
    }
}

fn json_ascii(letter: char) -> String {
    match letter.is_ascii() {
        true => letter.to_string(),
        false => letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    }
}

/// A JSON text in which these letters are escaped by their number; of the others only those that must be.
fn json_escaped(secret: &str, wanted: impl Fn(char) -> bool, capitals: bool) -> String {
    let spell = |unit: &u16| if capitals { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    let letters = secret.chars().map(|letter| match letter {
        letter if wanted(letter) => letter.encode_utf16(&mut [0; 2]).iter().map(spell).collect(),
        letter => {
            let quoted = serde_json::Value::from(letter.to_string()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
    });
    letters.collect()
}

/// `%2F` → `%2f`, leaving everything else as it is.
fn lower_escapes(percent: &str) -> String {
    let mut pieces = percent.split('%');
    let mut lowered = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        lowered.push('%');
        lowered.push_str(&piece[..2].to_lowercase());
        lowered.push_str(&piece[2..]);
    }
    lowered
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr/et+Ø key\"7";

    fn masked(body: &str) -> String {
        Redactor::new([SECRET, "short"]).expect("the secrets can be looked for").masked(body)
    }

    #[test]
    fn every_spelling_is_found() {
        let quoted = serde_json::Value::from(SECRET).to_string();
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        let form: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        for spelling in [
            SECRET.to_owned(),
            quoted.clone(),
            quoted.replace('/', "\\/"),
            quoted.replace('Ø', "\\u00d8").replace('/', "\\/"),
            quoted.replace('Ø', "\\u00D8"),
            json_escaped(SECRET, |letter| !letter.is_ascii_alphanumeric(), true),
            json_escaped(SECRET, |_| true, false),
            utf8_percent_encode(SECRET, UNRESERVED).to_string(),
            utf8_percent_encode(SECRET, UNRESERVED)
                .to_string()
                .replace("%2F", "%2f")
                .replace("%2B", "%2b")
                .replace("%C3%98", "%c3%98"),
            form,
            hex.to_uppercase(),
            hex,
        ] {
            let shown = masked(&format!("before {spelling} after"));
            assert!(shown.starts_with("before ") && shown.ends_with(" after"), "{spelling} → {shown}");
            assert!(
                shown.contains("*********") && !shown.contains("3cr") && !shown.contains("key"),
                "{spelling} → {shown}"
            );
        }
    }

    #[test]
    fn careful_encoders_are_understood() {
        let masked = Redactor::new(["a=b&c<d>'e'/f"]).expect("the secret can be looked for");
        for spelling in [
            r"a\u003db\u0026c\u003cd\u003e\u0027e\u0027/f",
            r"a\u003Db\u0026c\u003Cd\u003E\u0027e\u0027/f",
            r"a=b\u0026c\u003cd\u003e'e'/f",
            r"a=b\u0026c\u003Cd\u003E\u0027e\u0027\/f",
            r"a\u003db\u0026c\u003cd\u003e\u0027e\u0027\u002ff",
        ] {
            let shown = masked.masked(&format!("<{spelling}>"));
            assert_eq!(shown, format!("<{}>", "*".repeat(spelling.len())), "{spelling}");
        }
    }

    #[test]
    fn mixtures_of_escapes_are_found() {
        // No encoder writes like this, but a CRM that passes on what was typed at it might: some letters escaped, others not.
        let redactor = Redactor::new(["s3cr/et+key\u{d8}"]).expect("the secret can be looked for");
        for spelling in [
            r"s\u0033cr/et+key\u00d8",
            r"\u0073\u0033cr\/et\u002Bkey\u00D8",
            "%733cr%2fet%2Bkey%C3%98",
            "s3cr%2Fet+key\u{d8}",
            r"s3cr\u002fet%2bkey%c3%98",
        ] {
            let shown = redactor.masked(&format!("<{spelling}>"));
            assert_eq!(shown, format!("<{}>", "*".repeat(spelling.len())), "{spelling}");
        }
        for harmless in [r"\u00", r"\ud800\u0041", "100 %", "%zz", r"C:\temp", "\\"] {
            assert_eq!(redactor.masked(harmless), harmless);
        }
    }

    #[test]
    fn base64_is_found_at_every_offset() {
        for before in ["", "u", "us", "user", "user:", "x:y"] {
            for engine in [&STANDARD, &URL_SAFE] {
                let encoded = engine.encode(format!("{before}{SECRET}:after"));
                let shown = masked(&encoded);
                assert_eq!(shown.len(), encoded.len());
                let decoded = engine.decode(shown.replace('*', "A")).expect("it stays base64");
                let decoded = String::from_utf8_lossy(&decoded).into_owned();
                assert!(!decoded.contains("3cr") && !decoded.contains("key"), "{before}: {decoded}");
            }
        }
    }

    #[test]
    fn short_secrets_do_not_destroy_data() {
        assert_eq!(masked("a short text"), "a short text");
    }

    #[test]
    fn fields_are_masked_in_place() {
        let check = |body: &str, fields: &[&str], expected: &str| {
            let fields: Vec<SecretField> =
                fields.iter().map(|field| SecretField::parse(field).expect("a pointer")).collect();
            let mut bytes = body.as_bytes().to_vec();
            mask_fields(&mut bytes, &fields);
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
        };
        check(r#"{"a":{"key":"abc"},"b":1}"#, &["/a/key"], r#"{"a":{"key":"***"},"b":1}"#);
        check(
            r#"{"a":[{"k":"ab"},{"k":12345},{"k":[1,2]}]}"#,
            &["/a/*/k"],
            r#"{"a":[{"k":"**"},{"k": null},{"k": null}]}"#,
        );
        check(r#"{"k":"a","k":"b"}"#, &["/k"], r#"{"k":"*","k":"*"}"#);
        check(r#"{"k":12,"l":{}}"#, &["/k", "/l"], r#"{"k":0 ,"l":0 }"#);
        check(r#"{"k":"a\"b"}"#, &["/k"], r#"{"k":"****"}"#);
        check(r#"{"k":"abc""#, &["/k"], "          ");
        check("plain text", &["/k"], "plain text");
        check("", &["/k"], "");
    }
}
