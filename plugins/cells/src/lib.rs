//! Packed batches: how records cross the boundary between the crmsync host and its plugins.
//!
//! One list of kinds, one list of 64-bit words and one text for a whole page of records. Crossing a component boundary costs
//! by the number of lists, not by their length, so a page of 200 records with 30 fields is three copies instead of 6,000 strings.
//! This crate is the one codec of both sides: `no_std`, no dependencies, no `unsafe`.
//!
//! Start at [`Builder`] to write and [`Batch::check`] to read: a batch that comes from the other side is untrusted until
//! [`Batch::check`] has passed, after which [`View`] reads cells without any further failure.
#![no_std]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What one cell holds. The numbers are part of the plugin contract (`wit/types.wit`) and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Not read; never to be taken for empty.
    Absent = 0,
    /// Null, an empty text, an empty list, or a CRM's own word for nothing.
    Empty = 1,
    /// Text.
    Text = 2,
    /// A whole number that fits 64 bits.
    Integer = 3,
    /// A decimal number in canonical text (`-12.5`), never a float.
    Decimal = 4,
    /// Yes or no.
    Boolean = 5,
    /// Days since 1970-01-01.
    Date = 6,
    /// Microseconds since 1970-01-01T00:00 as a clock on the wall shows them, without a zone.
    LocalDateTime = 7,
    /// Microseconds since midnight.
    Time = 8,
    /// Microseconds since 1970-01-01T00:00Z.
    Instant = 9,
    /// `Module/id`.
    Reference = 10,
    /// A JSON array of strings whose order means nothing.
    List = 11,
    /// A JSON array of objects (line items, participants).
    Rows = 12,
    /// Text that did not parse as its column's kind: kept and reported, never converted.
    Raw = 13,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub fn from_code(code: u8) -> Option<Kind> {
        Some(match code {
            0 => Kind::Absent,
            1 => Kind::Empty,
            2 => Kind::Text,
            3 => Kind::Integer,
            4 => Kind::Decimal,
            5 => Kind::Boolean,
            6 => Kind::Date,
            7 => Kind::LocalDateTime,
            8 => Kind::Time,
            9 => Kind::Instant,
            10 => Kind::Reference,
            11 => Kind::List,
            12 => Kind::Rows,
            13 => Kind::Raw,
            _ => return None,
        })
    }

    /// The number of this kind in the plugin contract.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether a cell of this kind keeps its value in the batch's text.
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Decimal | Kind::Reference | Kind::List | Kind::Rows | Kind::Raw)
    }
}

