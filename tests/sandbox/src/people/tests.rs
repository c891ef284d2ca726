//! The population keeps what it promises, whatever the seed.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::scenario::carry::carry;
use crate::vtiger::column_chars_max;

/// The match rule, written once more: e-mail address and last name, or for records without an address the names and
/// the mobile number.
fn match_key(shown: &Shown) -> String {
    let part = |name: &str| {
        let value = shown.values.get(name).map_or("", String::as_str);
        carry(field(name).expect("a mapped field"), value, Side::Zoho).unwrap_or_default().to_lowercase()
    };
    match part("Email").as_str() {
        "" => format!("{}|{}|{}", part("First_Name"), part("Last_Name"), part("Mobile")),
        email => format!("{email}|{}", part("Last_Name")),
    }
}

#[test]
fn each_side_has_its_number_and_six_in_ten_exist_on_both() {
    for records in [0, 1, 3, 20, 57, 500] {
        let population = generate(11, records);
        assert_eq!((population.zoho_contacts().len(), population.vtiger_contacts().len()), (records, records));
        let both = population.people.iter().filter(|person| person.zoho.is_some() && person.vtiger.is_some()).count();
        assert_eq!(both, records * 60 / 100);
    }
    assert_eq!(generate(11, 500).ambiguous.len(), 3);
}

#[test]
fn one_seed_is_one_population() {
    let text = |seed| format!("{:?}", generate(seed, 60));
    assert_eq!(text(3), text(3));
    assert_ne!(text(3), text(4));
}

#[test]
fn ids_are_unique_ascend_with_the_time_of_creation_and_end_where_it_says() {
    let population = generate(5, 300);
    for side in [Side::Zoho, Side::Vtiger] {
        let contacts = population.contacts(side);
        assert_eq!(contacts.iter().map(|shown| &shown.id).collect::<HashSet<_>>().len(), 300);
        assert!(contacts.is_sorted_by_key(|shown| shown.created_ms));
        assert!(contacts.iter().all(|shown| shown.created_ms <= shown.modified_ms && shown.modified_ms % 1_000 == 0));
        let times: HashSet<i64> = contacts.iter().map(|shown| shown.created_ms).collect();
        assert!(times.len() < 250, "many records share a second");
    }
    let last = population.vtiger_contacts().last().expect("contacts").id.clone();
    assert_eq!(last, format!("12x{}", population.vtiger_number_max));
    assert_eq!(population.vtiger_contacts()[0].id, format!("12x{}", 2 + population.organizations.len()));
}

#[test]
fn the_match_rule_finds_each_person_and_nobody_else() {
    for (seed, records) in (0..8).map(|seed| (seed, 500)).chain([(9, 40), (9, 3_000)]) {
        let population = generate(seed, records);
        let mut candidates: HashMap<(Side, String), Vec<usize>> = HashMap::new();
        for person in &population.people {
            for side in [Side::Zoho, Side::Vtiger] {
                if let Some(shown) = person.shown(side) {
                    candidates.entry((side, match_key(shown))).or_default().push(person.number);
                }
            }
        }
        let found = |side, shown: &Shown| candidates.get(&(side, match_key(shown))).map_or(0, Vec::len);
        for person in &population.people {
            for (side, other) in [(Side::Zoho, Side::Vtiger), (Side::Vtiger, Side::Zoho)] {
                let Some(shown) = person.shown(side) else { continue };
                let counts = (found(side, shown), found(other, shown));
                let is_right = match (person.ambiguous, person.shown(other)) {
                    (true, _) => counts == (1, 2) || counts == (2, 1),
                    (false, Some(_)) => counts == (1, 1),
                    (false, None) => counts.1 == 0,
                };
                assert!(is_right, "seed {seed}: {counts:?} candidates for {shown:?}");
            }
        }
    }
}

#[test]
fn the_data_is_as_untidy_as_promised() {
    let population = generate(1, 500);
    let shown: Vec<(Side, &Shown)> = [Side::Zoho, Side::Vtiger]
        .into_iter()
        .flat_map(|side| population.contacts(side).into_iter().map(move |shown| (side, shown)))
        .collect();
    let count =
        |wanted: &dyn Fn(Side, &Shown) -> bool| shown.iter().filter(|(side, shown)| wanted(*side, shown)).count();
    let value = |shown: &Shown, name: &str| shown.values.get(name).cloned().unwrap_or_default();
    assert!(count(&|_, shown| value(shown, "Last_Name") == value(shown, "Last_Name").to_uppercase()) > 10);
    assert!(count(&|_, shown| value(shown, "Last_Name").starts_with(' ')) > 5);
    assert!(count(&|_, shown| value(shown, "Email") != value(shown, "Email").to_lowercase()) > 20);
    assert!(count(&|side, shown| side == Side::Vtiger && value(shown, "Email").starts_with(' ')) > 3);
    assert!(count(&|_, shown| value(shown, "Mobile").starts_with("00")) > 20);
    assert!(count(&|_, shown| value(shown, "Phone").contains("ext.")) > 5);
    assert!(count(&|_, shown| shown.values.contains_key("Email")) < 1_000 - 30);
    assert!(count(&|_, shown| value(shown, "Lead_Source") == "Podcast") > 2);
    assert!(count(&|_, shown| value(shown, "Lead_Source") == "Town Newsletter") > 2);
    assert!(count(&|_, shown| value(shown, "Description").chars().any(|c| c.len_utf8() == 4)) > 2);
    assert!(count(&|side, shown| side == Side::Zoho && value(shown, "Title").chars().count() > 50) > 2);
    assert!(count(&|_, shown| !population.users[shown.owner].active) > 5);
    let differ = population.people.iter().filter(|person| {
        let (Some(zoho), Some(vtiger)) = (&person.zoho, &person.vtiger) else { return false };
        !zoho.values.contains_key("Title") && vtiger.values.contains_key("Title")
    });
    assert!(differ.count() > 5, "blanks that the other side can fill");
}

#[test]
fn vtiger_shows_nothing_that_its_columns_would_not_keep() {
    let population = generate(2, 500);
    for shown in population.vtiger_contacts() {
        for (name, value) in &shown.values {
            let chars_max = field(name).expect("a mapped field").vtiger_chars_max.unwrap_or(usize::MAX);
            assert!(value.chars().count() <= chars_max && value.chars().all(|c| c.len_utf8() < 4), "{name} {value}");
        }
    }
}

#[test]
fn column_lengths_are_those_of_the_vtiger_server() {
    for field in FIELDS {
        assert_eq!(field.vtiger_chars_max, column_chars_max("Contacts", field.vtiger), "{}", field.vtiger);
    }
}
