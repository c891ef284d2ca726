//! Who is who at a first sync, judged by those who made the records: no two people are ever joined, and exactly those of whom only a
//! person can tell are put before one.

use std::collections::{BTreeMap, BTreeSet};

use crmsync::app::LOCAL_TENANT;
use crmsync::engine::Preview;
use crmsync::service;
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES};
use crmsync_tests::workplace::{Workplace, told};

use crate::product::run;

const QUIESCE_MS: u64 = 600;
const FAMILIES: usize = 40;

/// Who a record is about, by side and id.
#[derive(Default)]
struct Truth {
    people: BTreeMap<(Side, String), String>,
    /// Records that a person has to tell about.
    planted: BTreeSet<(Side, String)>,
}

impl Truth {
    async fn create(&mut self, crms: &Crms, side: Side, who: &str, fields: &[(&str, &str)]) -> String {
        let set = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let id = crms.create(side, &set).await.unwrap();
        self.people.insert((side, id.clone()), who.to_owned());
        id
    }

    async fn plant(&mut self, crms: &Crms, side: Side, who: &str, fields: &[(&str, &str)]) {
        let id = self.create(crms, side, who, fields).await;
        self.planted.insert((side, id));
    }
}

async fn workplace(module: &str) -> Workplace {
    let crms = Crms::here(0, 5).await.unwrap();
    let workplace = Workplace::open(crms, QUIESCE_MS).await.unwrap();
    apply(&workplace, &format!("[[module]]\nzoho = \"Contacts\"\nvtiger = \"Contacts\"\n{module}")).await;
    workplace
}

async fn apply(workplace: &Workplace, modules: &str) {
    let text = format!(
        "format = 1\nname = \"people\"\nbetween = [\"zoho\", \"vtiger\"]\nwinner = \"zoho\"\n\n[owners]\n\
         fallback = {{ zoho = \"office@acme.example\", vtiger = \"office@acme.example\" }}\n\n{modules}"
    );
    service::apply(&workplace.app, LOCAL_TENANT, "people.toml", &text).await.map_err(told).unwrap();
}

/// A first sync and two more runs; asks that the last one wrote nothing.
async fn sync(workplace: &Workplace) -> Preview {
    workplace.crms.advance(1_300).await.unwrap();
    let preview = workplace.preview_and_approve().await.unwrap();
    workplace.run(false).await.unwrap();
    for _ in 0..2 {
        workplace.crms.advance(1_300).await.unwrap();
        workplace.run(false).await.unwrap();
    }
    let report = workplace.run(false).await.unwrap();
    for pair in &report.pairs {
        let writes = pair.created_left + pair.created_right + pair.updated_left + pair.updated_right;
        assert_eq!(writes, 0, "{}: a run with nothing to do wrote", pair.name);
    }
    preview
}

/// Pairs that the sync log says were known as one thing.
async fn linked(workplace: &Workplace) -> Vec<(String, String)> {
    let log = workplace.log().await.unwrap();
    let lines = log.into_iter().filter(|line| line.action == "linked");
    lines.map(|line| (line.left_id, line.right_id)).collect()
}