/// The value of one cell, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Not read.
    Absent,
    /// Empty.
    Empty,
    /// Text.
    Text(&'a str),
    /// Whole number.
    Integer(i64),
    /// Canonical decimal text.
    Decimal(&'a str),
    /// Yes or no.
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i64),
    /// Microseconds since 1970-01-01T00:00, no zone.
    LocalDateTime(i64),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00Z.
    Instant(i64),
    /// `Module/id`.
    Reference(&'a str),
    /// JSON array of strings.
    List(&'a str),
    /// JSON array of objects.
    Rows(&'a str),
    /// Text that did not parse.
    Raw(&'a str),
}

impl<'a> Cell<'a> {
    /// The kind of this value.
    pub fn kind(self) -> Kind {
        match self {
            Cell::Absent => Kind::Absent,
            Cell::Empty => Kind::Empty,
            Cell::Text(_) => Kind::Text,
            Cell::Integer(_) => Kind::Integer,
            Cell::Decimal(_) => Kind::Decimal,
            Cell::Boolean(_) => Kind::Boolean,
            Cell::Date(_) => Kind::Date,
            Cell::LocalDateTime(_) => Kind::LocalDateTime,
            Cell::Time(_) => Kind::Time,
            Cell::Instant(_) => Kind::Instant,
            Cell::Reference(_) => Kind::Reference,
            Cell::List(_) => Kind::List,
            Cell::Rows(_) => Kind::Rows,
            Cell::Raw(_) => Kind::Raw,
        }
    }

    /// The text of a text kind; none for the others.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Cell::Text(text)
            | Cell::Decimal(text)
            | Cell::Reference(text)
            | Cell::List(text)
            | Cell::Rows(text)
            | Cell::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// A text cell, or an empty one for an empty text: the contract knows no empty text.
    pub fn text_or_empty(text: &'a str) -> Cell<'a> {
        if text.is_empty() { Cell::Empty } else { Cell::Text(text) }
    }

    fn with_text(kind: Kind, text: &'a str) -> Cell<'a> {
        match kind {
            Kind::Decimal => Cell::Decimal(text),
            Kind::Reference => Cell::Reference(text),
            Kind::List => Cell::List(text),
            Kind::Rows => Cell::Rows(text),
            Kind::Raw => Cell::Raw(text),
            _ => Cell::Text(text),
        }
    }

    fn with_number(kind: Kind, bits: u64) -> Cell<'a> {
        let number = bits as i64;
        match kind {
            Kind::Empty => Cell::Empty,
            Kind::Integer => Cell::Integer(number),
            Kind::Boolean => Cell::Boolean(number != 0),
            Kind::Date => Cell::Date(number),
            Kind::LocalDateTime => Cell::LocalDateTime(number),
            Kind::Time => Cell::Time(number),
            Kind::Instant => Cell::Instant(number),
            _ => Cell::Absent,
        }
    }
}

/// A packed batch: the parts exactly as they cross the boundary. The number of columns is known to whoever named them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Number of records.
    pub rows: u32,
    /// Kind of each cell; cell (row, column) is at `row * columns + column`.
    pub kinds: Vec<u8>,
    /// Value bits of each cell, or `offset << 32 | length` into `text`.
    pub words: Vec<u64>,
    /// All text, UTF-8.
    pub text: Vec<u8>,
}

impl Batch {
    /// Checks everything that a reader relies on and gives a [`View`] that cannot fail any more.
    ///
    /// # Errors
    /// Names the first rule that the batch breaks: list lengths, an unknown kind, a text outside the batch, cut UTF-8, an empty text.
    pub fn check(&self, columns: usize) -> Result<View<'_>, Malformed> {
        let cells = (self.rows as usize).checked_mul(columns).ok_or(Malformed::Lengths)?;
        if self.kinds.len() != cells || self.words.len() != cells {
            return Err(Malformed::Lengths);
        }
        let text = core::str::from_utf8(&self.text).map_err(|_| Malformed::NotUtf8)?;
        for (index, (&code, &word)) in self.kinds.iter().zip(&self.words).enumerate() {
            let kind = Kind::from_code(code).ok_or(Malformed::UnknownKind { cell: index, code })?;
            if kind.is_text() {
                let (start, end) = span(word);
                if start == end || text.get(start..end).is_none() {
                    return Err(Malformed::TextOutside { cell: index });
                }
            }
        }
        Ok(View { rows: self.rows as usize, columns, kinds: &self.kinds, words: &self.words, text })
    }

    /// Checks the batch as [`Batch::check`] does and keeps it, so that it can be read many times for one check.
    ///
    /// # Errors
    /// As for [`Batch::check`].
    pub fn into_checked(self, columns: usize) -> Result<Checked, Malformed> {
        self.check(columns)?;
        let text = String::from_utf8(self.text).map_err(|_| Malformed::NotUtf8)?;
        Ok(Checked { rows: self.rows as usize, columns, kinds: self.kinds, words: self.words, text })
    }
}

/// A batch that has passed [`Batch::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    rows: usize,
    columns: usize,
    kinds: Vec<u8>,
    words: Vec<u64>,
    text: String,
}

impl Checked {
    /// The batch, for reading.
    pub fn view(&self) -> View<'_> {
        View { rows: self.rows, columns: self.columns, kinds: &self.kinds, words: &self.words, text: &self.text }
    }
}

/// A checked batch, for reading.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    rows: usize,
    columns: usize,
    kinds: &'a [u8],
    words: &'a [u64],
    text: &'a str,
}

