//! Makes the population: first who people are, then what each side shows of them, then ids and times.

use std::collections::HashSet;

use super::fields::{FIELDS, Kind, LEAD_SOURCES, lead_source_to_vtiger};
use super::words::{
    DEPARTMENTS, DESCRIPTIONS, DOMAINS, EMOJI, FIRST_NAMES, LAST_NAMES, ORGANIZATION_FIRST, ORGANIZATION_FORM,
    ORGANIZATION_LAST, PLACES, Place, SALUTATIONS, STREETS, TITLES,
};
use super::{Ambiguous, Organization, Person, Population, Shown, Side, User, Values};
use crate::rng::Rng;

/// The share of contacts that exist on both sides.
const OVERLAP_PERCENT: usize = 60;
/// Groups of records with more than one candidate, per 500 contacts.
const AMBIGUOUS_PER_500: usize = 3;
/// One family of two for so many contacts.
const CONTACTS_PER_FAMILY: usize = 40;
/// 2023-01-02 08:00:00 UTC: the first contact was made then.
const FIRST_CREATED_MS: i64 = 1_672_646_400_000;
/// 2025-11-30 23:59:59 UTC: no contact was touched later, so that everything a test does is newer.
const LAST_TOUCHED_MS: i64 = 1_764_547_199_000;

const USERS: &[User] = &[
    User {
        name: "Olga Office",
        email: "office@acme.example",
        zoho_id: Some("5725767000000310001"),
        vtiger_id: Some("19x1"),
        vtiger_name: "admin",
        active: true,
    },
    User {
        name: "Sam Sales",
        email: "sales@acme.example",
        zoho_id: Some("5725767000000310002"),
        vtiger_id: Some("19x5"),
        vtiger_name: "sales",
        active: true,
    },
    User {
        name: "Nora Field",
        email: "nora@acme.example",
        zoho_id: Some("5725767000000310003"),
        vtiger_id: Some("19x6"),
        vtiger_name: "nora",
        active: true,
    },
    User {
        name: "Zeb Formerly",
        email: "zeb@acme.example",
        zoho_id: Some("5725767000000310004"),
        vtiger_id: None,
        vtiger_name: "",
        active: false,
    },
    User {
        name: "Vera Formerly",
        email: "vera@acme.example",
        zoho_id: None,
        vtiger_id: Some("19x7"),
        vtiger_name: "vera",
        active: false,
    },
];

/// Makes the population of one seed, with `records` live contacts on each side.
pub fn generate(seed: u64, records: usize) -> Population {
    let organizations = organizations(seed, records);
    let mut maker = Maker {
        rng: Rng::fork(seed, "people"),
        people: Vec::with_capacity(records * 2),
        organizations: organizations.len(),
        count: [0, 0],
    };
    let ambiguous_groups = maker.people_of_all_kinds(records);
    let vtiger_first = 2 + organizations.len() as u64;
    let mut people = maker.people;
    give_ids_and_times(seed, &mut people, vtiger_first);
    let ambiguous = ambiguous_groups.iter().map(|group| ambiguous(&people, group)).collect();
    Population {
        users: USERS.to_vec(),
        organizations,
        people,
        ambiguous,
        vtiger_number_max: vtiger_first + records as u64 - 1,
    }
}

fn organizations(seed: u64, records: usize) -> Vec<Organization> {
    let mut rng = Rng::fork(seed, "organizations");
    let mut names = HashSet::new();
    let wanted = (records / 10).clamp(3, 60);
    while names.len() < wanted {
        let name =
            format!("{} {} {}", rng.pick(ORGANIZATION_FIRST), rng.pick(ORGANIZATION_LAST), rng.pick(ORGANIZATION_FORM));
        names.insert(name);
    }
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    names
        .into_iter()
        .enumerate()
        .map(|(index, name)| {
            let place = rng.pick(PLACES);
            Organization {
                name,
                city: place.city,
                country: place.country,
                zoho_id: format!("5725767{:012}", 400_000 + index),
                vtiger_id: format!("11x{}", 2 + index),
            }
        })
        .collect()
}

