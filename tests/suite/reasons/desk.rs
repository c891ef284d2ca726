//! Somebody who does what `attention show` says: both sandbox CRMs, a flow between them, and the people at their screens.

use std::collections::BTreeMap;

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::RunReport;
use crmsync::service::{self, AnswerWord, PointFilter, RecordInNeed, Said};
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES, field_name};
use crmsync_tests::workplace::{FLOW, Workplace, told};
use serde_json::Value;

/// The CRMs' clocks are moved so far between people's work and runs, because a CRM tells times in whole seconds.
const APART_MS: i64 = 1_300;
/// An unanswered write of these CRMs is certain after so long.
pub(crate) const QUIESCE_MS: u64 = 300;
const SEED: u64 = 5;
/// The address of a user whom both CRMs have.
pub(crate) const OFFICE: &str = "office@acme.example";

/// Contacts with their default rows.
pub(crate) const CONTACTS: &str = "[[module]]\nzoho = \"Contacts\"\nvtiger = \"Contacts\"\n";

/// Fields that a linked contact has to show alike on both servers, by their Zoho names. All of them are carried as they are typed here.
const ALIKE: [&str; 9] = [
    "First_Name",
    "Last_Name",
    "Email",
    "Title",
    "Department",
    "Assistant",
    "Description",
    "Mailing_City",
    "Mailing_State",
];

pub(crate) struct Desk {
    pub(crate) workplace: Workplace,
    file: String,
}

impl Desk {
    /// Two CRMs without contacts, and a flow of these modules that was previewed, approved and run once.
    pub(crate) async fn open(head: &str, modules: &str) -> Desk {
        Desk::at(Crms::here(0, SEED).await.unwrap(), head, modules).await
    }

    /// The same between these CRMs.
    pub(crate) async fn at(crms: Crms, head: &str, modules: &str) -> Desk {
        Desk::with(crms, QUIESCE_MS, OFFICE, head, modules).await
    }

    /// The same; an unanswered write is certain after `quiesce_ms`, and Vtiger's fallback owner is the one of this address.
    pub(crate) async fn with(crms: Crms, quiesce_ms: u64, fallback: &str, head: &str, modules: &str) -> Desk {
        let file = format!(
            "format = 1\nname = \"people\"\nbetween = [\"zoho\", \"vtiger\"]\nwinner = \"zoho\"\n{head}\n[owners]\n\
             fallback = {{ zoho = \"{OFFICE}\", vtiger = \"{fallback}\" }}\n\n{modules}"
        );
        let workplace = Workplace::with_file(crms, quiesce_ms, &file).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        let desk = Desk { workplace, file };
        desk.run().await;
        desk
    }

    pub(crate) fn crms(&self) -> &Crms {
        &self.workplace.crms
    }

    /// The flow file as it was applied last.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Somebody changes the flow file and applies it; its preview is looked at and approved. Gives what the check found.
    pub(crate) async fn change(&mut self, old: &str, new: &str) -> Vec<String> {
        let changed = self.file.replace(old, new);
        assert_ne!(changed, self.file);
        self.file = changed;
        self.apply().await
    }

    /// The same with lines of its own at the end.
    pub(crate) async fn add(&mut self, lines: &str) -> Vec<String> {
        self.file.push_str(lines);
        self.apply().await
    }

    async fn apply(&self) -> Vec<String> {
        let app = &self.workplace.app;
        let applied = service::apply(app, LOCAL_TENANT, "people.toml", &self.file).await.map_err(told).unwrap();
        self.crms().advance(APART_MS).await.unwrap();
        self.workplace.preview_and_approve().await.unwrap();
        applied.checked.warnings
    }

    /// One run that looks for what was deleted as well, in a moment of its own.
    pub(crate) async fn run(&self) -> RunReport {
        self.crms().advance(APART_MS).await.unwrap();
        let report = self.workplace.run(true).await.map_err(told).unwrap();
        self.crms().advance(APART_MS).await.unwrap();
        report
    }

    /// A contact of this last name, with an address of its own and whatever else.
    pub(crate) async fn person(&self, side: Side, last: &str, more: &[(&str, &str)]) -> String {
        let email = format!("{}@reasons.example", last.to_lowercase());
        let mut set = BTreeMap::from([("Last_Name", last.to_owned()), ("Email", email)]);
        set.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.crms().create(side, &set).await.unwrap()
    }

    /// A contact that both CRMs have, by a run; Zoho's id and Vtiger's.
    pub(crate) async fn pair(&self, last: &str, more: &[(&str, &str)]) -> [String; 2] {
        let left = self.person(Side::Zoho, last, more).await;
        self.run().await;
        let right = self.partner(&left).await.unwrap();
        [left, right]
    }

    pub(crate) async fn edit(&self, side: Side, id: &str, field: &str, value: &str) {
        self.crms().edit(side, id, &BTreeMap::from([(field, value.to_owned())])).await.unwrap();
    }

    /// The right record of a left one, as the sync log tells.
    pub(crate) async fn partner(&self, left: &str) -> Option<String> {
        let story = service::story(&self.workplace.app, LOCAL_TENANT, FLOW, left).await.ok()?;
        Some(story.ids[1].clone()).filter(|id| !id.is_empty())
    }

