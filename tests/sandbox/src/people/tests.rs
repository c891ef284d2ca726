//! The population keeps what it promises, whatever the seed.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::scenario::carry::carry;
use crate::vtiger::column_chars_max;

/// The match rules, written once more: the name of an organization; e-mail address and last name, or for records without an address the
/// names and the mobile number.
fn match_key(module: Module, shown: &Shown) -> String {
    let part = |name: &str| {
        let value = shown.values.get(name).map_or("", String::as_str);
        carry(module.field(name).expect("a mapped field"), value, Side::Zoho).unwrap_or_default().to_lowercase()
    };
    if module == Module::Accounts {
        return part("Account_Name").split_whitespace().collect::<Vec<_>>().join(" ");
    }
    match part("Email").as_str() {
        "" => format!("{}|{}|{}", part("First_Name"), part("Last_Name"), part("Mobile")),
        email => format!("{email}|{}", part("Last_Name")),
    }
}

#[test]
fn each_side_has_its_number_and_six_in_ten_exist_on_both() {
    for records in [0, 1, 3, 20, 57, 500] {
        let population = generate(11, records);
        for module in Module::ALL {
            let wanted = Counts::of(records).of_module(module);
            let sides = [Side::Zoho, Side::Vtiger].map(|side| population.shown(module, side).len());
            assert_eq!(sides, [wanted, wanted], "{module:?}");
            let both = population.of(module).iter().filter(|one| one.zoho.is_some() && one.vtiger.is_some()).count();
            assert_eq!(both, wanted * 60 / 100, "{module:?}");
        }
    }
    let ambiguous = generate(11, 500).ambiguous;
    let of = |module| ambiguous.iter().filter(|group| group.module == module).count();
    assert_eq!(Module::ALL.map(of), [2, 3, 2]);
}

#[test]
fn records_point_to_records_of_their_own_side() {
    let population = generate(3, 500);
    for (module, field, few) in [
        (Module::Contacts, "Account_Name", 250),
        (Module::Contacts, "Reporting_To", 50),
        (Module::Accounts, "Parent_Account", 15),
    ] {
        for side in [Side::Zoho, Side::Vtiger] {
            let shown = population.shown(module, side);
            let pointing: Vec<_> = shown.iter().filter(|shown| shown.references.contains_key(field)).collect();
            assert!(pointing.len() > few, "{} records have {field}", pointing.len());
            assert!(pointing.iter().all(|shown| population.pointed_to(module, side, shown, field).is_some()));
        }
    }
    let one_sided = population.people.iter().filter(|person| {
        let organization = person.shown(Side::Zoho).and_then(|shown| shown.references.get("Account_Name"));
        organization.is_some_and(|number| population.organizations[*number].vtiger.is_none())
    });
    assert!(one_sided.count() > 20, "organizations that only one side has");
    let agree = |person: &&Person| match (&person.zoho, &person.vtiger) {
        (Some(zoho), Some(vtiger)) => zoho.references != vtiger.references,
        _ => false,
    };
    assert!(population.people.iter().filter(agree).count() > 40, "sides that do not say the same");
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
        let contacts = population.shown(Module::Contacts, side);
        assert_eq!(contacts.iter().map(|shown| &shown.id).collect::<HashSet<_>>().len(), 300);
        assert!(contacts.is_sorted_by_key(|shown| shown.created_ms));
        assert!(contacts.iter().all(|shown| shown.created_ms <= shown.modified_ms && shown.modified_ms % 1_000 == 0));
        let times: HashSet<i64> = contacts.iter().map(|shown| shown.created_ms).collect();
        assert!(times.len() < 250, "many records share a second");
    }
    let first_and_last = |module| {
        let shown = population.shown(module, Side::Vtiger);
        (shown[0].id.clone(), shown[shown.len() - 1].id.clone())
    };
    assert_eq!(first_and_last(Module::Accounts), ("11x2".to_owned(), "11x121".to_owned()));
    assert_eq!(first_and_last(Module::Contacts), ("12x122".to_owned(), "12x421".to_owned()));
    assert_eq!(first_and_last(Module::Leads).1, format!("10x{}", population.vtiger_number_max));
}

