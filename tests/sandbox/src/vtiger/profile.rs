//! The peculiarities that a Vtiger sandbox can be started with.

use std::io;

/// What a profile switches. Written as words separated by commas, for example `plain,repaired` or `hidden=20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile {
    /// Contacts have a custom field for a connector's keys. `default` says yes, `plain` no; then `source` is the only
    /// marker.
    pub(super) custom_key: bool,
    /// `repaired`: `sync` and `logout` work, as on a server that was patched for PHP 8.
    pub(super) repaired: bool,
    /// `hidden=N`: so many percent of the records are unreadable for users who are not administrators.
    pub(super) hidden_percent: u64,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    ///
    /// An unknown word, with the words that there are.
    pub(super) fn parse(words: &str) -> io::Result<Self> {
        let mut profile = Self { custom_key: true, repaired: false, hidden_percent: 0 };
        for word in words.split(',').map(str::trim) {
            match word {
                "" | "default" => {}
                "plain" => profile.custom_key = false,
                "repaired" => profile.repaired = true,
                _ => profile.hidden_percent = hidden_percent(word).ok_or_else(|| unknown(word))?,
            }
        }
        Ok(profile)
    }
}

fn hidden_percent(word: &str) -> Option<u64> {
    word.strip_prefix("hidden=")?.parse().ok().filter(|percent| *percent <= 100)
}

fn unknown(word: &str) -> io::Error {
    let message =
        format!("read profile: `{word}` is not one of `default`, `plain`, `repaired`, `hidden=0` to `hidden=100`");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_add_up_and_unknown_ones_are_refused() {
        let profile = Profile::parse("plain, repaired,hidden=20").expect("the profile is valid");
        assert_eq!(profile, Profile { custom_key: false, repaired: true, hidden_percent: 20 });
        for wrong in ["cloud", "hidden=101", "hidden"] {
            let error = Profile::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong) && error.contains("`repaired`"), "{error}");
        }
    }
}
