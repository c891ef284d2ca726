//! The judge itself: clean where everything is as it must be, and not deaf to what is wrong.

use serde_json::{Map, Value, json};

use super::*;
use crate::people::{to_vtiger_text, to_zoho_json};

/// The id that a copy is given; the seeded ones keep theirs.
fn id_of(expected: &[Expected], module: Module, side: Side, person: usize) -> String {
    let known = expected.iter().find(|one| (one.module, one.side, one.person) == (module, side, person));
    known.and_then(|one| one.id.clone()).unwrap_or_else(|| format!("new {module:?} {person}"))
}

/// The records that a perfect synchronisation would leave, in each server's own form.
fn perfect(scenario: &Scenario, phase: Phase) -> Holdings {
    let expected = scenario.expected(phase);
    let mut holdings = Holdings::new();
    for module in scenario.modules {
        let sides = [Side::Zoho, Side::Vtiger].map(|side| {
            let own = expected.iter().filter(|one| (one.module, one.side) == (*module, side));
            own.filter_map(|one| {
                let Presence::Live(values) = &one.record else { return None };
                Some(record(scenario, &expected, one, values))
            })
            .collect()
        });
        holdings.insert(*module, sides);
    }
    holdings
}

fn record(
    scenario: &Scenario,
    expected: &[Expected],
    one: &Expected,
    values: &BTreeMap<&'static str, String>,
) -> Value {
    let (module, side) = (one.module, one.side);
    let text = |name: &str| values.get(name).cloned().unwrap_or_default();
    let mut record = Map::new();
    record.insert("id".to_owned(), json!(id_of(expected, module, side, one.person)));
    for field in module.fields() {
        let value = text(field.zoho);
        match side {
            Side::Zoho => record.insert(field.zoho.to_owned(), to_zoho_json(field, &value)),
            Side::Vtiger => record.insert(field.vtiger.to_owned(), json!(to_vtiger_text(field, &value))),
        };
    }
    for reference in module.references() {
        let target = values.get(reference.zoho).and_then(|number| number.parse().ok());
        let id = target.map(|number| pointed_to(scenario, expected, reference.target, side, number));
        match (side, id) {
            (Side::Zoho, Some(id)) => record.insert(reference.zoho.to_owned(), json!({"id": id, "name": "any"})),
            (Side::Zoho, None) => record.insert(reference.zoho.to_owned(), Value::Null),
            (Side::Vtiger, id) => record.insert(reference.vtiger.to_owned(), json!(id.unwrap_or_default())),
        };
    }
    let owner = scenario.population.users.iter().find(|user| user.email == text("Owner")).expect("an owner");
    match side {
        Side::Zoho => record.insert("Owner".to_owned(), json!({"id": owner.zoho_id, "email": owner.email})),
        Side::Vtiger => record.insert("assigned_user_id".to_owned(), json!(owner.vtiger_id)),
    };
    Value::Object(record)
}

fn pointed_to(scenario: &Scenario, expected: &[Expected], module: Module, side: Side, number: usize) -> String {
    let seeded = scenario.population.of(module).get(number).and_then(|person| person.shown(side));
    seeded.map_or_else(|| id_of(expected, module, side, number), |shown| shown.id.clone())
}

fn all(seed: u64, contacts: usize) -> Scenario {
    Scenario::of_all_modules(seed, Counts::of(contacts))
}

#[test]
fn a_perfect_synchronisation_is_clean() {
    for (seed, records) in [(1, 500), (2, 40), (3, 1_000), (4, 3)] {
        for scenario in [Scenario::new(seed, records), all(seed, records)] {
            for phase in [Phase::FirstSync, Phase::AfterEdits] {
                let verdict = scenario.verify_modules(phase, &perfect(&scenario, phase));
                assert!(verdict.is_clean(), "seed {seed} {phase:?}: {:?}", verdict.mismatches.first());
            }
        }
    }
}

