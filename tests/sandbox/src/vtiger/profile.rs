//! The peculiarities that a Vtiger sandbox can be started with.

use std::io;

/// What a profile switches. Written as words separated by commas, for example `plain,repaired` or `hidden=20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile {
    /// Contacts have a custom field for a connector's keys. `default` says yes, `plain` no; then `source` is the only
    /// marker.
    pub(super) custom_key: bool,
    /// `keyless`: as `plain`, and no module has `source`, which older releases do not know: nothing can hold a connector's keys.
    pub(super) source: bool,
    /// `repaired`: `sync` and `logout` work, as on a server that was patched for PHP 8.
    pub(super) repaired: bool,
    /// `own_sync`: as `repaired`, but the parameter `syncType` is not registered, as no open source release does: `sync` lists the
    /// caller's own records only, whatever it is asked for.
    pub(super) own_sync: bool,
    /// `hidden=N`: so many percent of the records are unreadable for users who are not administrators.
    pub(super) hidden_percent: u64,
    /// `view_only`: users who are not administrators may read records, but neither change nor delete them.
    pub(super) view_only: bool,
    /// `db_zone=-05:00`: the zone of the database, in which all times are written. UTC by default.
    pub(super) db_zone_s: i64,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    ///
    /// An unknown word, with the words that there are.
    pub(super) fn parse(words: &str) -> io::Result<Self> {
        let mut profile = Self {
            custom_key: true,
            source: true,
            repaired: false,
            own_sync: false,
            hidden_percent: 0,
            view_only: false,
            db_zone_s: 0,
        };
        for word in words.split(',').map(str::trim) {
            match word {
                "" | "default" => {}
                "plain" => profile.custom_key = false,
                "keyless" => (profile.custom_key, profile.source) = (false, false),
                "repaired" => profile.repaired = true,
                "own_sync" => (profile.repaired, profile.own_sync) = (true, true),
                "view_only" => profile.view_only = true,
                _ => profile.set(word).ok_or_else(|| unknown(word))?,
            }
        }
        Ok(profile)
    }

    fn set(&mut self, word: &str) -> Option<()> {
        match word.split_once('=')? {
            ("hidden", percent) => {
                self.hidden_percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
            }
            ("db_zone", offset) => self.db_zone_s = seconds_ahead(offset)?,
            _ => return None,
        }
        Some(())
    }
}

/// How far a zone such as `-05:00` is ahead of UTC, in seconds.
fn seconds_ahead(offset: &str) -> Option<i64> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 14 && minutes < 60).then(|| sign * i64::from(hours * 3_600 + minutes * 60))
}

fn unknown(word: &str) -> io::Error {
    let message = format!(
        "read profile: `{word}` is not one of `default`, `plain`, `keyless`, `repaired`, `own_sync`, `view_only`, `hidden=0` to \
             `hidden=100`, `db_zone=-05:00`"
    );
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_add_up_and_unknown_ones_are_refused() {
        let profile =
            Profile::parse("plain, repaired,hidden=20,view_only,db_zone=-03:30").expect("the profile is valid");
        assert_eq!(
            profile,
            Profile {
                custom_key: false,
                source: true,
                repaired: true,
                own_sync: false,
                hidden_percent: 20,
                view_only: true,
                db_zone_s: -12_600
            }
        );
        let keyless = Profile::parse("keyless").expect("the profile is valid");
        assert_eq!((keyless.custom_key, keyless.source), (false, false));
        let own_sync = Profile::parse("own_sync").expect("the profile is valid");
        assert_eq!((own_sync.repaired, own_sync.own_sync), (true, true));
        for wrong in ["cloud", "hidden=101", "hidden", "db_zone=5", "db_zone=+15:00"] {
            let error = Profile::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong) && error.contains("`repaired`"), "{error}");
        }
    }
}
