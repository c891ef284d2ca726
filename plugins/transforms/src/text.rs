//! Rules of spelling for any text. Both are stable: applied again they change nothing.

use std::borrow::Cow;

/// Removes white space at both ends; with `collapse`, also makes one blank of each run of white space within.
pub(crate) fn trim(text: &str, collapse: bool) -> Cow<'_, str> {
    let trimmed = text.trim();
    if collapse && !is_collapsed(trimmed) {
        return trimmed.split_whitespace().collect::<Vec<_>>().join(" ").into();
    }
    trimmed.into()
}

/// Removes white space at both ends and writes small letters.
pub(crate) fn email_lower(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    let lower = trimmed.to_lowercase();
    if lower == trimmed { trimmed.into() } else { lower.into() }
}

fn is_collapsed(trimmed: &str) -> bool {
    let mut after_blank = false;
    trimmed.chars().all(|char| {
        let fine = !char.is_whitespace() || (char == ' ' && !after_blank);
        after_blank = char == ' ';
        fine
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blanks_go() {
        assert_eq!(trim(" \u{a0}a  b\n", false), "a  b");
        assert_eq!(trim(" a \t\n b ", true), "a b");
        assert_eq!(trim(" \n ", true), "");
        assert_eq!(email_lower(" Åse@Example.COM "), "åse@example.com");
    }

    proptest! {
        #[test]
        fn both_are_stable(source in "[ \t\n\u{a0}a-cA-CΣİß]{0,12}|\\PC{0,12}") {
            for collapse in [false, true] {
                let once = trim(&source, collapse).into_owned();
                prop_assert_eq!(trim(&once, collapse), once.as_str());
            }
            let once = email_lower(&source).into_owned();
            prop_assert_eq!(email_lower(&once), once.as_str());
        }
    }
}
