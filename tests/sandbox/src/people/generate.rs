//! Makes the population: first who or what there is, then what each side shows of it, then what points to what, then ids and times.

use std::collections::{BTreeMap, HashSet};

use super::fields::{Kind, LEAD_SOURCE, Module};
use super::spelling::respell;
use super::words::{
    DEPARTMENTS, DESCRIPTIONS, DOMAINS, EMOJI, FIRST_NAMES, LAST_NAMES, ORGANIZATION_FIRST, ORGANIZATION_FORM,
    ORGANIZATION_LAST, PLACES, Place, SALUTATIONS, STREETS, TITLES,
};
use super::{Ambiguous, Counts, Families, Person, Population, Shown, Side, User, Values};
use crate::rng::Rng;

/// The share of records that exist on both sides.
const OVERLAP_PERCENT: usize = 60;
/// Groups of records with more than one candidate, per 500 of a module.
const AMBIGUOUS_PER_500: usize = 3;
/// One family of two for so many contacts.
const CONTACTS_PER_FAMILY: usize = 40;
/// 2023-01-02 08:00:00 UTC: the first record of each module was made then.
const FIRST_CREATED_MS: i64 = 1_672_646_400_000;
/// 2025-11-30 23:59:59 UTC: no record was touched later, so that everything a test does is newer.
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

/// Makes the population of one seed, with `records` live contacts on each side, and organizations and leads in proportion.
pub fn generate(seed: u64, records: usize) -> Population {
    generate_counts(seed, Counts::of(records))
}

/// Makes the population of one seed.
pub fn generate_counts(seed: u64, counts: Counts) -> Population {
    let mut lists = Vec::with_capacity(Module::ALL.len());
    let mut ambiguous_records = Vec::new();
    let mut families = Vec::new();
    let mut vtiger_next = 2;
    for module in Module::ALL {
        let mut maker = Maker::new(seed, module);
        let records = counts.of_module(module);
        let groups = maker.people_of_all_kinds(records, counts);
        families.append(&mut maker.families);
        let mut people = maker.people;
        give_ids_and_times(seed, module, &mut people, vtiger_next);
        vtiger_next += records as u64;
        ambiguous_records.extend(groups.iter().map(|group| ambiguous(module, &people, group)));
        lists.push(people);
    }
    for module in Module::ALL {
        point(seed, module, &mut lists);
    }
    let [organizations, people, leads]: [Vec<Person>; 3] = lists.try_into().unwrap_or_default();
    let users = USERS.to_vec();
    Population {
        users,
        organizations,
        people,
        leads,
        ambiguous: ambiguous_records,
        families,
        vtiger_number_max: vtiger_next - 1,
    }
}

/// How much a side's record shows of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// Everything, as it is: nobody can tell it from another one.
    Truth,
    /// Spelled in many ways, with blanks and other values; what it is matched by stays.
    Untidy,
    /// The same, and the first name is among what it is matched by.
    FirstName,
}

struct Maker {
    module: Module,
    rng: Rng,
    people: Vec<Person>,
    /// Names of organizations in lower case: two that differ are two.
    names: HashSet<String>,
    /// Records so far in Zoho and in Vtiger.
    count: [usize; 2],
    /// Families of which somebody is on both sides.
    families: Vec<Vec<usize>>,
}

impl Maker {
    fn new(seed: u64, module: Module) -> Maker {
        let part = match module {
            Module::Accounts => "organizations",
            Module::Contacts => "people",
            Module::Leads => "leads",
        };
        Maker {
            module,
            rng: Rng::fork(seed, part),
            people: Vec::new(),
            names: HashSet::new(),
            count: [0, 0],
            families: Vec::new(),
        }
    }

