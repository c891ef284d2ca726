//! What each reason code means and what to do about it, for people. Every code has an entry. `tests/suite/reasons`
//! does literally what each entry says, and sees that the record is in step then.

use crmsync_core::decide::reason;

/// What a person can say to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerWord {
    /// `link ID`.
    Link,
    /// `new`.
    New,
    /// `leave-alone`.
    LeaveAlone,
    /// `take CONNECTION`.
    Take,
    /// `keep`.
    Keep,
    /// `again`.
    Again,
    /// `restore`.
    Restore,
    /// `delete`.
    Delete,
}

impl AnswerWord {
    /// All of them.
    pub const ALL: [AnswerWord; 8] = [
        AnswerWord::Link,
        AnswerWord::New,
        AnswerWord::LeaveAlone,
        AnswerWord::Take,
        AnswerWord::Keep,
        AnswerWord::Again,
        AnswerWord::Restore,
        AnswerWord::Delete,
    ];

    /// The answer that is typed so.
    pub fn parse(word: &str) -> Option<AnswerWord> {
        AnswerWord::ALL.into_iter().find(|answer| answer.as_str() == word)
    }

    /// As it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            AnswerWord::Link => "link",
            AnswerWord::New => "new",
            AnswerWord::LeaveAlone => "leave-alone",
            AnswerWord::Take => "take",
            AnswerWord::Keep => "keep",
            AnswerWord::Again => "again",
            AnswerWord::Restore => "restore",
            AnswerWord::Delete => "delete",
        }
    }
}

/// What to know about one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guide {
    /// The code.
    pub reason: &'static str,
    /// What happened, as a sentence.
    pub meaning: &'static str,
    /// What to do, as a sentence.
    pub fix: &'static str,
    /// Answers that fit.
    pub answers: &'static [AnswerWord],
}

const NONE: &[AnswerWord] = &[];