impl<'a> View<'a> {
    /// Number of records.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One cell; absent if it lies outside.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'a> {
        if row >= self.rows || column >= self.columns {
            return Cell::Absent;
        }
        let index = row * self.columns + column;
        let Some(kind) = Kind::from_code(self.kinds[index]) else { return Cell::Absent };
        let word = self.words[index];
        if !kind.is_text() {
            return Cell::with_number(kind, word);
        }
        let (start, end) = span(word);
        Cell::with_text(kind, self.text.get(start..end).unwrap_or_default())
    }
}

/// Writes a batch cell by cell, row after row.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    columns: usize,
    kinds: Vec<u8>,
    words: Vec<u64>,
    text: Vec<u8>,
}

impl Builder {
    /// An empty batch of so many columns, with room for so many rows.
    pub fn new(columns: usize, rows: usize) -> Builder {
        let cells = columns * rows;
        Builder { columns, kinds: Vec::with_capacity(cells), words: Vec::with_capacity(cells), text: Vec::new() }
    }

    /// Appends the next cell. A text kind with no text becomes empty, because the contract knows no empty text; so does a text
    /// beyond 4 GiB, which no limit of the host lets through.
    pub fn push(&mut self, cell: Cell<'_>) {
        let (kind, word) = match cell {
            Cell::Absent | Cell::Empty => (cell.kind(), 0),
            Cell::Integer(n) | Cell::Date(n) | Cell::LocalDateTime(n) | Cell::Time(n) | Cell::Instant(n) => {
                (cell.kind(), n as u64)
            }
            Cell::Boolean(yes) => (Kind::Boolean, u64::from(yes)),
            Cell::Text(text)
            | Cell::Decimal(text)
            | Cell::Reference(text)
            | Cell::List(text)
            | Cell::Rows(text)
            | Cell::Raw(text) => self.keep(cell.kind(), text),
        };
        self.kinds.push(kind.code());
        self.words.push(word);
    }

    /// The finished batch. An unfinished last row is filled up with absent cells.
    pub fn finish(mut self) -> Batch {
        if self.columns > 0 {
            while !self.kinds.len().is_multiple_of(self.columns) {
                self.push(Cell::Absent);
            }
        }
        let rows = self.kinds.len().checked_div(self.columns).unwrap_or(0);
        Batch { rows: rows as u32, kinds: self.kinds, words: self.words, text: self.text }
    }

    fn keep(&mut self, kind: Kind, text: &str) -> (Kind, u64) {
        let (offset, length) = (self.text.len() as u64, text.len() as u64);
        if length == 0 || offset + length > u64::from(u32::MAX) {
            return (Kind::Empty, 0);
        }
        self.text.extend_from_slice(text.as_bytes());
        (kind, offset << 32 | length)
    }
}