#[test]
fn every_kind_of_mistake_is_seen() {
    let scenario = Scenario::new(1, 200);
    let phase = Phase::AfterEdits;
    let mut holdings = perfect(&scenario, phase);
    let [zoho, vtiger] = holdings.remove(&Module::Contacts).expect("contacts");
    let judge = |zoho: &[Value], vtiger: &[Value]| scenario.verify(phase, zoho, vtiger);

    let mut doubled = vtiger.clone();
    let mut twin = vtiger[0].clone();
    twin["id"] = json!("12x999999");
    doubled.push(twin);
    assert_eq!(judge(&zoho, &doubled).duplicates, 1);

    let mut stray = zoho.clone();
    stray.push(json!({"id": "9", "Last_Name": "Nobody", "Email": "nobody@else.example"}));
    assert_eq!(judge(&stray, &vtiger).unexpected, ["9"]);

    let missing = judge(&zoho[1..], &vtiger).mismatches;
    assert_eq!((missing.len(), missing[0].field.as_str(), missing[0].found.as_str()), (1, "*", "no record"));

    let mut changed = zoho.clone();
    changed[0]["Department"] = json!("Nowhere");
    let wrong = judge(&changed, &vtiger).mismatches;
    assert_eq!((wrong.len(), wrong[0].field.as_str(), wrong[0].found.as_str()), (1, "Department", "Nowhere"));

    let mut groups = scenario.population.ambiguous.iter();
    let ambiguous = &groups.find(|group| group.module == Module::Contacts).expect("a group").zoho[0];
    let copied = zoho.iter().find(|record| record["id"] == *ambiguous).expect("an ambiguous record");
    let mut copies = vtiger.clone();
    copies.push(json!({"id": "12x999998", "lastname": copied["Last_Name"], "firstname": copied["First_Name"],
                       "email": copied["Email"], "mobile": copied["Mobile"].as_str().unwrap_or_default()}));
    assert_eq!(judge(&zoho, &copies).duplicates, 1, "nothing may be written for an ambiguous record");
}

#[test]
fn a_reference_to_somebody_else_is_seen() {
    let scenario = all(1, 200);
    let phase = Phase::FirstSync;
    let mut holdings = perfect(&scenario, phase);
    let [zoho, _] = &holdings[&Module::Accounts];
    let other = zoho[7]["id"].clone();
    let [contacts, _] = holdings.get_mut(&Module::Contacts).expect("contacts");
    let is_copy = |one: &&mut Value| one["id"].as_str().is_some_and(|id| id.starts_with("new"));
    let copy = contacts.iter_mut().filter(is_copy).find(|one| !one["Account_Name"].is_null()).expect("a copy");
    let right = copy["Account_Name"]["id"].clone();
    assert_ne!(right, other);
    copy["Account_Name"]["id"] = other;
    let wrong = scenario.verify_modules(phase, &holdings).mismatches;
    assert_eq!((wrong.len(), wrong[0].module, wrong[0].field.as_str()), (1, Module::Contacts, "Account_Name"));
}

#[test]
fn a_sync_that_ignores_the_edits_of_people_loses_them() {
    let scenario = all(1, 200);
    let verdict = scenario.verify_modules(Phase::AfterEdits, &perfect(&scenario, Phase::FirstSync));
    let beaten = scenario.exceptions(Phase::AfterEdits).iter().filter(|one| one.reason == "both-changed").count();
    assert_eq!(verdict.lost_updates as usize, scenario.human_edits().len() - beaten);
}

#[test]
fn the_edits_tell_the_whole_story() {
    let scenario = all(6, 500);
    let edits = scenario.human_edits();
    for module in Module::ALL {
        for side in [Side::Zoho, Side::Vtiger] {
            for op in [Op::Create, Op::Edit, Op::Delete] {
                let wanted = (module, side, op);
                assert!(edits.iter().any(|edit| (edit.module, edit.side, edit.op) == wanted), "{wanted:?}");
            }
        }
        for reference in module.references() {
            let points = |edit: &&HumanEdit| {
                edit.module == module && edit.set[..].iter().any(|(name, _)| *name == reference.zoho)
            };
            assert!(edits.iter().any(|edit| points(&edit)), "{}", reference.zoho);
        }
    }
    let reasons: std::collections::BTreeSet<&str> =
        scenario.exceptions(Phase::AfterEdits).iter().map(|exception| exception.reason).collect();
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        [
            "both-changed",
            "differs",
            "fallback-owner",
            "mandatory-missing",
            "more-than-one-match",
            "no-counterpart-value",
            "reference-not-linked",
            "removed",
            "stored-differently",
        ]
    );
    let edit = edits.iter().find(|edit| edit.set.iter().any(|(name, _)| *name == "Department")).expect("an edit");
    assert_eq!(edit.body()["set"]["department"], edit.set[0].1.as_str());
}