struct Maker {
    rng: Rng,
    people: Vec<Person>,
    organizations: usize,
    /// Contacts so far in Zoho and in Vtiger.
    count: [usize; 2],
}

impl Maker {
    /// Fills both sides with exactly `records` contacts and returns the groups that are ambiguous, as indexes.
    fn people_of_all_kinds(&mut self, records: usize) -> Vec<Vec<usize>> {
        for number in 0..records * OVERLAP_PERCENT / 100 {
            let truth = self.truth(number % 12 == 5);
            self.add(truth, &[Side::Zoho, Side::Vtiger], false);
        }
        let groups = if records < 20 { 0 } else { (records * AMBIGUOUS_PER_500).div_ceil(500) };
        let ambiguous = (0..groups).map(|group| self.add_ambiguous(group)).collect();
        for family in 0..records / CONTACTS_PER_FAMILY {
            self.add_family(family);
        }
        for side in [Side::Zoho, Side::Vtiger] {
            while self.count[side as usize] < records {
                let truth = self.truth(false);
                self.add(truth, &[side], false);
            }
        }
        ambiguous
    }

    /// Two candidates on one side for one record on the other; the sides take turns.
    fn add_ambiguous(&mut self, group: usize) -> Vec<usize> {
        let (one, two) = if group.is_multiple_of(2) { (Side::Zoho, Side::Vtiger) } else { (Side::Vtiger, Side::Zoho) };
        let truth = self.truth(false);
        [one, two, two].into_iter().map(|side| self.add(truth.clone(), &[side], true)).collect()
    }

    /// Two people with one e-mail address. With different last names they may exist anywhere, because the match rule
    /// tells them apart. With one last name both exist on the same single side, where nothing can be mixed up.
    fn add_family(&mut self, family: usize) {
        let mut parent = self.truth(false);
        let mut other = self.truth(false);
        parent.entry("First_Name").or_insert_with(|| "Robin".to_owned());
        other.insert("Email", parent["Email"].clone());
        let side = if family.is_multiple_of(4) { Side::Zoho } else { Side::Vtiger };
        if family.is_multiple_of(2) {
            other.insert("Last_Name", parent["Last_Name"].clone());
            if other.get("First_Name").is_none_or(|name| *name == parent["First_Name"]) {
                other.insert("First_Name", "Kim".to_owned());
            }
            self.add(parent, &[side], false);
            self.add(other, &[side], false);
        } else {
            if other["Last_Name"] == parent["Last_Name"] {
                other.insert("Last_Name", "Kirchner".to_owned());
            }
            self.add(parent, &[Side::Zoho], false);
            self.add(other, &[Side::Vtiger], false);
        }
    }

    fn add(&mut self, truth: Values, sides: &[Side], ambiguous: bool) -> usize {
        let number = self.people.len();
        let owner = self.rng.below(3);
        let organization = self.rng.chance(70).then(|| self.rng.below(self.organizations));
        let both = sides.len() == 2;
        let mut person = Person { number, truth, zoho: None, vtiger: None, ambiguous };
        for side in sides {
            let mut values = if ambiguous { person.truth.clone() } else { self.untidy(&person.truth, *side, both) };
            if *side == Side::Vtiger {
                self.speak_vtiger(&mut values);
            } else if !ambiguous {
                self.fill_zoho_oddities(&mut values);
            }
            let shown = Shown {
                id: String::new(),
                values,
                owner: self.owner_on(*side, owner),
                organization,
                created_ms: 0,
                modified_ms: 0,
            };
            match side {
                Side::Zoho => person.zoho = Some(shown),
                Side::Vtiger => person.vtiger = Some(shown),
            }
            self.count[*side as usize] += 1;
        }
        self.people.push(person);
        number
    }

