//! Named sets of peculiarities of the Zoho server, and single settings on top of them.

use std::io;

use time::UtcOffset;

use super::when;

/// How this server differs from the plainest organization. Written as a name, then settings, separated by commas:
/// `default`, `plain`, or for example `plain,token_life_s=60,credits=500,concurrency=2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whether Contacts have the unique custom field `crmsync_key`; the profile `plain` has not.
    pub custom_key: bool,
    /// Seconds that an access token lives (`token_life_s`, 3,600).
    pub token_life_s: i64,
    /// API credits in any 24 hours (`credits`, 53,000: Enterprise with three users).
    pub credits: u64,
    /// Calls at one time (`concurrency`, 20: Enterprise).
    pub concurrency: u32,
    /// Heavy calls at one time (`sub_concurrency`, 10 in every edition).
    pub sub_concurrency: u32,
    /// How long a new value stays unknown to the search, in milliseconds (`search_lag_ms`, 3,000).
    pub search_lag_ms: i64,
    /// The zone of the acting user (`zone`, `+05:30`).
    pub zone: UtcOffset,
    /// How the metadata says that a field is unique (`unique`, `text`).
    pub unique: UniqueForm,
    /// Whether a page token stands for the number of records before it (`tokens=offset`) and not for the last of them
    /// (`tokens=place`). Zoho does not say; with a number, a record that moves to the end hides one from the walk.
    pub tokens_count: bool,
}

/// The ways in which Zoho's descriptions and answers say that no two records share a value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueForm {
    /// `{"casesensitive":"false"}`: `unique=text`.
    Text,
    /// `{"casesensitive":false}`: `unique=boolean`.
    Boolean,
    /// `{"casesensitive":null}`: `unique=null`.
    Null,
    /// `{"case_sensitive":false}`: `unique=underscore`.
    Underscore,
    /// `true`: `unique=bare`.
    Bare,
}

impl UniqueForm {
    fn parse(text: &str) -> Option<UniqueForm> {
        Some(match text {
            "text" => UniqueForm::Text,
            "boolean" => UniqueForm::Boolean,
            "null" => UniqueForm::Null,
            "underscore" => UniqueForm::Underscore,
            "bare" => UniqueForm::Bare,
            _ => return None,
        })
    }
}

impl Profile {
    /// Reads a profile as the command line spells it.
    ///
    /// # Errors
    /// If the name or a setting is unknown, or a value is not of its form.
    pub fn parse(text: &str) -> io::Result<Profile> {
        let mut parts = text.split(',').map(str::trim);
        let custom_key = match parts.next().unwrap_or_default() {
            "default" | "" => true,
            "plain" => false,
            name => return Err(unusable(format!("profile `{name}` is not one of `default`, `plain`"))),
        };
        let mut profile = Profile {
            custom_key,
            token_life_s: 3_600,
            credits: 53_000,
            concurrency: 20,
            sub_concurrency: 10,
            search_lag_ms: 3_000,
            zone: UtcOffset::from_hms(5, 30, 0).unwrap_or(UtcOffset::UTC),
            unique: UniqueForm::Text,
            tokens_count: false,
        };
        for part in parts {
            profile.set(part).ok_or_else(|| {
                unusable(format!(
                    "setting `{part}` of a profile is not `name=value` with one of token_life_s, credits, concurrency, \
                     sub_concurrency, search_lag_ms, zone, unique, tokens"
                ))
            })?;
        }
        Ok(profile)
    }

    fn set(&mut self, part: &str) -> Option<()> {
        let (name, value) = part.split_once('=')?;
        match name {
            "token_life_s" => self.token_life_s = value.parse().ok()?,
            "credits" => self.credits = value.parse().ok()?,
            "concurrency" => self.concurrency = value.parse().ok()?,
            "sub_concurrency" => self.sub_concurrency = value.parse().ok()?,
            "search_lag_ms" => self.search_lag_ms = value.parse().ok()?,
            "zone" => self.zone = when::parse_zone(value)?,
            "unique" => self.unique = UniqueForm::parse(value)?,
            "tokens" => {
                self.tokens_count = match value {
                    "place" => false,
                    "offset" => true,
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }
}

fn unusable(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_a_name_and_settings() {
        assert!(Profile::parse("default").expect("a profile").custom_key);
        let profile = Profile::parse("plain, credits=20, zone=-03:30").expect("a profile");
        assert_eq!((profile.custom_key, profile.credits, profile.zone.whole_minutes()), (false, 20, -210));
        for text in [
            "fancy",
            "plain,credits",
            "plain,credits=many",
            "plain,zone=5",
            "plain,unique=maybe",
            "plain,tokens=5",
            "plain,color=red",
        ] {
            assert!(Profile::parse(text).is_err(), "{text}");
        }
    }
}
