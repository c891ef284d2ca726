//! Fills a new server with the Vtiger half of the seeded population.

use super::profile::Profile;
use super::schema::Schema;
use super::server::clock_text;
use super::store::{Group, Record, Store, User, directory_record, label_text};
use super::value::stored;
use super::writes::{Author, initial, split_id};
use crate::people::{Module, Population, Side};
use crate::rng::Rng;

/// What a user gets who has finished the first-login page.
const CURRENCY_DECIMALS: usize = 2;
const ACCESS_KEY_DIGITS: usize = 16;
/// The group whose members are the users who are not administrators.
const SALES_GROUP: u64 = 2;

/// The database of a server that has just been started. The first user of the population is its administrator.
pub(super) fn seeded(population: &Population, profile: Profile, seed: u64) -> Store {
    let users = users(population, seed);
    let mut store = Store::new(Schema::new(profile.custom_key, profile.source), users, groups(), profile);
    store.settings = settings(&store.schema, seed);
    for module in Module::ALL {
        for shown in population.shown(module, Side::Vtiger) {
            let fields = shown.vtiger_fields(module);
            let owner = population.users[shown.owner].vtiger_id.and_then(split_id).map_or(1, |(_, number)| number);
            let owner = owner.to_string();
            let mut values: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            values.push(("assigned_user_id", owner.as_str()));
            for reference in module.references() {
                let target = population.pointed_to(module, Side::Vtiger, shown, reference.zoho);
                values.extend(target.map(|id| (reference.vtiger, id)));
            }
            let times = (shown.created_ms / 1_000, shown.modified_ms / 1_000);
            add(&mut store, profile, module.name(), &shown.id, &values, times);
        }
    }
    store
}

fn users(population: &Population, seed: u64) -> Vec<User> {
    let mut rng = Rng::fork(seed, "vtiger access keys");
    population
        .users_of(Side::Vtiger)
        .filter_map(|user| Some((user, split_id(user.vtiger_id?)?.1)))
        .enumerate()
        .map(|(index, (user, number))| {
            let (first_name, last_name) = user.name.rsplit_once(' ').unwrap_or(("", user.name));
            let administrator = index == 0;
            User {
                number,
                name: user.vtiger_name.to_owned(),
                access_key: rng.hex(ACCESS_KEY_DIGITS),
                first_name: first_name.to_owned(),
                last_name: last_name.to_owned(),
                email: user.email.to_owned(),
                administrator,
                active: user.active,
                groups: if administrator { Vec::new() } else { vec![SALES_GROUP] },
                currency_decimals: CURRENCY_DECIMALS,
            }
        })
        .collect()
}

/// One currency, and the company whose installation this is: its name tells the servers of two seeds apart.
fn settings(schema: &Schema, seed: u64) -> Vec<Record> {
    let currency = |name: &str| match name {
        "currency_name" => "USA, Dollars".to_owned(),
        "currency_code" => "USD".to_owned(),
        "currency_symbol" => "$".to_owned(),
        "conversion_rate" => "1.00000".to_owned(),
        "currency_status" => "Active".to_owned(),
        "defaultid" => "-11".to_owned(),
        "deleted" => "0".to_owned(),
        _ => String::new(),
    };
    let company = |name: &str| match name {
        "organizationname" => format!("Acme Office {seed}"),
        "city" => "Oslo".to_owned(),
        "country" => "Norway".to_owned(),
        _ => String::new(),
    };
    let row = |name: &str, value: &dyn Fn(&str) -> String| Some(directory_record(schema.module(name)?, 1, value));
    [row("Currency", &currency), row("CompanyDetails", &company)].into_iter().flatten().collect()
}

fn groups() -> Vec<Group> {
    let group = |number, name, description| Group { number, name, description };
    vec![
        group(SALES_GROUP, "Team Selling", "Group Related to Sales"),
        group(3, "Marketing Group", "Group Related to Marketing Activities"),
        group(4, "Support Group", "Group Related to providing Support to Customers"),
    ]
}

/// Adds a record as if the administrator had typed it in. Owners are bare numbers here.
fn add(
    store: &mut Store,
    profile: Profile,
    module: &str,
    id: &str,
    set: &[(&str, &str)],
    (created_s, modified_s): (i64, i64),
) {
    let module = store.schema.module(module).expect("the population knows the modules");
    let (_, number) = split_id(id).expect("the population makes whole ids");
    let administrator = store.users.first().expect("the population has an administrator").clone();
    let creator = administrator.number;
    let zone_s = profile.db_zone_s;
    let author = Author { user: administrator, now_s: created_s, zone_s, source: "CRM" };
    let made = store.made(module.name) + 1;
    let value = |field: &super::schema::Field| match set.iter().find(|(name, _)| *name == field.name) {
        Some((_, value)) => stored(field, value, CURRENCY_DECIMALS).expect("the population has readable dates"),
        None if field.name == "modifiedtime" => clock_text(modified_s + zone_s),
        None if field.name == "modifiedby" => format!("19x{creator}"),
        None => initial(field, module, made, &author),
    };
    let values: Vec<String> = module.fields.iter().map(value).collect();
    let label = label_text(module, |position| values[position].clone());
    let record =
        Record { module: module.name, number, values, label, modified_s, deleted: false, converted: false, creator };
    store.seed(record);
}