/// Which rule a batch breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The lists do not have `rows * columns` entries.
    Lengths,
    /// The text is not UTF-8.
    NotUtf8,
    /// A kind that the contract does not know.
    UnknownKind {
        /// Index of the cell.
        cell: usize,
        /// Its kind.
        code: u8,
    },
    /// A text that is empty, outside the batch, or cuts a character.
    TextOutside {
        /// Index of the cell.
        cell: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Lengths => f.write_str("its lists do not have one entry for each cell"),
            Malformed::NotUtf8 => f.write_str("its text is not UTF-8"),
            Malformed::UnknownKind { cell, code } => write!(f, "cell {cell} has the unknown kind {code}"),
            Malformed::TextOutside { cell } => write!(f, "cell {cell} has an empty text or one outside the batch"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Brings a decimal's spelling to the canonical one (`+01.50` → `1.5`, `1e3` → `1000`), or gives none if it is not a number
/// or would need more than 64 digits.
pub fn canonical_decimal(source: &str) -> Option<String> {
    const DIGITS_MAX: usize = 64;
    let source = source.trim();
    let (negative, unsigned) = match source.as_bytes().first()? {
        b'-' => (true, &source[1..]),
        b'+' => (false, &source[1..]),
        _ => (false, source),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut digits: String = whole.chars().chain(fraction.chars()).collect();
    let mut point = i64::from(exponent) + whole.len() as i64;
    if point.unsigned_abs() as usize > DIGITS_MAX || digits.len() > DIGITS_MAX {
        return None;
    }
    // What has more digits when it is written out would be read as something else the next time.
    let zeros_before = if point <= 0 { point.unsigned_abs() as usize + 1 } else { 0 };
    if digits.len() + zeros_before > DIGITS_MAX {
        return None;
    }
    while point <= 0 {
        digits.insert(0, '0');
        point += 1;
    }
    while (digits.len() as i64) < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point as usize);
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let mut canonical = String::with_capacity(digits.len() + 2);
    if negative && (!whole.is_empty() || !fraction.is_empty()) {
        canonical.push('-');
    }
    canonical.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        canonical.push('.');
        canonical.push_str(fraction);
    }
    Some(canonical)
}

fn span(word: u64) -> (usize, usize) {
    let (offset, length) = (word >> 32, word & u64::from(u32::MAX));
    (offset as usize, (offset + length) as usize)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_kind_comes_back() {
        let cells = [
            Cell::Absent,
            Cell::Empty,
            Cell::Text("Åse 🙂"),
            Cell::Integer(-1),
            Cell::Decimal("12.5"),
            Cell::Boolean(true),
            Cell::Date(-365),
            Cell::LocalDateTime(1),
            Cell::Time(2),
            Cell::Instant(i64::MIN),
            Cell::Reference("Accounts/11x4"),
            Cell::List("[\"a\"]"),
            Cell::Rows("[{}]"),
            Cell::Raw("31-02-2020"),
        ];
        let mut builder = Builder::new(7, 2);
        cells.into_iter().for_each(|cell| builder.push(cell));
        let batch = builder.finish();
        let view = batch.check(7).expect("a batch from the builder is well formed");
        assert_eq!(view.rows(), 2);
        for (index, cell) in cells.into_iter().enumerate() {
            assert_eq!(view.cell(index / 7, index % 7), cell);
        }
        assert_eq!(view.cell(2, 0), Cell::Absent);
    }

    #[test]
    fn untrusted_batches_are_refused() {
        let good = Batch { rows: 1, kinds: vec![2], words: vec![2], text: "å".into() };
        assert!(good.check(1).is_ok());
        let check = |change: &dyn Fn(&mut Batch), columns: usize, broken: Malformed| {
            let mut batch = good.clone();
            change(&mut batch);
            assert_eq!(batch.check(columns).err(), Some(broken));
        };
        check(&|_| {}, 2, Malformed::Lengths);
        check(&|b| b.rows = u32::MAX, usize::MAX, Malformed::Lengths);
        check(&|b| b.kinds[0] = 99, 1, Malformed::UnknownKind { cell: 0, code: 99 });
        check(&|b| b.words[0] = 1, 1, Malformed::TextOutside { cell: 0 });
        check(&|b| b.words[0] = 3, 1, Malformed::TextOutside { cell: 0 });
        check(&|b| b.words[0] = u64::MAX, 1, Malformed::TextOutside { cell: 0 });
        check(&|b| b.words[0] = 0, 1, Malformed::TextOutside { cell: 0 });
        check(&|b| b.text = vec![0xff, 0xff], 1, Malformed::NotUtf8);
    }

    #[test]
    fn decimals_have_one_spelling() {
        let check = |source: &str, expected: Option<&str>| {
            assert_eq!(canonical_decimal(source).as_deref(), expected, "{source}")
        };
        check("1234567.89000000", Some("1234567.89"));
        check("+01.50", Some("1.5"));
        check("-0.00", Some("0"));
        check("-.5", Some("-0.5"));
        check("1e3", Some("1000"));
        check("12.5E-3", Some("0.0125"));
        check("100", Some("100"));
        check("1,000", None);
        check("", None);
        check(".", None);
        check("1e999", None);
        // As long as it may be, and one digit longer: a canonical spelling is read again as itself.
        let small = alloc::format!("0.{}1", "0".repeat(62));
        check("1e-63", Some(&small));
        check(&small, Some(&small));
        check("1e-64", None);
        check("12345e-64", None);
        check("NaN", None);
    }
}