#[test]
fn nobody_is_joined_with_somebody_else() {
    run(async {
        let workplace = workplace("fields = \"default\"").await;
        let crms = &workplace.crms;
        let mut truth = Truth::default();
        let mut both = 0;
        for family in 0..FAMILIES {
            let email = format!("family{family}@example.com");
            let last = format!("Müller {family}");
            let make =
                |first: &str| [("Email", email.clone()), ("Last_Name", last.clone()), ("First_Name", first.to_owned())];
            let (anna, bob) = (format!("anna {family}"), format!("bob {family}"));
            match family % 4 {
                // Both parents in both CRMs, in other spellings there.
                0 => {
                    for (who, first) in [(&anna, "Anna"), (&bob, "Bob")] {
                        create(&mut truth, crms, Side::Zoho, who, &make(first)).await;
                        let dirty = [
                            ("Email", email.to_uppercase()),
                            ("Last_Name", last.replace('ü', "u").to_uppercase()),
                            ("First_Name", format!(" {} ", first.to_lowercase())),
                        ];
                        create(&mut truth, crms, Side::Vtiger, who, &dirty).await;
                        both += 1;
                    }
                }
                // One parent here, the other one there: only their first names tell.
                1 => {
                    plant(&mut truth, crms, Side::Zoho, &anna, &make("Anna")).await;
                    plant(&mut truth, crms, Side::Vtiger, &bob, &make("Bob")).await;
                }
                // One parent in both CRMs, without a first name in one; the other parent nowhere else.
                2 => {
                    create(&mut truth, crms, Side::Zoho, &anna, &make("Anna")).await;
                    create(&mut truth, crms, Side::Vtiger, &anna, &make("Anna")).await;
                    create(&mut truth, crms, Side::Vtiger, &bob, &make("Bob")).await;
                    both += 1;
                }
                // A record here that is twice there.
                _ => {
                    plant(&mut truth, crms, Side::Zoho, &anna, &make("Anna")).await;
                    plant(&mut truth, crms, Side::Vtiger, &anna, &make("Anna")).await;
                    plant(&mut truth, crms, Side::Vtiger, &anna, &make("Anna")).await;
                }
            }
        }
        let preview = sync(&workplace).await;
        let links = linked(&workplace).await;
        for (left, right) in &links {
            let who = |side: Side, id: &String| truth.people.get(&(side, id.clone()));
            assert_eq!(who(Side::Zoho, left), who(Side::Vtiger, right), "{left} and {right} are two people");
        }
        assert_eq!(links.len(), both, "everybody who is in both CRMs is known");
        assert_eq!(preview.pairs[0].plan.linked, both as u64);

        let outcomes = workplace.outcomes().await.unwrap();
        let doubtful: BTreeSet<(Side, String)> = outcomes
            .iter()
            .filter(|outcome| outcome.kind == "needs-attention")
            .map(|outcome| (if outcome.side == "left" { Side::Zoho } else { Side::Vtiger }, outcome.record.clone()))
            .collect();
        // A match in doubt is one point of two records, kept under the left one.
        assert!(doubtful.is_subset(&truth.planted), "{doubtful:#?}");
        let planned: u64 = preview.pairs[0].plan.needs_attention.values().sum();
        assert_eq!(planned, doubtful.len() as u64, "the preview counts what comes");
        assert_eq!(preview.pairs[0].plan.needs_attention["match-in-doubt"], FAMILIES as u64 / 4);
        assert_eq!(preview.pairs[0].plan.needs_attention["more-than-one-match"], FAMILIES as u64 / 4 * 3);

        // Nobody was created twice: each CRM has every person once, but for those that wait for a person.
        for side in SIDES {
            let created = FAMILIES as u64 / 4;
            let records = crms.records(side).await.unwrap().len() as u64;
            let seeded = truth.people.keys().filter(|(of, _)| *of == side).count() as u64;
            assert_eq!(records, seeded + if side == Side::Zoho { created } else { 0 }, "{side:?}");
        }
    });
}

async fn create(truth: &mut Truth, crms: &Crms, side: Side, who: &str, fields: &[(&'static str, String); 3]) {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    truth.create(crms, side, who, &fields).await;
}

async fn plant(truth: &mut Truth, crms: &Crms, side: Side, who: &str, fields: &[(&'static str, String); 3]) {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    truth.plant(crms, side, who, &fields).await;
}

#[test]
fn a_doubt_is_over_when_the_names_agree() {
    run(async {
        let workplace = workplace("fields = \"default\"").await;
        let crms = &workplace.crms;
        let mut truth = Truth::default();
        let shared = [("Email", "x@example.com"), ("Last_Name", "Moss")];
        let robert = [&shared[..], &[("First_Name", "Robert")]].concat();
        let bob = [&shared[..], &[("First_Name", "Bob")]].concat();
        truth.create(crms, Side::Zoho, "robert", &robert).await;
        let right = truth.create(crms, Side::Vtiger, "robert", &bob).await;
        sync(&workplace).await;
        let attention =
            |log: &[crmsync::store::JournalRow]| log.iter().filter(|line| line.action == "attention").count();
        assert_eq!(linked(&workplace).await, []);
        assert_eq!(attention(&workplace.log().await.unwrap()), 1, "told once, not with every run");
        crms.edit(Side::Vtiger, &right, &BTreeMap::from([("First_Name", "Robert".to_owned())])).await.unwrap();
        workplace.crms.advance(1_300).await.unwrap();
        workplace.run(false).await.unwrap();
        assert_eq!(linked(&workplace).await.len(), 1);
        assert!(workplace.outcomes().await.unwrap().iter().all(|outcome| outcome.kind != "needs-attention"));
        for side in SIDES {
            assert_eq!(crms.records(side).await.unwrap().len(), 1);
        }
    });
}
