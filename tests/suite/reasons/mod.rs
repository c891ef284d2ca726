//! For every reason code: it is brought about against both sandbox CRMs, listed, and mended by doing literally what `attention show`
//! says; then the record is in step on both servers and nothing is left to write. Every answer that is offered is given.

pub(crate) mod desk;
mod differences;
mod identity;
mod leaving;
mod refusals;
mod scope;
mod values;

pub(crate) use leaving::LEADS;

use crmsync::service::{AnswerWord, guide};
use crmsync_core::decide::reason;

use AnswerWord::{Again, Delete, Keep, LeaveAlone, Link, New, Restore, Take};

/// A code, the answers that its test gives, and the test.
type Tested = (&'static str, &'static [AnswerWord], fn());

const TESTS: &[Tested] = &[
    (reason::MORE_THAN_ONE_MATCH, &[Link, New, LeaveAlone], identity::more_than_one_match),
    (reason::MATCH_IN_DOUBT, &[Link, New, LeaveAlone], identity::match_in_doubt),
    (reason::BEFORE_START_DATE, &[], scope::before_start_date),
    (reason::OUTSIDE_FILTER, &[], scope::outside_filter),
    (reason::LEFT_FILTER, &[], scope::left_filter),
    (reason::MANDATORY_MISSING, &[LeaveAlone], values::mandatory_missing),
    (reason::MANDATORY_EMPTIED, &[], values::mandatory_emptied),
    (reason::TOO_LONG, &[], values::too_long),
    (reason::READ_ONLY, &[], values::read_only),
    (reason::DID_NOT_PARSE, &[], values::did_not_parse),
    (reason::NO_COUNTERPART_VALUE, &[], values::no_counterpart_value),
    (reason::TRANSFORM_FAILED, &[], values::transform_failed),
    (reason::REFERENCE_NOT_LINKED, &[], values::reference_not_linked),
    (reason::OWNER_UNKNOWN, &[], values::owner_unknown),
    (reason::DIFFERS, &[Take, Keep], differences::differs),
    (reason::UNDONE, &[Take, Keep], differences::undone),
    (reason::DIFFERS_ASK, &[Take, Keep], differences::differs_ask),
    (reason::BOTH_CHANGED_ASK, &[Take, Keep], differences::both_changed_ask),
    (reason::NOT_FOUND, &[], leaving::not_found),
    (reason::REMOVED, &[Keep, Restore, Delete], leaving::removed),
    (reason::LATE_TWIN, &[LeaveAlone], identity::late_twin),
    (reason::ALREADY_LINKED, &[Link, LeaveAlone], identity::already_linked),
    (reason::DELETE_AGAINST_EDIT, &[Restore, Keep, Delete], leaving::delete_against_edit),
    (reason::RESTORED_ALONE, &[Restore, Keep], leaving::restored_alone),
    (reason::SAFETY_STOP, &[], leaving::safety_stop),
    (reason::CONVERTED, &[], leaving::converted),
    (reason::MERGED, &[Keep, Restore, Delete], crate::sim::what_was_merged_is_kept_created_again_or_merged_as_well),
    (reason::LEFT_ALONE, &[Link, New], identity::left_alone),
    (reason::ONE_WAY, &[], scope::one_way),
    (reason::REFUSED, &[LeaveAlone], refusals::refused_by_crm),
    (reason::DUPLICATE_VALUE, &[Link, LeaveAlone], refusals::duplicate_value),
    (reason::OUTCOME_UNKNOWN, &[Link, Again, LeaveAlone], refusals::outcome_unknown),
    (reason::ATTEMPTS_USED_UP, &[LeaveAlone], refusals::attempts_used_up),
];

#[test]
fn every_reason_has_a_test_of_its_fix_and_of_each_answer() {
    for code in reason::ALL {
        let (_, answers, _) = TESTS
            .iter()
            .find(|(tested, ..)| tested == code)
            .unwrap_or_else(|| panic!("nothing carries out the fix of `{code}`"));
        let offered = guide(code).answers;
        assert!(
            offered.iter().all(|answer| answers.contains(answer)),
            "`{code}`: of {offered:?} only {answers:?} are given"
        );
    }
    assert_eq!(TESTS.len(), reason::ALL.len(), "a test of a code that is none");
}
