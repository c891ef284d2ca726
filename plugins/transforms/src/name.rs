//! Names of people.

use std::borrow::Cow;

use crate::text;

/// Where a part of a name ends, so that the next one begins with a capital: blanks, hyphens and apostrophes.
const PART_ENDS: [char; 5] = [' ', '-', '\u{2010}', '\'', '\u{2019}'];

/// Removes surplus blanks; a name that is wholly in capitals or wholly in small letters gets a capital at each part. A name that
/// mixes them (`McDonald`, `van der Berg`) was written with care and keeps its spelling. Stable: applied again it changes nothing.
pub(crate) fn person_name(source: &str) -> Cow<'_, str> {
    let trimmed = text::trim(source, true);
    let has_upper = trimmed.chars().any(char::is_uppercase);
    let has_lower = trimmed.chars().any(char::is_lowercase);
    if has_upper == has_lower {
        return trimmed;
    }
    let spelled: String = trimmed.split_inclusive(PART_ENDS).map(capitalised).collect();
    if spelled == trimmed { trimmed } else { spelled.into() }
}

fn capitalised(part: &str) -> String {
    let mut capitalised = String::with_capacity(part.len());
    let lower = part.to_lowercase();
    let Some(first) = part.chars().next() else { return lower };
    if first.is_uppercase() {
        // Kept as it is, because lowering and raising it again may change it (`İ`).
        let lowered: usize = first.to_lowercase().map(char::len_utf8).sum();
        capitalised.push(first);
        capitalised.push_str(lower.get(lowered..).unwrap_or_default());
        return capitalised;
    }
    // `ß` becomes `SS` in capitals, but `Ss` at the start of a word.
    let mut rest = lower.chars();
    if let Some(first) = rest.next() {
        let mut upper = first.to_uppercase();
        capitalised.extend(upper.next());
        capitalised.extend(upper.flat_map(char::to_lowercase));
    }
    capitalised.push_str(rest.as_str());
    capitalised
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_spelled() {
        let check = |source: &str, spelled: &str| assert_eq!(person_name(source), spelled, "{source}");
        check("  anna   maria ", "Anna Maria");
        check("JEAN-LUC", "Jean-Luc");
        check("o'neil", "O'Neil");
        check("D’ANGELO", "D’Angelo");
        check("McDonald", "McDonald");
        check("van der Berg", "van der Berg");
        check("ÅSE ØDEGÅRD", "Åse Ødegård");
        check("łukasz żółć", "Łukasz Żółć");
        check("ΟΔΥΣΣΕΥΣ", "Οδυσσευς");
        check("İSTEMİ", "İstemi\u{307}");
        check("ßtrange", "Sstrange");
        check("李小龍", "李小龍");
        check("x", "X");
        check("", "");
    }

    proptest! {
        #[test]
        fn spelling_is_stable(source in "[ '’a-cA-CΣσßİıŉǆ-]{0,10}|\\PC{0,12}") {
            let once = person_name(&source).into_owned();
            prop_assert_eq!(person_name(&once), once.as_str());
        }
    }
}