const GUIDES: &[Guide] = &[
    Guide {
        reason: reason::MORE_THAN_ONE_MATCH,
        meaning: "several records have the same match key, and nobody can tell which is which",
        fix: "say which is which with `link ID`, or `new` if it has no counterpart; or make the keys differ in the CRM",
        answers: &[AnswerWord::Link, AnswerWord::New, AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::MATCH_IN_DOUBT,
        meaning: "one record on each side has the same match key, but their names contradict: perhaps two people share an address",
        fix: "say `link ID` if they are one person, `new` if they are two; or make the names agree in a CRM",
        answers: &[AnswerWord::Link, AnswerWord::New, AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::BEFORE_START_DATE,
        meaning: "the record was last changed before the flow's start date; it is known, and neither created nor changed",
        fix: "nothing: it joins when it is edited, or when a synced record points to it; or set an earlier `records_from` and approve its preview",
        answers: NONE,
    },
    Guide {
        reason: reason::OUTSIDE_FILTER,
        meaning: "the module's filter does not mean this record",
        fix: "nothing: it joins when the filter means it; or change `filter` in the flow file and approve its preview",
        answers: NONE,
    },
    Guide {
        reason: reason::LEFT_FILTER,
        meaning: "the module's filter does not mean this linked record any more; it gets no updates, and what `when_it_leaves` says is done",
        fix: "nothing: what was edited meanwhile travels when the filter means it again; or change `filter` in the flow file and approve its preview",
        answers: NONE,
    },
    Guide {
        reason: reason::MANDATORY_MISSING,
        meaning: "the other CRM demands a field that has no value",
        fix: "fill the field in the CRM; the next run creates the record",
        answers: &[AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::MANDATORY_EMPTIED,
        meaning: "a field was emptied that the other CRM demands; the other side keeps its value",
        fix: "fill the field in the CRM again",
        answers: NONE,
    },
    Guide {
        reason: reason::TOO_LONG,
        meaning: "the value is longer than the other side's field keeps; the rest of the record was synced",
        fix: "shorten the value, or make the field of the other CRM longer and `attention retry`",
        answers: NONE,
    },
    Guide {
        reason: reason::READ_ONLY,
        meaning: "the other CRM does not let this login write the field; the rest of the record was synced",
        fix: "give the login write access to the field and `attention retry`, or `skip` the field in the flow file and approve its preview",
        answers: NONE,
    },
    Guide {
        reason: reason::DID_NOT_PARSE,
        meaning: "the value is none of its field's kind",
        fix: "correct the value in the CRM",
        answers: NONE,
    },
    Guide {
        reason: reason::NO_COUNTERPART_VALUE,
        meaning: "the picklist value has no counterpart in the value table; the rest of the record was synced",
        fix: "add the value to `values` of the field in the flow file, apply it, and approve its preview",
        answers: NONE,
    },
    Guide {
        reason: reason::TRANSFORM_FAILED,
        meaning: "the transform of this field broke on this record; the rest of the record was synced",
        fix: "correct the value in the CRM, or use another transform in the flow file, apply it, and approve its preview",
        answers: NONE,
    },
    Guide {
        reason: reason::REFERENCE_NOT_LINKED,
        meaning: "the record that it points to has no counterpart on the other side yet",
        fix: "nothing if that record will be synced: it fills in by itself; else sync its module, or link it by hand",
        answers: NONE,
    },
    Guide {
        reason: reason::OWNER_UNKNOWN,
        meaning: "the owner is no active user of the other CRM, or two users there share the address; the owner there stays as it is",
        fix: "see that exactly one user there has the owner's e-mail address, or add a line to `[owners.table]` of the flow file and approve its preview; then `attention retry`",
        answers: NONE,
    },
    Guide {
        reason: reason::DIFFERS,
        meaning: "both sides had different values when they were matched; both were left as they are",
        fix: "choose a side with `take CONNECTION`, or `keep` both; or edit one of them",
        answers: &[AnswerWord::Take, AnswerWord::Keep],
    },
    Guide {
        reason: reason::UNDONE,
        meaning: "somebody took back what was written here; both sides differ since",
        fix: "choose a side with `take CONNECTION`, or `keep` both; or edit one of them",
        answers: &[AnswerWord::Take, AnswerWord::Keep],
    },
    Guide {
        reason: reason::DIFFERS_ASK,
        meaning: "both sides have different values, and the flow says that a person decides",
        fix: "choose a side with `take CONNECTION`, or `keep` both; or edit one of them",
        answers: &[AnswerWord::Take, AnswerWord::Keep],
    },
    Guide {
        reason: reason::BOTH_CHANGED_ASK,
        meaning: "both sides changed the field, and the flow says that a person decides",
        fix: "choose a side with `take CONNECTION`, or `keep` both; or edit one of them",
        answers: &[AnswerWord::Take, AnswerWord::Keep],
    },
    Guide {
        reason: reason::NOT_FOUND,
        meaning: "the record was not there when it was to be written",
        fix: "nothing: the next run says whether it was removed",
        answers: NONE,
    },
    Guide {
        reason: reason::REMOVED,
        meaning: "the record left one side; the other side's was kept",
        fix: "`keep` it as it is, `restore` to create it again where it was removed, or `delete` to move this one to the bin, too",
        answers: &[AnswerWord::Keep, AnswerWord::Restore, AnswerWord::Delete],
    },
    Guide {
        reason: reason::LATE_TWIN,
        meaning: "a create that was repeated had happened after all: this is its second record",
        fix: "delete it in the CRM, or merge it there into the linked one; or `leave-alone`",
        answers: &[AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::ALREADY_LINKED,
        meaning: "a create led to a record that is linked to another one",
        fix: "look at both: `crmsync unlink` what is joined wrongly, then `link ID`; or `leave-alone`",
        answers: &[AnswerWord::Link, AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::DELETE_AGAINST_EDIT,
        meaning: "the record was deleted on one side while the other side's was edited; the edited one was kept",
        fix: "`restore` to create it again where it was deleted, `keep` it as it is, or `delete` to move it to the bin, too",
        answers: &[AnswerWord::Restore, AnswerWord::Keep, AnswerWord::Delete],
    },
    Guide {
        reason: reason::RESTORED_ALONE,
        meaning: "both records were deleted, and one of them came back alone",
        fix: "`restore` to create the other one again, or take it from its CRM's bin as well; or `keep` this one as it is",
        answers: &[AnswerWord::Restore, AnswerWord::Keep],
    },
    Guide {
        reason: reason::SAFETY_STOP,
        meaning: "the record was deleted on one side, left the filter or is to be deleted, with more others than the safety stop lets go at once",
        fix: "if that is right: `crmsync flow approve FLOW --deletes`, and the next run does it; if not, take them from the CRM's bin, or mend the filter",
        answers: NONE,
    },
    Guide {
        reason: reason::CONVERTED,
        meaning: "the lead was converted on one side; the other side's gets no more updates",
        fix: "nothing, or convert the other one in its CRM as well",
        answers: NONE,
    },
    Guide {
        reason: reason::MERGED,
        meaning: "the record was merged into another on one side; the other side's was kept",
        fix: "merge the other one in its CRM as well, `keep` it as it is, `restore` to create it again where it was merged, or `delete` to move it to the bin",
        answers: &[AnswerWord::Keep, AnswerWord::Restore, AnswerWord::Delete],
    },
    Guide {
        reason: reason::LEFT_ALONE,
        meaning: "somebody said that the record is not synced, or took back the copy that was made of it",
        fix: "`new` to copy it to the other side after all, or `link ID` if its counterpart is there",
        answers: &[AnswerWord::Link, AnswerWord::New],
    },
    Guide {
        reason: reason::ONE_WAY,
        meaning: "records of this module do not travel this way",
        fix: "nothing, or another `direction` of the module in the flow file, with its preview approved",
        answers: NONE,
    },
    Guide {
        reason: reason::REFUSED,
        meaning: "the CRM refused the write",
        fix: "do what the CRM's message says, then `attention retry`",
        answers: &[AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::DUPLICATE_VALUE,
        meaning: "a unique field of the CRM holds the value in another record already",
        fix: "say that it is that record with `link ID`, or change the value and `attention retry`",
        answers: &[AnswerWord::Link, AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::OUTCOME_UNKNOWN,
        meaning: "a create may have happened or not, and the CRM cannot tell",
        fix: "look in the CRM: `link ID` if the record is there, `again` if it is not",
        answers: &[AnswerWord::Link, AnswerWord::Again, AnswerWord::LeaveAlone],
    },
    Guide {
        reason: reason::ATTEMPTS_USED_UP,
        meaning: "the write was tried as often as allowed without an answer",
        fix: "see that the CRM answers, then `attention retry`; it is tried again within the hour anyway",
        answers: &[AnswerWord::LeaveAlone],
    },
];

/// What is known of a word that a transform brings along: transforms say in words of their own why they cannot carry a value.
const OF_A_TRANSFORM: Guide = Guide {
    reason: "",
    meaning: "the field's transform cannot carry the value, for the reason that it names; the rest of the record was synced",
    fix: "correct the value in the CRM, or use another transform in the flow file, apply it, and approve its preview",
    answers: NONE,
};

/// What to know about a reason.
pub fn guide(reason: &str) -> &'static Guide {
    GUIDES.iter().find(|guide| guide.reason == reason).unwrap_or(&OF_A_TRANSFORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained() {
        for code in reason::ALL {
            assert_eq!(guide(code).reason, *code, "`{code}` has no entry");
        }
        assert_eq!(GUIDES.len(), reason::ALL.len(), "an entry for a code that is none");
    }
}