    /// Mostly the person's owner, sometimes another one, sometimes somebody who has left.
    fn owner_on(&mut self, side: Side, owner: usize) -> usize {
        match self.rng.below(100) {
            0..4 => self.rng.below(3),
            4..7 if side == Side::Zoho => 3,
            4..7 => 4,
            _ => owner,
        }
    }

    /// Who somebody is. Without an e-mail address, first name and mobile are there to tell them from others.
    fn truth(&mut self, no_email: bool) -> Values {
        let rng = &mut self.rng;
        let number = self.people.len();
        let (first, first_ascii) = *rng.pick(FIRST_NAMES);
        let (last, last_ascii) = *rng.pick(LAST_NAMES);
        let place = rng.pick(PLACES);
        let mut values = Values::new();
        let mut put = |name, value: String| values.insert(name, value);
        put("Last_Name", last.to_owned());
        put("Email_Opt_Out", rng.chance(15).to_string());
        if no_email || rng.chance(96) {
            put("First_Name", first.to_owned());
        }
        if !no_email {
            put("Email", format!("{first_ascii}.{last_ascii}{number}@{}", rng.pick(DOMAINS)));
        }
        if no_email || rng.chance(60) {
            put("Mobile", number_of(place, 9, number));
        }
        for (name, percent) in [("Phone", 75), ("Home_Phone", 15), ("Other_Phone", 10), ("Fax", 20), ("Asst_Phone", 10)]
        {
            if rng.chance(percent) {
                let line = number_of(place, 8, rng.below(90_000_000));
                let extension =
                    if name == "Phone" && rng.chance(15) { format!("x{}", 10 + rng.below(900)) } else { String::new() };
                put(name, line + &extension);
            }
        }
        for (name, percent, words) in [
            ("Salutation", 55, SALUTATIONS),
            ("Title", 60, TITLES),
            ("Department", 55, DEPARTMENTS),
            ("Description", 45, DESCRIPTIONS),
        ] {
            if rng.chance(percent) {
                put(name, (*rng.pick(words)).to_owned());
            }
        }
        if rng.chance(50) {
            put("Lead_Source", rng.pick(LEAD_SOURCES).0.to_owned());
        }
        if rng.chance(12) {
            put("Secondary_Email", format!("{last_ascii}.{number}@{}", rng.pick(DOMAINS)));
        }
        if rng.chance(12) {
            put("Assistant", rng.pick(FIRST_NAMES).0.to_owned());
        }
        if rng.chance(35) {
            let (year, month, day) = (1945 + rng.below(60), 1 + rng.below(12), 1 + rng.below(28));
            put("Date_of_Birth", format!("{year}-{month:02}-{day:02}"));
        }
        for (prefix, percent) in [("Mailing", 70), ("Other", 15)] {
            if rng.chance(percent) {
                address(rng, prefix, place, &mut values);
            }
        }
        values
    }

    /// What one side's users made of the truth. In a record that exists on both sides, what it is matched by stays.
    fn untidy(&mut self, truth: &Values, side: Side, both: bool) -> Values {
        let rng = &mut self.rng;
        let mut values = Values::new();
        for field in FIELDS {
            let Some(value) = truth.get(field.zoho) else { continue };
            let matched_by = matches!(field.zoho, "Last_Name" | "Email")
                || (!truth.contains_key("Email") && matches!(field.zoho, "First_Name" | "Mobile"));
            if both && !matched_by && field.kind != Kind::Flag && rng.chance(12) {
                continue;
            }
            let differs = both && !matched_by && side == Side::Vtiger && rng.chance(6);
            let value = if differs { other_value(rng, field.zoho, value) } else { value.clone() };
            values.insert(field.zoho, respell(rng, field.kind, side, value));
        }
        values
    }