    /// Asserts that this record is listed for this reason, alone or in a field, with the fix that the guide has; gives all that is
    /// shown of it.
    pub(crate) async fn is_listed(&self, record: &str, reason: &str) -> RecordInNeed {
        let app = &self.workplace.app;
        let need = service::show_attention(app, LOCAL_TENANT, FLOW, record).await.map_err(told).unwrap();
        let point = need.points.iter().find(|point| point.point.reason == reason);
        let point = point.unwrap_or_else(|| panic!("{record} is not listed as {reason}: {:#?}", need.points));
        assert_eq!(point.fix, service::guide(reason).fix);
        let filter = PointFilter { reason: reason.to_owned(), all: true, ..PointFilter::default() };
        let groups = service::list_attention(app, LOCAL_TENANT, Some(FLOW), &filter).await.unwrap();
        assert!(groups.iter().any(|group| group.fix == point.fix), "{groups:?}");
        need
    }

    /// Asserts that nothing is listed about this record.
    pub(crate) async fn is_clear(&self, record: &str) {
        let shown = service::show_attention(&self.workplace.app, LOCAL_TENANT, FLOW, record).await;
        let code = shown.map(|need| need.points).map_err(|failure| failure.code);
        assert_eq!(code.unwrap_err(), "attention.nothing", "{record}");
    }

    /// Asserts that this record is not listed for this reason any more.
    pub(crate) async fn is_over(&self, record: &str, reason: &str) {
        let outcomes = self.workplace.outcomes().await.unwrap();
        let still: Vec<_> =
            outcomes.iter().filter(|outcome| outcome.record == record && outcome.reason == reason).collect();
        assert!(still.is_empty(), "{still:#?}");
    }

    /// Somebody answers what is open about this record.
    pub(crate) async fn answer(&self, record: &str, reason: &str, word: AnswerWord, with: Option<&str>) {
        let filter = PointFilter { record: record.to_owned(), reason: reason.to_owned(), ..PointFilter::default() };
        let said = Said { word, with: with.map(str::to_owned) };
        let app = &self.workplace.app;
        let need = service::show_attention(app, LOCAL_TENANT, FLOW, record).await.map_err(told).unwrap();
        let offered = need.points.iter().find(|point| point.point.reason == reason).map(|point| &point.answers);
        assert!(offered.is_some_and(|answers| answers.contains(&word)), "{record} {reason}: {offered:?}");
        let answered = service::decide_attention(app, LOCAL_TENANT, FLOW, &filter, &said).await.unwrap();
        assert_eq!((answered.done, answered.refused), (1, vec![]), "{record} {reason} {word:?}");
    }

    /// `attention retry --reason REASON`.
    pub(crate) async fn retry(&self, reason: &str) {
        let filter = PointFilter { reason: reason.to_owned(), ..PointFilter::default() };
        assert!(service::retry_attention(&self.workplace.app, LOCAL_TENANT, FLOW, &filter).await.unwrap() > 0);
    }

    /// One record as its server has it; null if it is not there.
    pub(crate) async fn shown(&self, side: Side, module: &str, id: &str) -> Value {
        let records = self.crms().records_of(side, module).await.unwrap();
        records.into_iter().find(|record| record["id"] == id).unwrap_or_default()
    }

    /// A contact's field, by its Zoho name.
    pub(crate) async fn value(&self, side: Side, id: &str, field: &str) -> String {
        let record = self.shown(side, "Contacts", id).await;
        assert!(!record.is_null(), "{side:?} has no {id}");
        record[field_name(side, field)].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn has(&self, side: Side, id: &str) -> bool {
        !self.shown(side, "Contacts", id).await.is_null()
    }

    pub(crate) async fn count(&self, side: Side) -> usize {
        self.crms().records(side).await.unwrap().len()
    }

    /// Asserts that both servers show this contact alike, and that nothing is listed about it.
    pub(crate) async fn is_in_step(&self, left: &str) {
        let right = self.partner(left).await.unwrap_or_else(|| panic!("{left} has no counterpart"));
        for field in ALIKE {
            assert_eq!(
                self.value(Side::Zoho, left, field).await,
                self.value(Side::Vtiger, &right, field).await,
                "{field} of {left} and {right}"
            );
        }
        self.is_clear(left).await;
        self.is_clear(&right).await;
    }

    /// Asserts that another run writes to neither server.
    pub(crate) async fn is_at_rest(&self) {
        let writes = async || self.crms().counts().await.unwrap().map(|counts| counts.write);
        let before = writes().await;
        self.run().await;
        assert_eq!(writes().await, before, "a run with nothing to do wrote");
    }

    /// Nothing goes wrong any more at either server.
    pub(crate) async fn mend(&self) {
        for side in SIDES {
            self.crms().faults(side, &serde_json::json!({})).await.unwrap();
        }
    }

    /// The next `times` writes whose path has this text meet this.
    pub(crate) async fn writes_meet(&self, side: Side, path: &str, times: u32, what: Value) {
        let on = serde_json::json!({ "kind": "write", "path_contains": path, "times": times });
        self.crms().faults(side, &serde_json::json!({ "faults": [{ "on": on, "do": what }] })).await.unwrap();
    }
}
