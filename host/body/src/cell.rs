//! One JSON value into one cell of an asked kind: without loss, or as raw text.

use std::num::IntErrorKind;

use crmsync_cells::{Cell, Kind, canonical_decimal};
use time::{Date, Month};

use super::json::{Scanner, Shape, Text, Value};

/// The cell for a value, and whether the value had the asked kind. What has no kind of its own to be (`raw` was asked) always fits.
///
/// | kind | what fits |
/// |---|---|
/// | text | strings; numbers and booleans in their spelling |
/// | integer | whole numbers, also as strings (`"12"`, not `"007"`); beyond 64 bits they become decimals |
/// | decimal | numbers, also as strings, in the canonical spelling |
/// | boolean | `true`, `false`, `1`, `0`, `"1"`, `"0"` |
/// | date | `"yyyy-mm-dd"` |
/// | local date-time | `"yyyy-mm-dd hh:mm:ss"`, also with `T`, with up to six decimals |
/// | time | `"hh:mm"`, `"hh:mm:ss"`, with up to six decimals |
/// | instant | RFC 3339 with an offset, with up to six decimals |
/// | reference | `"Module/id"` |
/// | list | an array of strings |
/// | rows | an array of objects |
pub(crate) fn convert<'v>(value: Value<'v>, kind: Kind, scratch: &'v mut String) -> (Cell<'v>, bool) {
    match value {
        Value::Null => (Cell::Empty, true),
        Value::Boolean(yes) => match kind {
            Kind::Boolean => (Cell::Boolean(yes), true),
            Kind::Text => (Cell::Text(spelled(yes)), true),
            _ => raw(spelled(yes), kind),
        },
        Value::Number(source) => number(source, kind, scratch),
        Value::Text(text) => string(text, kind, scratch),
        Value::Array(source) => array(source, kind, scratch),
        Value::Object(source) => raw(compact(source, scratch), kind),
    }
}

fn raw(text: &str, kind: Kind) -> (Cell<'_>, bool) {
    (Cell::Raw(text), kind == Kind::Raw)
}

fn spelled(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}

fn number<'v>(source: &'v str, kind: Kind, scratch: &'v mut String) -> (Cell<'v>, bool) {
    let cell = match kind {
        Kind::Text => Some(Cell::Text(source)),
        Kind::Integer => integer(source, scratch),
        Kind::Decimal => decimal(source, scratch),
        Kind::Boolean => boolean(source),
        _ => None,
    };
    cell.map_or_else(|| raw(source, kind), |cell| (cell, true))
}

fn string<'v>(text: Text<'v>, kind: Kind, scratch: &'v mut String) -> (Cell<'v>, bool) {
    if text.source.is_empty() {
        return (Cell::Empty, true);
    }
    if kind == Kind::Decimal || kind == Kind::Integer {
        return numeric_string(text, kind, scratch);
    }
    // Half of a surrogate pair is no text; its escapes are kept as they stand.
    let Some(text) = text.decode(scratch) else { return (Cell::Raw(text.source), kind == Kind::Raw) };
    let cell = match kind {
        Kind::Text => Some(Cell::Text(text)),
        Kind::Boolean => boolean(text),
        Kind::Date => date(text.as_bytes()).map(Cell::Date),
        Kind::LocalDateTime => local_date_time(text.as_bytes()).map(Cell::LocalDateTime),
        Kind::Time => time_of_day(text.as_bytes()).map(Cell::Time),
        Kind::Instant => instant(text.as_bytes()).map(Cell::Instant),
        Kind::Reference => text
            .split_once('/')
            .filter(|(module, id)| !module.is_empty() && !id.is_empty())
            .map(|_| Cell::Reference(text)),
        _ => None,
    };
    cell.map_or_else(|| raw(text, kind), |cell| (cell, true))
}

/// Numbers have no escapes, so the scratch text is free to hold the canonical spelling.
fn numeric_string<'v>(text: Text<'v>, kind: Kind, scratch: &'v mut String) -> (Cell<'v>, bool) {
    let fits = match kind {
        Kind::Integer => integer(text.source, &mut String::new()).is_some(),
        _ => canonical_decimal(text.source).is_some(),
    };
    match fits {
        true => number(text.source, kind, scratch),
        false => raw(text.decode(scratch).unwrap_or(text.source), kind),
    }
}

fn array<'v>(source: &'v str, kind: Kind, scratch: &'v mut String) -> (Cell<'v>, bool) {
    let elements = elements_of(source);
    if elements == Some(Elements::None) {
        return (Cell::Empty, true);
    }
    let text = compact(source, scratch);
    match (kind, elements) {
        (Kind::List, Some(Elements::Texts)) => (Cell::List(text), true),
        (Kind::Rows, Some(Elements::Objects)) => (Cell::Rows(text), true),
        _ => raw(text, kind),
    }
}

