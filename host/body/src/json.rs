//! A strict reader of JSON text that keeps the source's spelling.
//!
//! Why not `serde_json`: a number must reach us exactly as the CRM wrote it (its values pass through `f64`), unread values
//! are passed over without being built, nesting stops at 64, and a secret field is masked at its place in the body. The tests hold
//! it against `serde_json`: both must accept and refuse the same texts.

use super::records::BodyFault;

/// Levels of arrays and objects that a body may have.
pub(crate) const DEPTH_MAX: usize = 64;
/// Bytes of a pointer, or of a column's name: the longest name of a field in any CRM is far shorter, and a guest writes them.
pub(crate) const POINTER_BYTES_MAX: usize = 1_024;

/// Reads one JSON text from left to right.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

/// One value; arrays and objects as their source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Boolean(bool),
    /// The number's spelling.
    Number(&'a str),
    Text(Text<'a>),
    Array(&'a str),
    Object(&'a str),
}

/// What the next value is, before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Array,
    Object,
    Scalar,
}

/// A JSON string as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    pub(crate) source: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The text; none if it has half of a surrogate pair, which is no text. `scratch` is used only if there is an escape.
    pub(crate) fn decode<'b>(self, scratch: &'b mut String) -> Option<&'b str>
    where
        'a: 'b,
    {
        if !self.escaped {
            return Some(self.source);
        }
        scratch.clear();
        let mut rest = self.source;
        while let Some(slash) = rest.find('\\') {
            scratch.push_str(&rest[..slash]);
            let (letter, used) = unescape(&rest[slash + 1..])?;
            scratch.push(letter);
            rest = &rest[slash + 1 + used..];
        }
        scratch.push_str(rest);
        Some(scratch)
    }

    /// Whether this is the text `name`.
    pub(crate) fn is(self, name: &str) -> bool {
        match self.escaped {
            false => self.source == name,
            true => self.decode(&mut String::new()) == Some(name),
        }
    }
}

impl<'a> Scanner<'a> {
    /// A reader at the start of a text.
    ///
    /// # Errors
    /// The bytes are not UTF-8.
    pub(crate) fn new(body: &'a [u8]) -> Result<Scanner<'a>, BodyFault> {
        let text = std::str::from_utf8(body)
            .map_err(|error| BodyFault::NotJson(format!("at byte {}: not UTF-8", error.valid_up_to())))?;
        // Some servers put a byte order mark before their JSON.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Scanner { text, bytes: text.as_bytes(), at: 0, depth: 0 })
    }

    /// Whether nothing but blanks is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.blanks();
        self.at == self.bytes.len()
    }

