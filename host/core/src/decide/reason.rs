//! Stable codes of why something was left out, waits or needs a person. Never renamed: people script against them.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*
        /// All codes.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

reasons! {
    /// Several records on one side have the same match key.
    MORE_THAN_ONE_MATCH = "more-than-one-match";
    /// One record on each side has the same match key, but the names contradict.
    MATCH_IN_DOUBT = "match-in-doubt";
    /// Last changed before the flow's start date.
    BEFORE_START_DATE = "before-start-date";
    /// The module's filter does not mean this record.
    OUTSIDE_FILTER = "outside-filter";
    /// The module's filter does not mean this linked record any more: it is not updated until it does again.
    LEFT_FILTER = "left-filter";
    /// A field that the other side demands has no value.
    MANDATORY_MISSING = "mandatory-missing";
    /// A field that the other side demands was emptied.
    MANDATORY_EMPTIED = "mandatory-emptied";
    /// Longer than the other side's field keeps.
    TOO_LONG = "too-long";
    /// The other side's field cannot be written.
    READ_ONLY = "read-only";
    /// Text that did not parse as its field's kind.
    DID_NOT_PARSE = "did-not-parse";
    /// A picklist value without a counterpart in the table.
    NO_COUNTERPART_VALUE = "no-counterpart-value";
    /// A transform broke on this record.
    TRANSFORM_FAILED = "transform-failed";
    /// The referenced record has no counterpart on the other side (yet).
    REFERENCE_NOT_LINKED = "reference-not-linked";
    /// The owner has no active counterpart on the other side.
    OWNER_UNKNOWN = "owner-unknown";
    /// Matched records showed different values before the first sync; both were left as they are.
    DIFFERS = "differs";
    /// Matched records showed different values before the first sync; a person decides.
    DIFFERS_ASK = "differs-ask";
    /// Both sides changed the field, both stay as they are, and a person decides.
    BOTH_CHANGED_ASK = "both-changed-ask";
    /// The record was not there when it was to be written, and whether it was removed is not known yet.
    NOT_FOUND = "not-found";
    /// One side's record left; the other side's was kept.
    REMOVED = "removed";
    /// Our key in a second record: a create that was repeated had happened after all.
    LATE_TWIN = "late-twin";
    /// A create led to a record that is linked to another one.
    ALREADY_LINKED = "already-linked";
    /// One side's record left while the other side's was edited.
    DELETE_AGAINST_EDIT = "delete-against-edit";
    /// Both records had left, and one of them came back alone.
    RESTORED_ALONE = "restored-alone";
    /// More records left than the safety stop lets go without consent.
    SAFETY_STOP = "safety-stop";
    /// One side's lead was converted; the other one gets no more updates.
    CONVERTED = "converted";
    /// One side's record was merged into another.
    MERGED = "merged";
    /// A person said that the record is not synced.
    LEFT_ALONE = "left-alone";
    /// A person took back what was written; both sides differ since.
    UNDONE = "undone";
    /// Records do not travel this way in this module.
    ONE_WAY = "one-way";
    /// The CRM refused the write.
    REFUSED = "refused-by-crm";
    /// A unique field of the CRM holds the value already.
    DUPLICATE_VALUE = "duplicate-value";
    /// A create may have happened twice or not at all, and the CRM cannot tell.
    OUTCOME_UNKNOWN = "outcome-unknown";
    /// The write was tried as often as allowed.
    ATTEMPTS_USED_UP = "attempts-used-up";
}

/// Whether a row that is left out for this reason is a question to a person: both sides keep what they have, and nothing is owed.
pub fn is_question(reason: &str) -> bool {
    matches!(reason, DIFFERS_ASK | BOTH_CHANGED_ASK)
}
