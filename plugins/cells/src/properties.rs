//! Batches as a hostile guest would pack them: each is refused, or can be read to its last cell.
//!
//! `PROPTEST_CASES=2000000 cargo test -p crmsync-cells properties` hunts further.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Batch, Builder, Cell, Kind, canonical_decimal};

/// A cell that owns its text.
#[derive(Clone, Debug)]
struct Owned(Kind, i64, String);

impl Owned {
    fn cell(&self) -> Cell<'_> {
        let Owned(kind, number, text) = self;
        if kind.is_text() { Cell::with_text(*kind, text) } else { Cell::with_number(*kind, *number as u64) }
    }

    /// What a reader is to see: the contract knows no empty text.
    fn expected(&self) -> Cell<'_> {
        match self.cell().text() {
            Some("") => Cell::Empty,
            _ => self.cell(),
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let text = prop_oneof![2 => "[a-z]{0,6}", 1 => "\\PC{0,4}", 1 => Just("😀é".to_string())];
    (0_u8..14, any::<i64>(), text)
        .prop_map(|(code, number, text)| Owned(Kind::from_code(code).expect("a kind of the contract"), number, text))
}

fn rows() -> impl Strategy<Value = (usize, Vec<Owned>)> {
    (1_usize..6, 0_usize..6).prop_flat_map(|(columns, rows)| (Just(columns), vec(owned(), columns * rows)))
}

fn pack(columns: usize, cells: &[Owned]) -> Batch {
    let mut builder = Builder::new(columns, 0);
    cells.iter().for_each(|cell| builder.push(cell.cell()));
    builder.finish()
}

/// A batch that mostly hangs together.
fn hostile() -> impl Strategy<Value = (usize, Batch)> {
    let text = prop_oneof![
        3 => "\\PC{0,12}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..12),
        1 => Just("aé漢😀".as_bytes().to_vec()),
    ];
    let spans = (0_u64..14, 0_u64..14).prop_map(|(offset, length)| offset << 32 | length);
    let edges = select([0, 1, u64::MAX, u64::MAX << 32, u64::from(u32::MAX), 1 << 32, 1 << 63].to_vec());
    let word = prop_oneof![4 => spans, 1 => any::<u64>(), 1 => edges];
    let shape = (0_usize..5, 0_u32..5, text);
    shape.prop_flat_map(move |(columns, rows, text)| {
        let cells = columns * rows as usize;
        let count = prop_oneof![8 => Just(cells), 1 => 0..cells + 2];
        let rows = prop_oneof![12 => Just(rows), 1 => any::<u32>()];
        let words = count.clone().prop_flat_map({
            let word = word.clone();
            move |count| vec(word.clone(), count)
        });
        let kinds = count.prop_flat_map(|count| vec(prop_oneof![20 => 0_u8..14, 1 => any::<u8>()], count));
        (Just(columns), rows, kinds, words, Just(text))
            .prop_map(|(columns, rows, kinds, words, text)| (columns, Batch { rows, kinds, words, text }))
    })
}

/// The rules of the contract, said once more and without any care for speed.
fn is_well_formed(batch: &Batch, columns: usize) -> bool {
    let cells = u128::from(batch.rows) * columns as u128;
    if batch.kinds.len() as u128 != cells || batch.words.len() as u128 != cells {
        return false;
    }
    let Ok(text) = String::from_utf8(batch.text.clone()) else { return false };
    let borders: Vec<u64> = text.char_indices().map(|(at, _)| at as u64).chain([text.len() as u64]).collect();
    batch.kinds.iter().zip(&batch.words).all(|(&code, &word)| {
        let (start, length) = (word >> 32, word & 0xffff_ffff);
        let has_text = [2, 4, 10, 11, 12, 13].contains(&code);
        code <= 13 && (!has_text || length > 0 && borders.contains(&start) && borders.contains(&(start + length)))
    })
}