    /// Makes sure that nothing but blanks is left.
    pub(crate) fn end(&mut self) -> Result<(), BodyFault> {
        if self.is_at_end() { Ok(()) } else { Err(self.fault("more after the end")) }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The text read since a position.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// What comes next; blanks before it are passed over.
    pub(crate) fn shape(&mut self) -> Shape {
        self.blanks();
        match self.bytes.get(self.at) {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            _ => Shape::Scalar,
        }
    }

    /// Goes into the array or object that comes next.
    pub(crate) fn open(&mut self) -> Result<(), BodyFault> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(BodyFault::TooLarge(format!("deeper than {DEPTH_MAX} levels at byte {}", self.at)));
        }
        Ok(())
    }

    /// The next member's name, with the reader before its value; none at the object's end, which is then left.
    pub(crate) fn member(&mut self, first: &mut bool) -> Result<Option<Text<'a>>, BodyFault> {
        if !self.next_of(b'}', first)? {
            return Ok(None);
        }
        let name = self.string()?;
        self.blanks();
        self.expect(b':', "expected `:`")?;
        Ok(Some(name))
    }

    /// Whether there is a next element; at the array's end it is left.
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<bool, BodyFault> {
        self.next_of(b']', first)
    }

    /// Reads the next value whole.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, BodyFault> {
        self.blanks();
        let start = self.at;
        match self.bytes.get(self.at) {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Value::Number(self.number()?)),
            Some(b'{') => {
                self.pass_object()?;
                Ok(Value::Object(self.since(start)))
            }
            Some(b'[') => {
                self.pass_array()?;
                Ok(Value::Array(self.since(start)))
            }
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Boolean(true)),
            Some(b'f') => self.word("false", Value::Boolean(false)),
            _ => Err(self.fault("expected a value")),
        }
    }

    fn pass_object(&mut self) -> Result<(), BodyFault> {
        self.open()?;
        let mut first = true;
        while self.member(&mut first)?.is_some() {
            self.value()?;
        }
        Ok(())
    }

    fn pass_array(&mut self) -> Result<(), BodyFault> {
        self.open()?;
        let mut first = true;
        while self.element(&mut first)? {
            self.value()?;
        }
        Ok(())
    }

    fn next_of(&mut self, close: u8, first: &mut bool) -> Result<bool, BodyFault> {
        self.blanks();
        if self.bytes.get(self.at) == Some(&close) {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', "expected `,` or the end of the list")?;
            self.blanks();
            if self.bytes.get(self.at) == Some(&close) {
                return Err(self.fault("a comma before the end"));
            }
        }
        Ok(true)
    }

    fn string(&mut self) -> Result<Text<'a>, BodyFault> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            // Most bytes are plain; the three kinds that are not end the inner loop.
            while self.bytes.get(self.at).is_some_and(|&byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
                self.at += 1;
            }
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text { source: &self.text[start..self.at - 1], escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault("a control character in a string")),
                None => return Err(self.fault("the text ends in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), BodyFault> {
        let length = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => 6,
            _ => return Err(self.fault("an unknown escape")),
        };
        let digits = self.bytes.get(self.at + 2..self.at + length);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(self.fault("an unknown escape"));
        }
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, BodyFault> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.bytes[self.at - whole] == b'0') {
            return Err(self.fault("a malformed number"));
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.fault("a malformed number"));
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.fault("a malformed number"));
            }
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, BodyFault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault("expected a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, otherwise: &str) -> Result<(), BodyFault> {
        if self.bytes.get(self.at) != Some(&byte) {
            return Err(self.fault(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    fn fault(&self, reason: &str) -> BodyFault {
        BodyFault::NotJson(format!("at byte {}: {reason}", self.at))
    }
}

/// An RFC 6901 pointer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) segments: Vec<String>,
}

impl Pointer {
    /// Reads `""` (the whole text) or `/a/b`, with `~1` for `/` and `~0` for `~`; none if it is neither, or points deeper than any text
    /// may be.
    pub(crate) fn parse(text: &str) -> Option<Pointer> {
        // Before anything is built: each segment costs far more than the byte that begins it.
        let segments = text.bytes().filter(|&byte| byte == b'/').take(DEPTH_MAX + 1).count();
        if text.len() > POINTER_BYTES_MAX || segments > DEPTH_MAX {
            return None;
        }
        if text.is_empty() {
            return Some(Pointer { segments: Vec::new() });
        }
        let segments = text.strip_prefix('/')?.split('/');
        Some(Pointer { segments: segments.map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect() })
    }
}

/// The place of an element that a segment means, if it means one: digits without a leading zero.
pub(crate) fn array_index(segment: &str) -> Option<usize> {
    let plain = segment == "0" || (segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.starts_with('0'));
    if plain { segment.parse().ok() } else { None }
}

/// Walks to the value at a pointer and lets `take` read it there; reads the rest as well, so that a text which passes is JSON as a
/// whole. Of two members with one name the last counts.
pub(crate) fn seek<'a, T>(
    scanner: &mut Scanner<'a>,
    segments: &[String],
    take: &mut impl FnMut(&mut Scanner<'a>) -> Result<T, BodyFault>,
) -> Result<Option<T>, BodyFault> {
    let Some((segment, below)) = segments.split_first() else { return take(scanner).map(Some) };
    let (mut found, mut first) = (None, true);
    match scanner.shape() {
        Shape::Object => {
            scanner.open()?;
            while let Some(name) = scanner.member(&mut first)? {
                if name.is(segment) {
                    found = seek(scanner, below, take)?;
                } else {
                    scanner.value()?;
                }
            }
        }
        Shape::Array => {
            scanner.open()?;
            let (wanted, mut index) = (array_index(segment), 0);
            while scanner.element(&mut first)? {
                if wanted == Some(index) {
                    found = seek(scanner, below, take)?;
                } else {
                    scanner.value()?;
                }
                index += 1;
            }
        }
        Shape::Scalar => {
            scanner.value()?;
        }
    }
    Ok(found)
}

/// One escape, without its backslash: the character and the bytes that it took.
fn unescape(rest: &str) -> Option<(char, usize)> {
    let simple = match rest.as_bytes().first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unit(rest),
        _ => return rest.chars().next().map(|letter| (letter, letter.len_utf8())),
    };
    Some((simple, 1))
}

fn unescape_unit(rest: &str) -> Option<(char, usize)> {
    let unit = |from: usize| u32::from_str_radix(rest.get(from..from + 4)?, 16).ok();
    let high = unit(1)?;
    if let Some(letter) = char::from_u32(high) {
        return Some((letter, 5));
    }
    let low = unit(7)?;
    let paired = high < 0xdc00 && rest.get(5..7) == Some("\\u") && (0xdc00..0xe000).contains(&low);
    if !paired {
        return None;
    }
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).map(|letter| (letter, 11))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crmsync_sandbox::rng::Rng;

    fn whole(text: &[u8]) -> Result<(), BodyFault> {
        let mut scanner = Scanner::new(text)?;
        scanner.value()?;
        scanner.end()
    }

    #[test]
    fn texts_decode() {
        let check = |source: &str, expected: Option<&str>| {
            let json = format!("\"{source}\"");
            let mut scanner = Scanner::new(json.as_bytes()).expect("it is UTF-8");
            let Ok(Value::Text(text)) = scanner.value() else { panic!("`{source}` is a string") };
            assert_eq!(text.decode(&mut String::new()), expected, "{source}");
        };
        check("plain ø", Some("plain ø"));
        check(r#"\"\\\/\b\f\n\r\t"#, Some("\"\\/\u{8}\u{c}\n\r\t"));
        check(r"\u00e9x\ud83d\ude42y", Some("éx🙂y"));
        check(r"\ud83d", None);
        check(r"\ude42\ud83d", None);
        check(r"\ud83dx\ude42", None);
        check(r"\u0000", Some("\0"));
    }

    #[test]
    fn nesting_ends() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(whole(nested(DEPTH_MAX).as_bytes()), Ok(()));
        assert!(matches!(whole(nested(DEPTH_MAX + 1).as_bytes()), Err(BodyFault::TooLarge(_))));
        assert!(matches!(whole("[".repeat(1_000_000).as_bytes()), Err(BodyFault::TooLarge(_))));
    }

    /// On broken and whole texts alike, we accept exactly what `serde_json` accepts.
    #[test]
    fn the_reader_agrees_with_serde() {
        let seeds: [&[u8]; 5] = [
            br#"{"a":[1,-0.5e+10,true,false,null,"x\u00e9\n"],"b":{"c":[]},"a":{}}"#,
            br#" [ {"id":"1","name":"\u00d8yvind","n":12.50} , {} , [ [ ] ] ] "#,
            br#""text""#,
            b"-12e3",
            "{\"ø\":\"🙂\",\"k\":0}".as_bytes(),
        ];
        let noise = b"{}[]\",:\\u0019eE+-.tfn \n\0\xc3\x80";
        for seed in 0..20_000 {
            let mut rng = Rng::new(seed);
            let mut text = seeds[rng.below(seeds.len())].to_vec();
            for _ in 0..rng.below(4) {
                let (at, byte) = (rng.below(text.len()), noise[rng.below(noise.len())]);
                match rng.below(3) {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ if text.len() > 1 => drop(text.remove(at)),
                    _ => {}
                }
            }
            let serde =
                serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok() && std::str::from_utf8(&text).is_ok();
            assert_eq!(whole(&text).is_ok(), serde, "seed {seed}: {:?}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn pointers_are_followed() {
        let check = |pointer: &str, expected: Option<&str>| {
            let body = br#"{"a":{"b":1},"c/d":[10,{"~":"x"}],"a":{"b":2},"e":3}"#;
            let mut scanner = Scanner::new(body).expect("it is UTF-8");
            let pointer = Pointer::parse(pointer).expect("it is a pointer");
            let mut take = |scanner: &mut Scanner<'static>| {
                scanner.shape();
                let start = scanner.position();
                scanner.value()?;
                Ok(scanner.since(start))
            };
            assert_eq!(seek(&mut scanner, &pointer.segments, &mut take), Ok(expected));
            assert_eq!(scanner.end(), Ok(()));
        };
        check("/a/b", Some("2"));
        check("/c~1d/1/~0", Some("\"x\""));
        check("/c~1d/01", None);
        check("/c~1d/2", None);
        check("/e/b", None);
        check("/e", Some("3"));
        assert_eq!(Pointer::parse("a"), None);
        assert!(Pointer::parse(&"/a".repeat(DEPTH_MAX)).is_some_and(|pointer| pointer.segments.len() == DEPTH_MAX));
        assert_eq!(Pointer::parse(&"/".repeat(DEPTH_MAX + 1)), None);
        assert_eq!(Pointer::parse(&format!("/{}", "a".repeat(POINTER_BYTES_MAX))), None);
    }
}