fn integer<'v>(source: &'v str, scratch: &'v mut String) -> Option<Cell<'v>> {
    let unsigned = source.strip_prefix('-').unwrap_or(source);
    // A number with leading zeros or a plus is somebody's key, not a quantity.
    let whole = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return None;
    }
    if whole < unsigned.len() {
        return match canonical_decimal(source) {
            Some(canonical) if !canonical.contains('.') => {
                *scratch = canonical;
                whole_number(scratch)
            }
            _ => None,
        };
    }
    whole_number(source)
}

fn whole_number(digits: &str) -> Option<Cell<'_>> {
    match digits.parse() {
        Ok(number) => Some(Cell::Integer(number)),
        // S8: whole numbers beyond 64 bits are decimals.
        Err(error) if matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
            Some(Cell::Decimal(digits))
        }
        Err(_) => None,
    }
}

fn decimal<'v>(source: &str, scratch: &'v mut String) -> Option<Cell<'v>> {
    *scratch = canonical_decimal(source)?;
    Some(Cell::Decimal(scratch))
}

fn boolean(text: &str) -> Option<Cell<'static>> {
    match text {
        "1" => Some(Cell::Boolean(true)),
        "0" => Some(Cell::Boolean(false)),
        _ => None,
    }
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

fn date(text: &[u8]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let year = i32::from(two(y0, y1)?) * 100 + i32::from(two(y2, y3)?);
    let date = Date::from_calendar_date(year, Month::try_from(two(m0, m1)?).ok()?, two(d0, d1)?).ok()?;
    Some(i64::from(date.to_julian_day() - time::UtcDateTime::UNIX_EPOCH.date().to_julian_day()))
}

fn local_date_time(text: &[u8]) -> Option<i64> {
    let (day, rest) = text.split_at_checked(10)?;
    let (b' ' | b'T', clock) = rest.split_first()? else { return None };
    // Seconds are part of the form: `10:30` alone would be a guess.
    if clock.len() < 8 {
        return None;
    }
    Some(date(day)? * MICROS_PER_DAY + time_of_day(clock)?)
}

fn instant(text: &[u8]) -> Option<i64> {
    let zone_at = 19 + text.get(19..)?.iter().position(|&byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'))?;
    let (wall, zone) = text.split_at(zone_at);
    let offset_minutes = match *zone {
        [b'Z' | b'z'] => 0,
        [sign, h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = i64::from(hours) * 60 + i64::from(minutes);
            if sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    Some(local_date_time(wall)? - offset_minutes * 60 * MICROS_PER_SECOND)
}

fn time_of_day(text: &[u8]) -> Option<i64> {
    let (hours, rest) = (two(*text.first()?, *text.get(1)?)?, text.get(2..)?);
    let [b':', m0, m1, rest @ ..] = rest else { return None };
    let minutes = two(*m0, *m1)?;
    let (seconds, micros) = match rest {
        [] => (0, 0),
        [b':', s0, s1] => (two(*s0, *s1)?, 0),
        [b':', s0, s1, b'.', fraction @ ..] => (two(*s0, *s1)?, micros(fraction)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let seconds = (i64::from(hours) * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// A fraction of a second; finer than a microsecond would lose something, unless the rest is zeros.
fn micros(fraction: &[u8]) -> Option<i64> {
    if fraction.is_empty()
        || !fraction.iter().all(u8::is_ascii_digit)
        || fraction.iter().skip(6).any(|&digit| digit != b'0')
    {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some(digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn two(tens: u8, ones: u8) -> Option<u8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Elements {
    None,
    Texts,
    Objects,
}

/// What all elements of an array are; none if they are mixed or something else. The source has been read before, so it is JSON.
fn elements_of(source: &str) -> Option<Elements> {
    let mut scanner = Scanner::new(source.as_bytes()).ok()?;
    let (mut first, mut all) = (true, Elements::None);
    scanner.shape();
    scanner.open().ok()?;
    while scanner.element(&mut first).ok()? {
        let object = scanner.shape() == Shape::Object;
        let one = match scanner.value().ok()? {
            Value::Text(_) => Elements::Texts,
            _ if object => Elements::Objects,
            _ => return None,
        };
        if all != Elements::None && all != one {
            return None;
        }
        all = one;
    }
    Some(all)
}

/// A JSON text without the blanks between its tokens; strings and numbers keep their spelling.
fn compact<'v>(source: &'v str, scratch: &'v mut String) -> &'v str {
    scratch.clear();
    let (mut quoted, mut escaped, mut from) = (false, false, 0);
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'\n' | b'\r' | b'\t' if !quoted => {
                scratch.push_str(&source[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if from == 0 {
        return source;
    }
    scratch.push_str(&source[from..]);
    scratch
}

#[cfg(test)]
mod tests;
