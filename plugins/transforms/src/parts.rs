//! Several fields in one text.
//!
//! `split` is exact: whatever it cuts without a complaint, `join` with the same separator puts together again. `join` is not, because
//! it leaves empty parts out and its parts may contain the separator.

use serde::Deserialize;

/// Complaint about a text with two separators side by side, or one at an end.
const EMPTY_PART: &str = "empty-part";

/// Settings of `join`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    #[serde(default = "blank")]
    separator: String,
}

/// Settings of `split`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Split {
    separator: String,
}

impl Join {
    /// The parts with the separator between them; empty parts are left out by the caller, who knows which ones are.
    pub(crate) fn apply(&self, parts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
        let mut joined = String::new();
        for part in parts {
            if !joined.is_empty() {
                joined.push_str(&self.separator);
            }
            joined.push_str(part.as_ref());
        }
        joined
    }
}

impl Split {
    /// Settings that can be used.
    pub(crate) fn new(split: Split) -> Result<Split, String> {
        if split.separator.is_empty() {
            return Err("the separator of `split` is empty".to_owned());
        }
        Ok(split)
    }

    /// At most so many parts, the last with what remains.
    pub(crate) fn apply(&self, text: &str, parts_max: usize) -> Result<Vec<String>, &'static str> {
        let parts: Vec<String> = text.splitn(parts_max, &self.separator).map(str::to_owned).collect();
        if parts.iter().any(String::is_empty) { Err(EMPTY_PART) } else { Ok(parts) }
    }
}

fn blank() -> String {
    " ".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_part_takes_the_rest() {
        let split = Split { separator: ", ".to_owned() };
        assert_eq!(split.apply("a, b, c", 2), Ok(vec!["a".to_owned(), "b, c".to_owned()]));
        assert_eq!(split.apply("a", 3), Ok(vec!["a".to_owned()]));
        assert_eq!(split.apply("a, , c", 3), Err(EMPTY_PART));
        assert_eq!(split.apply(", b", 2), Err(EMPTY_PART));
    }

    proptest! {
        #[test]
        fn join_undoes_split(text in "[a-c ,]{1,12}", separator in "[ ,]{1,2}", parts_max in 1_usize..5) {
            let split = Split { separator: separator.clone() };
            if let Ok(parts) = split.apply(&text, parts_max) {
                prop_assert_eq!(Join { separator }.apply(&parts), text);
            }
        }
    }
}