    /// Fills both sides with exactly `records` records and returns the groups that are ambiguous, as indexes.
    fn people_of_all_kinds(&mut self, records: usize, counts: Counts) -> Vec<Vec<usize>> {
        let families = if self.module == Module::Contacts { counts.families } else { Families::Mixed(0) };
        let related = match families {
            Families::Simple => 0,
            Families::Mixed(families) => (0..families).map(|family| self.add_mixed_family(family)).sum(),
        };
        for number in 0..(records * OVERLAP_PERCENT / 100).saturating_sub(related) {
            let truth = self.truth(number % 12 == 5);
            self.add(truth, &[Side::Zoho, Side::Vtiger], Shows::Untidy);
        }
        let usual = if records < 20 { 0 } else { (records * AMBIGUOUS_PER_500).div_ceil(500) };
        let groups = counts.doubles.filter(|_| self.module == Module::Contacts).unwrap_or(usual);
        let ambiguous = (0..groups).map(|group| self.add_ambiguous(group)).collect();
        if families == Families::Simple {
            for family in 0..records / CONTACTS_PER_FAMILY {
                self.add_family(family);
            }
        }
        for side in [Side::Zoho, Side::Vtiger] {
            while self.count[side as usize] < records {
                let truth = self.truth(false);
                self.add(truth, &[side], Shows::Untidy);
            }
        }
        ambiguous
    }

