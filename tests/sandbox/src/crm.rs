//! What both sandbox CRMs have in common: a state that answers one request at a time, and people who edit it.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::faults::Faults;
use crate::history::{CallKind, History};
use crate::http::{Answer, Request};

/// The parts of a server that do not depend on which CRM it plays.
#[derive(Debug, Default)]
pub struct Shared {
    /// Every change and every call.
    pub history: History,
    /// The scripted faults.
    pub faults: Faults,
    /// The server's time.
    pub clock: Clock,
}

/// What the fault plan and the list of calls need to know of a request.
#[derive(Debug, Clone)]
pub struct CallInfo {
    /// What the call is for.
    pub kind: CallKind,
    /// Path with query, secrets masked. A CRM that keeps the operation in the body adds it here as if it were in the
    /// query, so that a plan can name it.
    pub shown: String,
}

/// How a scripted fault bends what a list shows. The CRM applies it to its record lists and ignores it elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// Records that changed within the last so many milliseconds are missing.
    Stale {
        /// The lag in milliseconds.
        lag_ms: i64,
    },
    /// Each row of the page comes twice.
    Duplicate,
    /// There is nothing.
    Empty,
    /// The page ends early, and says that nothing comes behind it.
    Cut {
        /// Rows that it still shows.
        rows: usize,
    },
}

/// What the user sees with whom programs log in. An administrator sees everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Whether the user is an administrator.
    pub administrator: bool,
    /// So many percent of all records are hidden from users who are none.
    #[serde(default)]
    pub hidden_percent: u64,
}

impl Rights {
    /// Whether the user sees the record of this number. A multiplier without factors of 100 spreads neighbouring numbers over the
    /// percents.
    pub fn show(self, number: u64) -> bool {
        self.administrator || number.wrapping_mul(61) % 100 >= self.hidden_percent
    }
}

/// What an administrator changes about a field; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldRule {
    /// Users may look at it and not change it: what a program sends is ignored without a word.
    pub read_only: Option<bool>,
    /// Characters that it takes.
    pub chars_max: Option<usize>,
    /// No two records may have the same value in it; looked at from now on.
    pub unique: Option<bool>,
}

/// A user as an administrator enters one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRule {
    /// First and last name.
    pub name: String,
    /// E-mail address; two users may have the same one.
    pub email: String,
    /// May log in and be given records.
    #[serde(default = "yes")]
    pub active: bool,
}

fn yes() -> bool {
    true
}

/// One simulated CRM. Its methods are synchronous: a call is one step of its state under its own lock.
pub trait Crm: Send + Sync + 'static {
    /// `zoho` or `vtiger`.
    fn name(&self) -> &'static str;

    /// History, faults and clock.
    fn shared(&self) -> &Shared;

    /// What a person needs to log in, for the line that the server prints when it is ready.
    fn login(&self) -> Value;

    /// What kind of call this is and how it is shown.
    fn classify(&self, request: &Request) -> CallInfo;

    /// Carries the call out and answers it.
    fn handle(&self, request: &Request, twist: Option<Twist>) -> Answer;

    /// Calls with the same key are handled one after the other, as PHP does with the calls of one session.
    fn serial_key(&self, _request: &Request) -> Option<String> {
        None
    }

    /// Counts a call in before it is handled; an answer here refuses it, and then [`Crm::leave`] is not called.
    fn enter(&self, _request: &Request) -> Result<(), Answer> {
        Ok(())
    }

    /// Counts a call out after its answer is ready.
    fn leave(&self, _request: &Request) {}

    /// The modules that hold records, in the order of the summary.
    fn modules(&self) -> Vec<&'static str>;

    /// All live records of a module in the CRM's own JSON form, by id; `None` for an unknown module.
    fn records(&self, module: &str) -> Option<Vec<Value>>;

    /// How many live records a module has; 0 for an unknown one.
    fn record_count(&self, module: &str) -> usize {
        self.records(module).map_or(0, |records| records.len())
    }

    /// Creates a record as a person at the screen and returns it.
    ///
    /// # Errors
    /// What the screen would say; nothing is changed then.
    fn person_create(&self, module: &str, set: &Map<String, Value>) -> Result<Value, String>;

    /// Changes a record as a person at the screen and returns it.
    ///
    /// # Errors
    /// What the screen would say; nothing is changed then.
    fn person_edit(&self, module: &str, id: &str, set: &Map<String, Value>) -> Result<Value, String>;

    /// Deletes a record as a person at the screen and returns it as it was.
    ///
    /// # Errors
    /// What the screen would say; nothing is changed then.
    fn person_delete(&self, module: &str, id: &str) -> Result<Value, String>;

    /// Takes a record from the recycle bin as a person at the screen and returns it, under its old id. What pointed to it stays empty.
    ///
    /// # Errors
    /// It is not in the bin, or what the screen would say; nothing is changed then.
    fn person_restore(&self, module: &str, id: &str) -> Result<Value, String>;

    /// Converts a lead as a person at the screen: an organization of the lead's company, unless there is one of that name, and a
    /// contact at it are made, and the lead is not among the leads any more. Gives the new ids as `{"Accounts": …, "Contacts": …}`; the
    /// first is null for a lead without a company.
    ///
    /// # Errors
    /// What the screen would say; nothing is changed then.
    fn person_convert(&self, lead: &str) -> Result<Value, String>;

    /// Merges one record into another of its module as a person at the screen, and returns the survivor: blanks of the survivor are filled,
    /// what pointed to the other record points to the survivor, and the other record is gone.
    ///
    /// # Errors
    /// What the screen would say; nothing is changed then.
    fn person_merge(&self, module: &str, id: &str, into: &str) -> Result<Value, String>;

    /// Changes a field in the CRM's settings as its administrator does. Values that are there stay as they are.
    ///
    /// # Errors
    /// There is no such module or field.
    fn set_field(&self, module: &str, field: &str, rule: &FieldRule) -> Result<(), String>;

    /// Adds a user as the CRM's administrator does, or changes the one of this name. Gives the user's id.
    ///
    /// # Errors
    /// What the screen would say.
    fn set_user(&self, user: &UserRule) -> Result<String, String>;

    /// Somebody changes what the programs' user sees, without telling anybody.
    fn grant(&self, rights: Rights);

    /// Makes all access tokens or sessions invalid, as an administrator or a restart would.
    fn expire_sessions(&self);
}