/// Whatever is expected of the servers, they can hold and show: a patient person at the screens brings them there.
struct Clerk<'a> {
    scenario: &'a Scenario,
    phase: Phase,
    expected: Vec<Expected>,
    crms: [&'a dyn crate::crm::Crm; 2],
}

impl Clerk<'_> {
    /// First everything without its references, then the references, when everything has an id.
    fn settle(&self) {
        for with_references in [false, true] {
            for side in [Side::Zoho, Side::Vtiger] {
                for module in self.scenario.modules {
                    self.settle_module(*module, side, with_references);
                }
            }
        }
    }

    fn settle_module(&self, module: Module, side: Side, with_references: bool) {
        let crm = self.crms[side as usize];
        let have = self.have(module, side);
        let wrong = self.scenario.verify_modules(self.phase, &self.holdings()).mismatches;
        for one in self.expected.iter().filter(|one| (one.module, one.side) == (module, side)) {
            let Presence::Live(mut values) = one.record.clone() else { continue };
            self.uncut(one, &mut values);
            let Value::Object(mut set) = record(self.scenario, &self.expected, one, &values) else { continue };
            set.remove("id");
            let wanted = self.key(module, side, &Value::Object(set.clone()));
            let made = || have.values().find(|record| self.key(module, side, record) == wanted);
            let id = one.id.clone().or_else(|| Some(made()?["id"].as_str()?.to_owned()));
            let references: Vec<&str> =
                module.references().iter().map(|one| self.own(side, one.zoho, one.vtiger)).collect();
            match id {
                None => {
                    set.retain(|name, _| !references.contains(&name.as_str()));
                    drop(crm.person_create(module.name(), &set).expect("a record is made"));
                }
                Some(id) if with_references => {
                    let mine = wrong
                        .iter()
                        .filter(|wrong| (wrong.module, wrong.side, wrong.person) == (module, side, one.person));
                    let wrong: Vec<&str> = mine.map(|wrong| wrong.field.as_str()).collect();
                    let mut fixed = Map::new();
                    for reference in module.references().iter().filter(|one| wrong.contains(&one.zoho)) {
                        let number = values.get(reference.zoho).and_then(|number| number.parse().ok());
                        let id = number.map(|number| self.real_id(reference.target, side, number)).unwrap_or_default();
                        let value = if id.is_empty() && side == Side::Zoho { Value::Null } else { json!(id) };
                        fixed.insert(self.own(side, reference.zoho, reference.vtiger).to_owned(), value);
                    }
                    crm.person_edit(module.name(), &id, &fixed).expect("a record is changed");
                }
                Some(id) => {
                    // What is seeded untidy stays as it is; a screen would tidy it.
                    set.retain(|name, value| {
                        let kept = matches!(name.as_str(), "Owner" | "assigned_user_id")
                            || references.contains(&name.as_str());
                        have.get(&id).is_none_or(|have| have[name] != *value) && !kept
                    });
                    crm.person_edit(module.name(), &id, &set).expect("a record is changed");
                }
            }
        }
    }

    fn own(&self, side: Side, zoho: &'static str, vtiger: &'static str) -> &'static str {
        if side == Side::Zoho { zoho } else { vtiger }
    }

    fn have(&self, module: Module, side: Side) -> BTreeMap<String, Value> {
        let records = self.crms[side as usize].records(module.name()).expect("the module");
        records.into_iter().map(|record| (record["id"].as_str().expect("an id").to_owned(), record)).collect()
    }

    fn holdings(&self) -> Holdings {
        let of = |module: &Module| self.crms.map(|crm| crm.records(module.name()).expect("the module"));
        self.scenario.modules.iter().map(|module| (*module, of(module))).collect()
    }

    /// Who a record is about. A family shares one e-mail address, so the names count as well.
    fn key(&self, module: Module, side: Side, record: &Value) -> Vec<Value> {
        let names: &[&str] =
            if module == Module::Accounts { &["Account_Name"] } else { &["Email", "Last_Name", "First_Name"] };
        let own = |name: &&str| module.field(name).map(|field| self.own(side, field.zoho, field.vtiger));
        names.iter().filter_map(own).map(|name| record[name].as_str().unwrap_or_default().into()).collect()
    }

    /// The id of a record, also of one that was made here.
    fn real_id(&self, module: Module, side: Side, number: usize) -> String {
        let is_it = |one: &&Expected| (one.module, one.side, one.person) == (module, side, number);
        let Some(one) = self.expected.iter().find(is_it) else { return String::new() };
        if let Some(id) = &one.id {
            return id.clone();
        }
        let Presence::Live(values) = &one.record else { return String::new() };
        let wanted = self.key(module, side, &record(self.scenario, &self.expected, one, values));
        let have = self.have(module, side);
        have.into_iter()
            .find(|(_, record)| self.key(module, side, record) == wanted)
            .map(|(id, _)| id)
            .unwrap_or_default()
    }

    /// Texts that Vtiger must cut or garble by itself are sent to it as they are in Zoho.
    fn uncut(&self, one: &Expected, values: &mut BTreeMap<&'static str, String>) {
        let seeded = self.scenario.population.of(one.module).get(one.person).and_then(|person| person.zoho.as_ref());
        let Some(zoho) = seeded.filter(|_| one.side == Side::Vtiger) else { return };
        for exception in self.scenario.exceptions(Phase::FirstSync) {
            if exception.reason == "stored-differently" && exception.record == zoho.id {
                values.insert(exception.field, zoho.values[exception.field].trim().to_owned());
            }
        }
    }
}

