//! Who is linked with whom, shown by the servers alone: everybody in one CRM is given a number that occurs nowhere else, and the other CRM
//! shows where the numbers arrive. Whose record is whose only the makers of the people know.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crmsync_sandbox::people::{Person, Side};
use serde_json::Value;

use super::report::Report;
use super::stage::Stage;
use crate::Outcome;
use crate::crms::{SIDES, field_name};

const PART: &str = "A";
/// A field that is carried as it is and that no match rule looks at.
const ROLL_FIELD: &str = "Other_City";
/// Contacts of one family, in the constellations of the population.
const CONSTELLATIONS: [&str; 4] = [
    "both on both sides, one last name",
    "one on both sides, the other on one, one last name",
    "both on both sides, two last names",
    "one on each side, two last names",
];

/// Two linked records: Zoho's id and Vtiger's.
pub(super) type Pair = [String; 2];

/// Finds all linked contacts, and judges them.
pub(super) async fn judge(stage: &Stage, report: &mut Report) -> Outcome<Vec<Pair>> {
    stage.apart().await?;
    for record in stage.crms().records(Side::Zoho).await? {
        let id = id_of(&record);
        stage.crms().edit(Side::Zoho, &id, &BTreeMap::from([(ROLL_FIELD, number_of(&id))])).await?;
    }
    stage.calm("everybody's number goes to the other side", report).await?;
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in stage.crms().records(Side::Vtiger).await? {
        let number = record[field_name(Side::Vtiger, ROLL_FIELD)].as_str().unwrap_or_default().to_owned();
        places.entry(number).or_default().push(id_of(&record));
    }
    let (mut pairs, mut wrong) = (Vec::new(), Vec::new());
    for record in stage.crms().records(Side::Zoho).await? {
        let zoho = id_of(&record);
        match places.remove(&number_of(&zoho)).unwrap_or_default().as_slice() {
            [] => {}
            [vtiger] => pairs.push([zoho, vtiger.clone()]),
            several => wrong.push(format!("{zoho} is linked with {several:?}")),
        }
    }
    let people = &stage.scenario.population.people;
    let known: HashMap<(Side, &str), &Person> = people
        .iter()
        .flat_map(|person| {
            SIDES.into_iter().filter_map(move |side| Some(((side, person.shown(side)?.id.as_str()), person)))
        })
        .collect();
    let mut right: BTreeSet<usize> = BTreeSet::new();
    for [zoho, vtiger] in &pairs {
        let found =
            [(Side::Zoho, zoho.as_str()), (Side::Vtiger, vtiger.as_str())].map(|place| known.get(&place).copied());
        match is_one(found) {
            Some(person) => drop(right.insert(person.number)),
            None => wrong.push(format!("{zoho} and {vtiger} are {:?}", found.map(|person| person.map(|it| it.number)))),
        }
    }
    report.none(PART, "different persons taken for one", &wrong);
    let missing: Vec<String> = people
        .iter()
        .filter(|person| !person.ambiguous && !right.contains(&person.number))
        .map(|person| format!("{:?}", person.truth))
        .collect();
    report.none(PART, "contacts that nobody planted and that are not linked with themselves", &missing);
    let both = people.iter().filter(|person| !person.ambiguous && person.zoho.is_some() && person.vtiger.is_some());
    let (both, planned) = (both.map(|person| person.number).collect::<BTreeSet<_>>(), right.len());
    report.tell(PART, "contacts of both sides that were matched", both.intersection(&right).count());
    report.equal(PART, "contacts that are linked, matched and copied", pairs.len(), planned);
    families(stage, &right, report);
    Ok(pairs)
}

/// The person to whom both records belong: by both, or by one of them if the person was on that side only.
fn is_one(found: [Option<&Person>; 2]) -> Option<&Person> {
    let person = match found {
        [Some(left), Some(right)] => (left.number == right.number).then_some(left),
        [Some(left), None] => left.vtiger.is_none().then_some(left),
        [None, Some(right)] => right.zoho.is_none().then_some(right),
        [None, None] => None,
    };
    person.filter(|person| !person.ambiguous)
}

fn families(stage: &Stage, right: &BTreeSet<usize>, report: &mut Report) {
    let families = &stage.scenario.population.families;
    for (kind, words) in CONSTELLATIONS.into_iter().enumerate() {
        let of_kind: Vec<&Vec<usize>> = families.iter().skip(kind).step_by(CONSTELLATIONS.len()).collect();
        let known = of_kind.iter().filter(|family| family.iter().all(|number| right.contains(number))).count();
        report.equal(PART, format!("families told apart: {words}"), known, of_kind.len());
    }
}

fn id_of(record: &Value) -> String {
    record["id"].as_str().unwrap_or_default().to_owned()
}

fn number_of(id: &str) -> String {
    format!("no {id}")
}
