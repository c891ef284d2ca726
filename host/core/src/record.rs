//! Sides, presence and faults: the words that every decision uses.

use serde::{Deserialize, Serialize};

/// One of the two ends of a flow. People see the connection's name instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first connection of the flow.
    Left,
    /// The second.
    Right,
}

impl Side {
    /// Both sides, left first.
    pub const BOTH: [Side; 2] = [Side::Left, Side::Right];

    /// The opposite side.
    pub fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    /// The word in the store and in machine output.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
        }
    }
}

/// Why a record left its CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalReason {
    /// Deleted by somebody; the CRM said so.
    Deleted,
    /// Merged into another record.
    Merged,
    /// Converted into records of other modules.
    Converted,
    /// Still there, but the login may not see it any more.
    NotVisible,
    /// Gone; the CRM does not tell why. Reported only after the checks of a sweep (rule 5).
    Unknown,
}

impl RemovalReason {
    /// The word in the contract, the store and machine output.
    pub fn as_str(self) -> &'static str {
        match self {
            RemovalReason::Deleted => "deleted",
            RemovalReason::Merged => "merged",
            RemovalReason::Converted => "converted",
            RemovalReason::NotVisible => "not-visible",
            RemovalReason::Unknown => "unknown",
        }
    }

    /// The reason with this word; an unknown word (a newer plugin's) is [`RemovalReason::Unknown`].
    pub fn parse(word: &str) -> RemovalReason {
        match word {
            "deleted" => RemovalReason::Deleted,
            "merged" => RemovalReason::Merged,
            "converted" => RemovalReason::Converted,
            "not-visible" => RemovalReason::NotVisible,
            _ => RemovalReason::Unknown,
        }
    }
}

/// How a record that is away had left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Away {
    /// Alone; the other side's record was kept.
    Kept(RemovalReason),
    /// With the other side's record, which came back alone.
    Both,
}

/// What is known of one side's record in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Read since the last decision: the shown values are current.
    Live,
    /// Not touched since the last decision: it still shows what it showed then.
    Unread,
    /// It left since the last decision, for this reason.
    Removed(RemovalReason),
    /// It had left before, and that was decided about.
    Away(Away),
    /// This side has no record.
    Missing,
}

/// A CRM's typed refusal, as it steers retries. The words of the plugin contract (`wit/types.wit`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A person has to log in again.
    LoggedOut,
    /// Wait so many milliseconds.
    RateLimited(u64),
    /// May work when tried again.
    Transient(String),
    /// The record is not there.
    Gone,
    /// The record was changed since the version that the write named; nothing was written.
    Changed,
    /// The CRM refuses this value or record.
    Rejected {
        /// The field, if the CRM named one.
        field: Option<String>,
        /// The CRM's code.
        code: String,
        /// The CRM's message.
        message: String,
    },
    /// A unique field holds the value already, in this record ("" if unknown).
    Duplicate(String),
    /// A new scan is needed.
    CursorExpired,
    /// The CRM cannot do this.
    Unsupported(String),
    /// The write may or may not have happened.
    UnknownOutcome(String),
    /// Anything else.
    Other {
        /// The CRM's code.
        code: String,
        /// The CRM's message.
        message: String,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::LoggedOut => f.write_str("the login does not work any more"),
            Fault::RateLimited(ms) => write!(f, "over the rate limit for {ms} ms"),
            Fault::Transient(why) => write!(f, "a passing fault: {why}"),
            Fault::Gone => f.write_str("the record is not there any more"),
            Fault::Changed => f.write_str("the record was changed meanwhile"),
            Fault::Rejected { field: Some(field), code, message } => {
                write!(f, "`{field}` was refused: {code}: {message}")
            }
            Fault::Rejected { field: None, code, message } => write!(f, "refused: {code}: {message}"),
            Fault::Duplicate(id) if id.is_empty() => f.write_str("another record holds a value that must be unique"),
            Fault::Duplicate(id) => write!(f, "record {id} holds a value that must be unique"),
            Fault::CursorExpired => f.write_str("the place in the stream of changes has expired"),
            Fault::Unsupported(what) => write!(f, "not supported: {what}"),
            Fault::UnknownOutcome(why) => write!(f, "it may or may not have happened: {why}"),
            Fault::Other { code, message } => write!(f, "{code}: {message}"),
        }
    }
}