    /// Two candidates on one side for one record on the other; the sides take turns. Vtiger has no two organizations of one name.
    fn add_ambiguous(&mut self, group: usize) -> Vec<usize> {
        let two_in_vtiger = group.is_multiple_of(2) && self.module != Module::Accounts;
        let (one, two) = if two_in_vtiger { (Side::Zoho, Side::Vtiger) } else { (Side::Vtiger, Side::Zoho) };
        let truth = self.truth(false);
        [one, two, two].into_iter().map(|side| self.add(truth.clone(), &[side], Shows::Truth)).collect()
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
            self.add(parent, &[side], Shows::Untidy);
            self.add(other, &[side], Shows::Untidy);
        } else {
            if other["Last_Name"] == parent["Last_Name"] {
                other.insert("Last_Name", "Kirchner".to_owned());
            }
            self.add(parent, &[Side::Zoho], Shows::Untidy);
            self.add(other, &[Side::Vtiger], Shows::Untidy);
        }
    }

    /// Two people with one e-mail address, of whom both sides know somebody. Gives how many of them both sides know.
    ///
    /// The names tell them apart: only their last names, or only their first names where both sides know both, or one of them. Two people
    /// of one last name of whom each side knows another one are not made: by their names they could be one, who is called by two.
    fn add_mixed_family(&mut self, family: usize) -> usize {
        const BOTH: &[Side] = &[Side::Zoho, Side::Vtiger];
        let (mut parent, mut other) = (self.truth(false), self.truth(false));
        let of_one_name = family % 4 < 2;
        parent.insert("First_Name", "Robin".to_owned());
        other.insert("First_Name", "Kim".to_owned());
        other.insert("Email", parent["Email"].clone());
        if of_one_name {
            other.insert("Last_Name", parent["Last_Name"].clone());
        } else if other["Last_Name"] == parent["Last_Name"] {
            other.insert("Last_Name", "Kirchner".to_owned());
        }
        let alone = [Side::Zoho, Side::Vtiger][family / 4 % 2];
        let sides: [&[Side]; 2] = match family % 4 {
            0 | 2 => [BOTH, BOTH],
            1 => [BOTH, &[alone]],
            _ => [&[Side::Zoho], &[Side::Vtiger]],
        };
        let shows = if of_one_name { Shows::FirstName } else { Shows::Untidy };
        let members =
            [parent, other].into_iter().zip(sides).map(|(truth, sides)| self.add(truth, sides, shows)).collect();
        self.families.push(members);
        sides.iter().filter(|sides| sides.len() == 2).count()
    }

    fn add(&mut self, truth: Values, sides: &[Side], shows: Shows) -> usize {
        let number = self.people.len();
        let owner = self.rng.below(3);
        let both = sides.len() == 2;
        let ambiguous = shows == Shows::Truth;
        let mut person = Person { number, truth, zoho: None, vtiger: None, ambiguous };
        for side in sides {
            let mut values =
                if ambiguous { person.truth.clone() } else { self.untidy(&person.truth, *side, both, shows) };
            if *side == Side::Vtiger {
                self.speak_vtiger(&mut values);
            } else if !ambiguous {
                self.fill_zoho_oddities(&mut values);
            }
            let shown = Shown {
                id: String::new(),
                values,
                owner: self.owner_on(*side, owner),
                references: BTreeMap::new(),
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

    /// Who or what it is.
    fn truth(&mut self, no_email: bool) -> Values {
        match self.module {
            Module::Accounts => self.organization(),
            Module::Contacts => self.contact(no_email),
            Module::Leads => self.lead(no_email),
        }
    }

    fn organization(&mut self) -> Values {
        let name = self.new_name();
        let rng = &mut self.rng;
        let place = rng.pick(PLACES);
        let mut values = Values::from([("Account_Name", name)]);
        let mut put = |name, value: String| values.insert(name, value);
        for (name, percent) in [("Phone", 75), ("Fax", 25)] {
            if rng.chance(percent) {
                put(name, number_of(place, 8, rng.below(90_000_000)));
            }
        }
        if rng.chance(65) {
            put("Website", website(rng));
        }
        if rng.chance(10) {
            put("Ticker_Symbol", rng.hex(4).to_uppercase());
        }
        company_facts(rng, "Employees", &mut values);
        if rng.chance(30) {
            values.insert("Ownership", rng.pick(&["Other", "Private", "Public", "Subsidiary"]).to_string());
        }
        for (prefix, percent) in [("Billing", 75), ("Shipping", 30)] {
            if rng.chance(percent) {
                address(rng, prefix, place, &mut values);
            }
        }
        if rng.chance(35) {
            values.insert("Description", rng.pick(DESCRIPTIONS).to_string());
        }
        choose(rng, Module::Accounts, &[("Account_Type", 55), ("Rating", 30)], &mut values);
        values
    }

    /// A name that no other organization has, whatever its case. There are a few hundred; then places and numbers tell them apart.
    fn new_name(&mut self) -> String {
        loop {
            let rng = &mut self.rng;
            let (first, last) = (rng.pick(ORGANIZATION_FIRST), rng.pick(ORGANIZATION_LAST));
            let name = match self.people.len() {
                0..150 => format!("{first} {last}"),
                150..2_000 => format!("{first} {last} {}", rng.pick(PLACES).city),
                count => format!("{first} {last} {} {}", rng.pick(PLACES).city, 2 + rng.below(count)),
            };
            let name = format!("{name} {}", rng.pick(ORGANIZATION_FORM));
            if self.names.insert(name.to_lowercase()) {
                return name;
            }
        }
    }

    fn lead(&mut self, no_email: bool) -> Values {
        let contact = self.contact(no_email);
        let rng = &mut self.rng;
        let kept = |name: &&str| Module::Leads.field(name).is_some();
        let mut values: Values = contact.into_iter().filter(|(name, _)| kept(name)).collect();
        let company = (rng.pick(ORGANIZATION_FIRST), rng.pick(ORGANIZATION_LAST), rng.pick(ORGANIZATION_FORM));
        values.insert("Company", format!("{} {} {}", company.0, company.1, company.2));
        if rng.chance(55) {
            values.insert("Designation", rng.pick(TITLES).to_string());
        }
        if rng.chance(40) {
            values.insert("Website", website(rng));
        }
        company_facts(rng, "No_of_Employees", &mut values);
        if rng.chance(60) {
            let place = rng.pick(PLACES);
            address(rng, "", place, &mut values);
        }
        choose(rng, Module::Leads, &[("Lead_Status", 70), ("Rating", 25)], &mut values);
        values
    }

    /// Who somebody is. Without an e-mail address, first name and mobile are there to tell them from others.
    fn contact(&mut self, no_email: bool) -> Values {
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
            put("Lead_Source", rng.pick(LEAD_SOURCE.to_vtiger).0.to_owned());
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
    fn untidy(&mut self, truth: &Values, side: Side, both: bool, shows: Shows) -> Values {
        let rng = &mut self.rng;
        let mut values = Values::new();
        for field in self.module.fields() {
            let Some(value) = truth.get(field.zoho) else { continue };
            let matched_by = matches!(field.zoho, "Last_Name" | "Email" | "Account_Name")
                || (!truth.contains_key("Email") && matches!(field.zoho, "First_Name" | "Mobile"));
            if field.zoho == "Company" && side == Side::Vtiger && !both && rng.chance(4) {
                continue;
            }
            let matched_by = matched_by || (shows == Shows::FirstName && field.zoho == "First_Name");
            // Zoho takes no lead without a company.
            let matched_by = matched_by || (field.zoho == "Company" && side == Side::Zoho);
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
        let (module, rng) = (self.module, &mut self.rng);
        let mut odd = |percent, name: &'static str, value: &dyn Fn(&mut Rng) -> String| {
            if module.field(name).is_some() && rng.chance(percent) {
                values.insert(name, value(rng));
            }
        };
        let deputy =
            |rng: &mut Rng| format!("{} and Deputy Chair of the Regional Purchasing Committee", rng.pick(TITLES));
        odd(2, "Title", &deputy);
        odd(2, "Designation", &deputy);
        odd(2, "Department", &|_| "Research, Development and Quality Assurance".to_owned());
        odd(3, "Description", &|rng| format!("{} {}", rng.pick(DESCRIPTIONS), rng.pick(EMOJI)));
        odd(2, "Lead_Source", &|_| "Podcast".to_owned());
        odd(4, "Industry", &|rng| rng.pick(&["Large Enterprise", "Service Provider", "ManagementISV"]).to_string());
    }

    /// Picklist values in Vtiger's own words, and sometimes one that Zoho has no word for.
    fn speak_vtiger(&mut self, values: &mut Values) {
        for field in self.module.fields() {
            if let Kind::Choice(choices) = field.kind
                && let Some(zoho) = values.remove(field.zoho)
                && let Some(vtiger) = choices.vtiger(&zoho)
                && choices.zoho(vtiger).is_some()
            {
                values.insert(field.zoho, vtiger.to_owned());
            }
        }
        let (module, rng) = (self.module, &mut self.rng);
        let mut odd = |percent, name: &'static str, words: &[&str]| {
            if module.field(name).is_some() && rng.chance(percent) {
                values.insert(name, rng.pick(words).to_string());
            }
        };
        odd(2, "Lead_Source", &["Town Newsletter"]);
        odd(4, "Industry", &["Banking", "Food & Beverage", "Shipping", "Technology"]);
        odd(3, "Lead_Status", &["Hot", "Warm", "Qualified"]);
        odd(2, "Ownership", &["Family"]);
    }
}

/// Size and revenue of a company.
fn company_facts(rng: &mut Rng, employees: &'static str, values: &mut Values) {
    if rng.chance(50) {
        values.insert(employees, (3 + rng.below(5_000)).to_string());
    }
    if rng.chance(40) {
        let cents = ["", ".5", ".25"];
        values.insert("Annual_Revenue", format!("{}{}", 1_000 * (20 + rng.below(9_000)), rng.pick(&cents)));
    }
}

fn website(rng: &mut Rng) -> String {
    let first: String = rng.pick(ORGANIZATION_FIRST).to_lowercase().chars().filter(char::is_ascii_alphabetic).collect();
    format!("https://{first}{}.example", rng.below(90_000))
}

/// Picklist values in Zoho's words.
fn choose(rng: &mut Rng, module: Module, fields: &[(&'static str, usize)], values: &mut Values) {
    for (name, percent) in fields {
        if let Some(Kind::Choice(choices)) = module.field(name).map(|field| field.kind)
            && rng.chance(*percent)
        {
            values.insert(name, rng.pick(choices.to_vtiger).0.to_owned());
        }
    }
}

/// Lets the records of a module point to others. Who reports to whom may run in a circle.
fn point(seed: u64, module: Module, lists: &mut [Vec<Person>]) {
    let mut rng = Rng::fork(seed, &format!("{} references", module.name()));
    for reference in module.references() {
        let own_module = reference.target == module;
        let percent = if own_module { 15 } else { 70 };
        let place = |module: Module| Module::ALL.iter().position(|known| *known == module).unwrap_or(0);
        let targets: Vec<[bool; 2]> = lists[place(reference.target)]
            .iter()
            .map(|target| [target.zoho.is_some(), target.vtiger.is_some()])
            .collect();
        let pick = |rng: &mut Rng, own: usize, sides: &[Side]| {
            // A few draws find somebody whom at least one of the sides has; else it points to nobody.
            (0..20).map(|_| rng.below(targets.len())).find(|&number| {
                (!own_module || number != own) && sides.iter().any(|side| targets[number][*side as usize])
            })
        };
        for person in &mut lists[place(module)] {
            let sides: Vec<Side> =
                [Side::Zoho, Side::Vtiger].into_iter().filter(|side| person.shown(*side).is_some()).collect();
            let both = sides.len() == 2;
            let target = if rng.chance(percent) { pick(&mut rng, person.number, &sides) } else { None };
            for side in sides {
                let differs = both && side == Side::Vtiger && rng.chance(4);
                let target = if differs { pick(&mut rng, person.number, &[side]) } else { target };
                let forgotten = both && rng.chance(12);
                let Some(number) = target.filter(|number| targets[*number][side as usize] && !forgotten) else {
                    continue;
                };
                let shown = match side {
                    Side::Zoho => person.zoho.as_mut(),
                    Side::Vtiger => person.vtiger.as_mut(),
                };
                if let Some(shown) = shown {
                    shown.references.insert(reference.zoho, number);
                }
            }
        }
    }
}

fn address(rng: &mut Rng, prefix: &str, place: &Place, values: &mut Values) {
    let street = format!("{} {}", rng.pick(STREETS), 1 + rng.below(180));
    let street = if rng.chance(10) { format!("{street}\n{}. floor", 1 + rng.below(9)) } else { street };
    let names = match prefix {
        "Mailing" => ["Mailing_Street", "Mailing_City", "Mailing_State", "Mailing_Zip", "Mailing_Country"],
        "Billing" => ["Billing_Street", "Billing_City", "Billing_State", "Billing_Code", "Billing_Country"],
        "Shipping" => ["Shipping_Street", "Shipping_City", "Shipping_State", "Shipping_Code", "Shipping_Country"],
        "" => ["Street", "City", "State", "Zip_Code", "Country"],
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
        "Lead_Source" => rng.pick(LEAD_SOURCE.to_vtiger).0.to_owned(),
        "Designation" => rng.pick(TITLES).to_string(),
        "Employees" | "No_of_Employees" => (6_000 + rng.below(900)).to_string(),
        "Annual_Revenue" => (10_000_000 + rng.below(900)).to_string(),
        "Website" => website(rng),
        "Company" => format!("{value} Group"),
        "Email_Opt_Out" => (value != "true").to_string(),
        "Secondary_Email" => format!("other.{value}"),
        "Phone" | "Mobile" | "Home_Phone" | "Other_Phone" | "Fax" | "Asst_Phone" => {
            number_of(rng.pick(PLACES), 8, rng.below(90_000_000))
        }
        "Mailing_Street" | "Other_Street" | "Billing_Street" | "Shipping_Street" | "Street" => {
            format!("{} {}", rng.pick(STREETS), 200 + rng.below(90))
        }
        _ => value.to_owned(),
    }
}

/// Ids follow the order of creation, which is another one on each side; imports leave many records with one time.
fn give_ids_and_times(seed: u64, module: Module, people: &mut [Person], vtiger_first: u64) {
    let (zoho_first, prefix) = match module {
        Module::Accounts => (400_000, 11),
        Module::Contacts => (500_000, 12),
        Module::Leads => (700_000, 10),
    };
    for side in [Side::Zoho, Side::Vtiger] {
        let side_name = if side == Side::Zoho { "zoho" } else { "vtiger" };
        let mut rng = Rng::fork(seed, &format!("{side_name} {} ids", module.name()));
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
                    Side::Zoho => format!("5725767{:012}", zoho_first + place),
                    Side::Vtiger => format!("{prefix}x{}", vtiger_first + place as u64),
                };
                (shown.created_ms, shown.modified_ms) = (created_ms, created_ms + later_ms);
            }
        }
    }
}

fn ambiguous(module: Module, people: &[Person], group: &[usize]) -> Ambiguous {
    let ids = |side: Side| group.iter().filter_map(|index| Some(people[*index].shown(side)?.id.clone())).collect();
    Ambiguous { module, zoho: ids(Side::Zoho), vtiger: ids(Side::Vtiger), reason: "more-than-one-match" }
}