    /// Zoho's own oddities: text that Vtiger's columns cut, characters that they do not know, values without counterpart.
    fn fill_zoho_oddities(&mut self, values: &mut Values) {
        let rng = &mut self.rng;
        if rng.chance(2) {
            values
                .insert("Title", format!("{} and Deputy Chair of the Regional Purchasing Committee", rng.pick(TITLES)));
        }
        if rng.chance(2) {
            values.insert("Department", "Research, Development and Quality Assurance".to_owned());
        }
        if rng.chance(3) {
            let text = format!("{} {}", rng.pick(DESCRIPTIONS), rng.pick(EMOJI));
            values.insert("Description", text);
        }
        if rng.chance(2) {
            values.insert("Lead_Source", "Podcast".to_owned());
        }
    }

    /// Lead sources in Vtiger's own words, and sometimes one that Zoho has no word for.
    fn speak_vtiger(&mut self, values: &mut Values) {
        if let Some(zoho) = values.remove("Lead_Source")
            && let Some(vtiger) = lead_source_to_vtiger(&zoho)
            && vtiger != "Other"
        {
            values.insert("Lead_Source", vtiger.to_owned());
        }
        if self.rng.chance(2) {
            values.insert("Lead_Source", "Town Newsletter".to_owned());
        }
    }
}

fn address(rng: &mut Rng, prefix: &str, place: &Place, values: &mut Values) {
    let street = format!("{} {}", rng.pick(STREETS), 1 + rng.below(180));
    let street = if rng.chance(10) { format!("{street}\n{}. floor", 1 + rng.below(9)) } else { street };
    let names = match prefix {
        "Mailing" => ["Mailing_Street", "Mailing_City", "Mailing_State", "Mailing_Zip", "Mailing_Country"],
        _ => ["Other_Street", "Other_City", "Other_State", "Other_Zip", "Other_Country"],
    };
    let parts = [street.as_str(), place.city, place.state, place.zip, place.country];
    for (name, part) in names.into_iter().zip(parts) {
        values.insert(name, part.to_owned());
    }
}

fn number_of(place: &Place, digits: usize, number: usize) -> String {
    format!("+{}9{:0width$}", place.dial, number % 10_usize.pow(digits as u32 - 1), width = digits - 1)
}

/// Another plausible value for a field that the two sides do not agree on.
fn other_value(rng: &mut Rng, name: &str, value: &str) -> String {
    match name {
        "Title" => rng.pick(TITLES).to_string(),
        "Department" => rng.pick(DEPARTMENTS).to_string(),
        "Salutation" => rng.pick(SALUTATIONS).to_string(),
        "Description" => rng.pick(DESCRIPTIONS).to_string(),
        // Another way to call the same person: two first names that have nothing in common are two people.
        "First_Name" => format!("{value} {}", rng.pick(FIRST_NAMES).0),
        "Assistant" => rng.pick(FIRST_NAMES).0.to_owned(),
        "Lead_Source" => rng.pick(LEAD_SOURCES).0.to_owned(),
        "Email_Opt_Out" => (value != "true").to_string(),
        "Secondary_Email" => format!("other.{value}"),
        "Phone" | "Mobile" | "Home_Phone" | "Other_Phone" | "Fax" | "Asst_Phone" => {
            number_of(rng.pick(PLACES), 8, rng.below(90_000_000))
        }
        "Mailing_Street" | "Other_Street" => format!("{} {}", rng.pick(STREETS), 200 + rng.below(90)),
        _ => value.to_owned(),
    }
}

/// The same value in another spelling that means the same.
fn respell(rng: &mut Rng, kind: Kind, side: Side, value: String) -> String {
    match kind {
        Kind::Name => respell_name(rng, value),
        Kind::Email => match rng.below(100) {
            0..8 => capitalised_email(&value),
            8..11 => value.to_uppercase(),
            // Zoho checks the form of an address, so only Vtiger can hold blanks around one.
            11..15 if side == Side::Vtiger => format!(" {value} "),
            _ => value,
        },
        Kind::Phone => respell_phone(rng, &value),
        Kind::Trimmed if rng.chance(3) => format!("{value} "),
        _ => value,
    }
}

