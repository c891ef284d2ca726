//! One value in many spellings: capitals, blanks, phone numbers as people type them.

use super::Side;
use super::fields::Kind;
use crate::rng::Rng;

/// The same value in another spelling that means the same.
pub(super) fn respell(rng: &mut Rng, kind: Kind, side: Side, value: String) -> String {
    match kind {
        Kind::Name => respell_name(rng, value),
        Kind::Label => respell_label(rng, side, value),
        Kind::Website => match rng.below(4) {
            0 => value.replacen("https://", "http://www.", 1),
            1 => format!("{value}/"),
            2 => value.replacen("https://", "", 1),
            _ => value,
        },
        Kind::Email => match rng.below(100) {
            0..8 => capitalised_email(&value),
            8..11 => value.to_uppercase(),
            // Zoho checks the form of an address, so only Vtiger can hold blanks around one.
            11..15 if side == Side::Vtiger => format!(" {value} "),
            _ => value,
        },
        Kind::Phone => respell_phone(rng, &value),
        Kind::Trimmed if rng.chance(3) => format!("{value} "),
        _ => value,
    }
}

fn respell_name(rng: &mut Rng, value: String) -> String {
    // Some letters do not survive a change of case and back, and a person would not type them in capitals either.
    let case_survives = value.to_uppercase().to_lowercase() == value.to_lowercase();
    match rng.below(100) {
        0..5 if case_survives => value.to_uppercase(),
        5..9 if case_survives => value.to_lowercase(),
        9..12 => format!(" {value} "),
        12..14 => value.replace(' ', "  "),
        _ => value,
    }
}

/// Zoho trims, so only Vtiger can hold blanks around a name.
fn respell_label(rng: &mut Rng, side: Side, value: String) -> String {
    match rng.below(100) {
        0..5 if value.to_uppercase().to_lowercase() == value.to_lowercase() => value.to_uppercase(),
        5..8 if side == Side::Vtiger => format!(" {value} "),
        8..12 => value.replacen(' ', "  ", 1),
        _ => value,
    }
}

fn capitalised_email(value: &str) -> String {
    let mut chars = value.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// One of five ways to write one number; all keep the country code, without which a number is another number.
fn respell_phone(rng: &mut Rng, value: &str) -> String {
    let (number, extension) = value.split_once('x').map_or((value, None), |(number, rest)| (number, Some(rest)));
    let digits = number.trim_start_matches('+');
    let (country, rest) = digits.split_at(digits.len().saturating_sub(8));
    let (head, tail) = rest.split_at(rest.len().min(3));
    let spelled = match rng.below(6) {
        0 => format!("+{country} {head} {tail}"),
        1 => format!("00{country} {head}-{tail}"),
        2 => format!("+{country} ({head}) {tail}"),
        3 => format!("+{country}.{head}.{tail}"),
        4 => format!("00{digits}"),
        _ => number.to_owned(),
    };
    match extension {
        Some(extension) if rng.chance(50) => format!("{spelled} ext. {extension}"),
        Some(extension) => format!("{spelled} x{extension}"),
        None => spelled,
    }
}