#[tokio::test]
async fn both_servers_hold_and_show_what_is_expected_of_them() {
    let scenario = all(3, 60);
    let options = || crate::serve::Options { seed: 3, records: 60, ..crate::serve::Options::default() };
    let zoho = crate::serve::start_zoho(options()).await.expect("the server starts");
    let vtiger = crate::serve::start_vtiger(options()).await.expect("the server starts");
    let clerk = |phase| Clerk {
        scenario: &scenario,
        phase,
        expected: scenario.expected(phase),
        crms: [zoho.crm.as_ref(), vtiger.crm.as_ref()],
    };
    let verdict = |phase| scenario.verify_modules(phase, &clerk(phase).holdings());
    let before = verdict(Phase::FirstSync);
    assert!(!before.mismatches.is_empty() && before.duplicates == 0 && before.unexpected.is_empty());

    clerk(Phase::FirstSync).settle();
    let first = verdict(Phase::FirstSync);
    assert!(first.is_clean(), "{:#?}", &first.mismatches[..first.mismatches.len().min(3)]);

    for edit in scenario.human_edits() {
        let crm = if edit.side == Side::Zoho { &zoho.crm } else { &vtiger.crm };
        let body = edit.body();
        let set = body["set"].as_object().expect("fields");
        let id = edit.id.as_deref().unwrap_or_default();
        let module = edit.module.name();
        let done = match edit.op {
            Op::Create => crm.person_create(module, set),
            Op::Edit => crm.person_edit(module, id, set),
            Op::Delete => crm.person_delete(module, id),
        };
        done.expect("people may do this");
    }
    assert!(verdict(Phase::AfterEdits).lost_updates > 0, "nothing was carried over yet");
    clerk(Phase::AfterEdits).settle();
    let last = verdict(Phase::AfterEdits);
    assert!(last.is_clean(), "{:#?}", &last.mismatches[..last.mismatches.len().min(3)]);
}