fn respell_name(rng: &mut Rng, value: String) -> String {
    // Some letters do not survive a change of case and back, and a person would not type them in capitals either.
    let case_survives = value.to_uppercase().to_lowercase() == value.to_lowercase();
    match rng.below(100) {
        0..5 if case_survives => value.to_uppercase(),
        5..9 if case_survives => value.to_lowercase(),
        9..12 => format!(" {value} "),
        12..14 => value.replace(' ', "  "),
        _ => value,
    }
}

fn capitalised_email(value: &str) -> String {
    let mut chars = value.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// One of five ways to write one number; all keep the country code, without which a number is another number.
fn respell_phone(rng: &mut Rng, value: &str) -> String {
    let (number, extension) = value.split_once('x').map_or((value, None), |(number, rest)| (number, Some(rest)));
    let digits = number.trim_start_matches('+');
    let (country, rest) = digits.split_at(digits.len().saturating_sub(8));
    let (head, tail) = rest.split_at(rest.len().min(3));
    let spelled = match rng.below(6) {
        0 => format!("+{country} {head} {tail}"),
        1 => format!("00{country} {head}-{tail}"),
        2 => format!("+{country} ({head}) {tail}"),
        3 => format!("+{country}.{head}.{tail}"),
        4 => format!("00{digits}"),
        _ => number.to_owned(),
    };
    match extension {
        Some(extension) if rng.chance(50) => format!("{spelled} ext. {extension}"),
        Some(extension) => format!("{spelled} x{extension}"),
        None => spelled,
    }
}

/// Ids follow the order of creation, which is another one on each side; imports leave many records with one time.
fn give_ids_and_times(seed: u64, people: &mut [Person], vtiger_first: u64) {
    for side in [Side::Zoho, Side::Vtiger] {
        let mut rng = Rng::fork(seed, if side == Side::Zoho { "zoho ids" } else { "vtiger ids" });
        let mut order: Vec<usize> = (0..people.len()).filter(|index| people[*index].shown(side).is_some()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, rng.below(last + 1));
        }
        let mut created_ms = FIRST_CREATED_MS;
        // The mean step is short enough that even the last record is made before the last touch.
        let span_s = usize::try_from((LAST_TOUCHED_MS - FIRST_CREATED_MS) / 1_000).unwrap_or(0);
        let step_s_max = (span_s / order.len().max(1)).min(60_000);
        for (place, index) in order.into_iter().enumerate() {
            // Four in ten records come from an import and share their second with the one before.
            if !rng.chance(40) {
                created_ms += 1_000 * (1 + rng.below(step_s_max) as i64);
            }
            let untouched = rng.chance(50);
            let room_s = usize::try_from((LAST_TOUCHED_MS - created_ms) / 1_000).unwrap_or(0);
            let later_ms = if untouched { 0 } else { 1_000 * rng.below(room_s) as i64 };
            let shown = match side {
                Side::Zoho => people[index].zoho.as_mut(),
                Side::Vtiger => people[index].vtiger.as_mut(),
            };
            if let Some(shown) = shown {
                shown.id = match side {
                    Side::Zoho => format!("5725767{:012}", 500_000 + place),
                    Side::Vtiger => format!("12x{}", vtiger_first + place as u64),
                };
                (shown.created_ms, shown.modified_ms) = (created_ms, created_ms + later_ms);
            }
        }
    }
}

fn ambiguous(people: &[Person], group: &[usize]) -> Ambiguous {
    let ids = |side: Side| group.iter().filter_map(|index| Some(people[*index].shown(side)?.id.clone())).collect();
    Ambiguous { zoho: ids(Side::Zoho), vtiger: ids(Side::Vtiger), reason: "more-than-one-match" }
}
