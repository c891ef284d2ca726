//! What the server is seeded with.

use serde_json::Value;

use super::super::profile::Profile;
use super::super::schema;
use super::client::start;
use crate::people;
use crate::scenario::{Phase, Scenario};

#[tokio::test]
async fn the_records_are_those_of_the_population() {
    let client = start("default", 40).await;
    let body = client.control("records/Contacts", None).await;
    let records = body["records"].as_array().expect("records");
    let scenario = Scenario::new(7, 40);
    let shown = scenario.population.zoho_contacts();
    assert_eq!(records.len(), shown.len());
    for (record, shown) in records.iter().zip(shown) {
        assert_eq!(record["id"], shown.id);
        for (name, value) in &shown.values {
            let found = &record[*name];
            assert_eq!(
                found.as_str().map(str::to_owned).or(found.as_bool().map(|flag| flag.to_string())).as_ref(),
                Some(value)
            );
        }
    }
    let verdict = scenario.verify(Phase::FirstSync, records, &[] as &[Value]);
    assert!(!verdict.is_clean(), "nothing was synchronised yet");
}

#[test]
fn seeded_values_keep_zohos_own_limits() {
    let modules = schema::modules(&Profile::parse("default").expect("a profile"));
    for seed in 0..3 {
        let population = people::generate(seed, 500);
        for module in people::Module::ALL {
            let known = modules.iter().find(|known| known.api_name == module.name()).expect("the module");
            for shown in population.shown(module, people::Side::Zoho) {
                for (name, value) in &shown.values {
                    let field = known.field(name).unwrap_or_else(|| panic!("{name} is no field"));
                    assert!(value.chars().count() <= field.chars_max, "{name} {value}");
                }
            }
        }
    }
}