#[test]
fn the_match_rules_find_each_record_and_no_other() {
    for (seed, records) in (0..8).map(|seed| (seed, 500)).chain([(9, 40), (9, 8_000)]) {
        let population = generate(seed, records);
        for module in Module::ALL {
            let mut candidates: HashMap<(Side, String), Vec<usize>> = HashMap::new();
            for person in population.of(module) {
                for side in [Side::Zoho, Side::Vtiger] {
                    if let Some(shown) = person.shown(side) {
                        candidates.entry((side, match_key(module, shown))).or_default().push(person.number);
                    }
                }
            }
            let found = |side, shown: &Shown| candidates.get(&(side, match_key(module, shown))).map_or(0, Vec::len);
            for person in population.of(module) {
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
}

#[test]
fn the_data_is_as_untidy_as_promised() {
    let population = generate(1, 500);
    let shown: Vec<(Side, &Shown)> = [Side::Zoho, Side::Vtiger]
        .into_iter()
        .flat_map(|side| population.shown(Module::Contacts, side).into_iter().map(move |shown| (side, shown)))
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
fn leads_and_organizations_are_untidy_too() {
    let population = generate(1, 500);
    let count = |module: Module, wanted: &dyn Fn(Side, &Values) -> bool| {
        let shown =
            |side| population.shown(module, side).into_iter().filter(|shown| wanted(side, &shown.values)).count();
        shown(Side::Zoho) + shown(Side::Vtiger)
    };
    let is = |values: &Values, name: &str, value: &str| values.get(name).is_some_and(|found| found == value);
    assert!(count(Module::Leads, &|side, values| side == Side::Vtiger && !values.contains_key("Company")) > 2);
    assert_eq!(count(Module::Leads, &|side, values| side == Side::Zoho && !values.contains_key("Company")), 0);
    assert!(count(Module::Leads, &|_, values| is(values, "Lead_Status", "Hot")) > 0);
    assert!(count(Module::Accounts, &|_, values| is(values, "Industry", "Large Enterprise")) > 0);
    assert!(count(Module::Accounts, &|_, values| values["Account_Name"].to_uppercase() == values["Account_Name"]) > 5);
    assert!(count(Module::Accounts, &|_, values| values.get("Website").is_some_and(|site| site.ends_with('/'))) > 5);
    assert!(count(Module::Accounts, &|_, values| values.contains_key("Annual_Revenue")) > 50);
}

#[test]
fn vtiger_shows_nothing_that_its_columns_would_not_keep() {
    let population = generate(2, 500);
    for module in Module::ALL {
        for shown in population.shown(module, Side::Vtiger) {
            for (name, value) in &shown.values {
                let chars_max = module.field(name).expect("a mapped field").vtiger_chars_max.unwrap_or(usize::MAX);
                assert!(
                    value.chars().count() <= chars_max && value.chars().all(|c| c.len_utf8() < 4),
                    "{name} {value}"
                );
            }
        }
    }
}

#[test]
fn column_lengths_are_those_of_the_vtiger_server() {
    for module in Module::ALL {
        for field in module.fields() {
            assert_eq!(field.vtiger_chars_max, column_chars_max(module.name(), field.vtiger), "{}", field.vtiger);
        }
    }
}

#[test]
fn families_and_doubles_are_as_many_as_asked_for() {
    let counts = Counts { families: Families::Mixed(40), doubles: Some(96), ..Counts::of(2_000) };
    let population = generate_counts(4, counts);
    for side in [Side::Zoho, Side::Vtiger] {
        assert_eq!(population.shown(Module::Contacts, side).len(), 2_000, "{side:?}");
    }
    let both = population.people.iter().filter(|person| person.zoho.is_some() && person.vtiger.is_some()).count();
    assert_eq!(both, 1_200);
    let doubles = population.ambiguous.iter().filter(|group| group.module == Module::Contacts);
    assert!(doubles.clone().all(|group| group.zoho.len() + group.vtiger.len() == 3));
    assert_eq!(doubles.count(), 96);
    assert_eq!(population.families.len(), 40);
    // Whoever is on both sides is known there by address, first and last name, and nobody else is.
    let key = |shown: &Shown| {
        let part = |name: &str| {
            let value = shown.values.get(name).map_or("", String::as_str);
            let plain =
                carry(Module::Contacts.field(name).expect("a mapped field"), value, Side::Zoho).unwrap_or_default();
            plain.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
        };
        ["Email", "Last_Name", "First_Name"].map(part)
    };
    let mut across = 0;
    for family in &population.families {
        let members: Vec<&Person> = family.iter().map(|number| &population.people[*number]).collect();
        let addresses: HashSet<&str> = members.iter().map(|person| person.truth["Email"].as_str()).collect();
        assert_eq!((members.len(), addresses.len()), (2, 1));
        let [one, two] = [members[0], members[1]];
        across += usize::from(one.zoho.is_some() && two.vtiger.is_some() || two.zoho.is_some() && one.vtiger.is_some());
        for person in &members {
            assert!(!person.ambiguous);
            if let (Some(zoho), Some(vtiger)) = (&person.zoho, &person.vtiger) {
                let [left, right] = [key(zoho), key(vtiger)];
                let first_name_tells = one.truth["Last_Name"] == two.truth["Last_Name"];
                assert_eq!(left[..2], right[..2]);
                assert!(!first_name_tells || left == right, "{left:?} {right:?}");
            }
        }
    }
    assert_eq!(across, 40, "both sides know somebody of each family");
}