/// Refused, or read whole.
fn holds(columns: usize, batch: &Batch) -> Result<(), TestCaseError> {
    let checked = batch.check(columns);
    prop_assert_eq!(checked.is_ok(), is_well_formed(batch, columns), "{:?}", checked);
    prop_assert_eq!(batch.clone().into_checked(columns).is_ok(), checked.is_ok());
    let Ok(view) = checked else { return Ok(()) };
    // Rows without columns cost nothing, so their number is not bound here.
    for row in 0..view.rows().min(8) {
        for column in 0..columns {
            let cell = view.cell(row, column);
            prop_assert_eq!(cell.kind().code(), batch.kinds[row * columns + column]);
            prop_assert!(cell.text() != Some(""));
        }
        prop_assert_eq!(view.cell(row, columns), Cell::Absent);
    }
    prop_assert_eq!(view.cell(view.rows(), 0), Cell::Absent);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_comes_back((columns, cells) in rows()) {
        let batch = pack(columns, &cells);
        let view = batch.check(columns).expect("the builder packs by the rules");
        prop_assert_eq!(view.rows() * columns, cells.len());
        for (index, cell) in cells.iter().enumerate() {
            prop_assert_eq!(view.cell(index / columns, index % columns), cell.expected());
        }
    }

    #[test]
    fn hostile_batches_are_refused_or_read((columns, batch) in hostile()) {
        holds(columns, &batch)?;
    }

    #[test]
    fn good_batches_with_a_flaw_are_refused_or_read(
        (columns, cells) in rows(),
        flaws in vec((0_u8..8, any::<Index>(), any::<u64>()), 1..4),
        asked in 0_usize..7,
    ) {
        let mut batch = pack(columns, &cells);
        for (place, at, bits) in flaws {
            let Batch { rows, kinds, words, text } = &mut batch;
            match place {
                0 => *rows = bits as u32,
                1 => kinds.push(bits as u8),
                2 => drop(words.pop()),
                3 if !kinds.is_empty() => *at.get_mut(kinds) = bits as u8 % 20,
                4 if !words.is_empty() => *at.get_mut(words) ^= 1 << (bits % 64),
                5 if !text.is_empty() => *at.get_mut(text) = bits as u8,
                6 => drop(text.pop()),
                _ => text.insert(at.index(text.len() + 1), bits as u8),
            }
        }
        holds(columns, &batch)?;
        holds(asked, &batch)?;
    }

    #[test]
    fn decimals_have_one_spelling(
        sign in select(["", "-", "+"].to_vec()),
        whole in "[0-9]{0,40}",
        fraction in "(\\.[0-9]{0,40})?",
        exponent in prop_oneof![Just(None), (-20_i32..20).prop_map(Some), (-80_i32..80).prop_map(Some)],
        blanks in any::<bool>(),
    ) {
        let written = match exponent {
            Some(exponent) => alloc::format!("{sign}{whole}{fraction}e{exponent}"),
            None => alloc::format!("{sign}{whole}{fraction}"),
        };
        let spelled = canonical_decimal(&if blanks { alloc::format!(" {written}\t") } else { written.clone() });
        let digits = whole.len() + fraction.len().saturating_sub(1);
        if digits == 0 || digits <= 20 && exponent.unwrap_or(0).abs() <= 20 {
            prop_assert_eq!(spelled.is_some(), digits > 0, "{}", written);
        }
        let Some(spelled) = spelled else { return Ok(()) };
        prop_assert_eq!(canonical_decimal(&spelled), Some(spelled.clone()), "it is canonical already");
        prop_assert!(spelled.bytes().filter(u8::is_ascii_digit).count() <= 64, "{} → {}", written, spelled);
        let plain = spelled.trim_start_matches('-');
        prop_assert!(plain == "0" || !plain.starts_with('0') || plain.starts_with("0."), "{}", spelled);
        prop_assert!(!spelled.contains('.') || !spelled.ends_with(['0', '.']), "{}", spelled);
        prop_assert_ne!(spelled.as_str(), "-0");
        // Numbers of a few digits are compared as numbers, too.
        if digits <= 15 && exponent.unwrap_or(0).abs() <= 6 {
            let (written, spelled): (f64, f64) = (written.parse().expect("a number"), spelled.parse().expect("a number"));
            prop_assert!((written - spelled).abs() <= written.abs() * 1e-12, "{} {}", written, spelled);
        }
    }

    #[test]
    fn nothing_is_taken_for_a_decimal_that_is_none(text in "\\PC{0,12}") {
        if let Some(spelled) = canonical_decimal(&text) {
            prop_assert!(spelled.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'.'), "{} → {}", text, spelled);
        }
    }
}
