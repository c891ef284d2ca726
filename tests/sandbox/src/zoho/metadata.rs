//! Users, the organization, modules, fields and layouts.

use serde_json::{Value, json};
use time::UtcOffset;

use super::list::{numbered_page, per_page};
use super::params::Params;
use super::profile::{Profile, UniqueForm};
use super::refusal::{JSON, Refusal};
use super::schema::{Field, Kind, Module};
use super::store::{Member, Store};
use super::when;
use crate::http::{Answer, Request};

/// The organization's settings were last changed then: 2023-01-01 00:00:00 UTC.
const SETTINGS_MODIFIED_MS: i64 = 1_672_531_200_000;
/// The id of the organization, which a login is compared by.
const ORG_ID: &str = "5725767000000020001";

/// `GET /crm/v8/users` and `/users/{id}`.
pub(super) fn users(store: &Store, params: &Params, id: Option<&str>) -> Result<Answer, Refusal> {
    let kind = params.get("type").unwrap_or("AllUsers");
    let wanted = |member: &Member, place: usize| match kind {
        "CurrentUser" | "AdminUsers" | "ActiveConfirmedAdmins" => place == 0,
        "ActiveUsers" | "ActiveConfirmedUsers" => member.active,
        "DeactiveUsers" => !member.active,
        _ => true,
    };
    let per_page = per_page(params)?;
    let page = numbered_page(params, per_page)?;
    let found: Vec<Value> = store
        .members
        .iter()
        .enumerate()
        .filter(|(place, member)| id.map_or_else(|| wanted(member, *place), |id| id == member.id))
        .map(|(place, member)| user(member, place, store))
        .collect();
    let start = ((page - 1) * per_page).min(found.len());
    let rows = &found[start..(start + per_page).min(found.len())];
    if rows.is_empty() {
        return Ok(Answer::empty(204));
    }
    let more = start + rows.len() < found.len();
    let info = json!({"per_page": per_page, "count": rows.len(), "page": page, "more_records": more});
    Ok(Answer::json(200, JSON, &json!({"users": rows, "info": info})).with_rows(rows.len()))
}

fn user(member: &Member, place: usize, store: &Store) -> Value {
    let (first, last) = member.name.split_once(' ').unwrap_or(("", &member.name));
    let profile = match place == 0 && store.rights.administrator {
        true => ("Administrator", "5725767000000026011"),
        false => ("Standard", "5725767000000026014"),
    };
    json!({
        "id": member.id,
        "full_name": member.name,
        "first_name": first,
        "last_name": last,
        "email": member.email,
        "status": if member.active { "active" } else { "disabled" },
        "confirm": true,
        "zuid": format!("69{:07}", 4_000_001 + place),
        "role": {"name": if place == 0 { "CEO" } else { "Manager" }, "id": "5725767000000026005"},
        "profile": {"name": profile.0, "id": profile.1},
        "time_zone": zone_name(store.zone),
        "locale": "en_US",
        "type__s": "Regular User",
    })
}

/// A zone's name for the offset; zones without daylight saving, so that the offset holds all year.
fn zone_name(zone: UtcOffset) -> String {
    match zone.whole_minutes() {
        0 => "Etc/UTC".to_owned(),
        330 => "Asia/Kolkata".to_owned(),
        // The names of these zones count the hours the other way round.
        minutes if minutes % 60 == 0 => format!("Etc/GMT{:+}", -minutes / 60),
        _ => format!("GMT{zone}"),
    }
}

/// `GET /crm/v8/org`.
pub(super) fn org(zone: UtcOffset) -> Answer {
    let org = json!({
        "id": ORG_ID,
        "zgid": "694000001",
        "company_name": "ACME Sandbox",
        "primary_email": "office@acme.example",
        "type": "production",
        "time_zone": zone_name(zone),
        "country_code": "US",
        "currency": "US Dollar",
        "currency_symbol": "$",
        "iso_code": "USD",
        "mc_status": false,
        "license_details": {"paid": true, "paid_type": "enterprise", "users_license_purchased": 3, "trial_type": null},
    });
    Answer::json(200, JSON, &json!({"org": [org]})).with_rows(1)
}

/// `GET /crm/v8/settings/{what}`.
pub(super) fn settings(
    modules: &[Module],
    what: &[&str],
    params: &Params,
    request: &Request,
    profile: &Profile,
) -> Result<Answer, Refusal> {
    let zone = profile.zone;
    match what {
        ["modules"] => {
            let since_ms = request.header("if-modified-since").and_then(when::parse);
            if since_ms.is_some_and(|since_ms| since_ms > SETTINGS_MODIFIED_MS) {
                return Ok(Answer::empty(304));
            }
            let rows: Vec<Value> = modules.iter().map(|module| module_row(module, zone)).collect();
            Ok(Answer::json(200, JSON, &json!({"modules": rows})).with_rows(rows.len()))
        }
        ["modules", name] => {
            let module = find(modules, name)?;
            Ok(Answer::json(200, JSON, &json!({"modules": [module_row(module, zone)]})).with_rows(1))
        }
        ["fields"] => {
            let module = named(modules, params)?;
            let row = |(place, field)| field_row(module, field, place, profile.unique);
            let rows: Vec<Value> = module.fields.iter().enumerate().map(row).collect();
            Ok(Answer::json(200, JSON, &json!({"fields": rows})).with_rows(rows.len()))
        }
        ["layouts"] => Ok(Answer::json(200, JSON, &json!({"layouts": [layout(named(modules, params)?)]})).with_rows(1)),
        _ => Err(not_a_url()),
    }
}

/// The refusal of a path that leads nowhere.
pub(super) fn not_a_url() -> Refusal {
    Refusal::new(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one")
}

/// The module with this name.
pub(super) fn find<'a>(modules: &'a [Module], name: &str) -> Result<&'a Module, Refusal> {
    modules.iter().find(|module| module.api_name == name).ok_or_else(|| {
        Refusal::new(400, "INVALID_MODULE", "the module name given seems to be invalid").with("resource_path_index", 0)
    })
}

fn named<'a>(modules: &'a [Module], params: &Params) -> Result<&'a Module, Refusal> {
    find(modules, params.get("module").ok_or_else(|| Refusal::missing_param("module"))?)
}

fn module_row(module: &Module, zone: UtcOffset) -> Value {
    json!({
        "api_name": module.api_name,
        "module_name": module.api_name,
        "singular_label": module.singular,
        "plural_label": module.plural,
        "id": format!("5725767{:012}", module.number),
        "generated_type": "default",
        "api_supported": true,
        "creatable": true,
        "editable": true,
        "deletable": true,
        "viewable": true,
        "visible": true,
        "status": "visible",
        "modified_time": when::show(SETTINGS_MODIFIED_MS, zone),
        "modified_by": null,
    })
}

fn field_row(module: &Module, field: &Field, place: usize, unique: UniqueForm) -> Value {
    let values: Vec<Value> = match field.kind {
        Kind::Picklist(values) => values
            .iter()
            .enumerate()
            .map(|(index, value)| {
                json!({
                    "display_value": value,
                    "actual_value": value,
                    "reference_value": value,
                    "sequence_number": index + 1,
                    "type": "used",
                    "id": format!("5725767{:012}", (module.number * 1_000 + place as u64) * 100 + index as u64),
                })
            })
            .collect(),
        _ => Vec::new(),
    };
    let lookup = match field.kind {
        Kind::Lookup(target) => {
            json!({"display_label": target, "api_name": field.api_name, "module": {"api_name": target}})
        }
        _ => json!({}),
    };
    json!({
        "id": module.field_id(place),
        "api_name": field.api_name,
        "field_label": field.label,
        "display_label": field.label,
        "data_type": field.kind.data_type(),
        "json_type": field.kind.json_type(),
        "length": field.chars_max,
        "system_mandatory": field.mandatory && !field.by_layout,
        "custom_field": field.custom,
        "read_only": field.read_only,
        "field_read_only": field.read_only,
        "visible": true,
        "unique": if field.unique { unique_word(unique) } else { json!({}) },
        "external": null,
        "lookup": lookup,
        "pick_list_values": values,
        "operation_type": {
            "api_create": !field.read_only,
            "api_update": !field.read_only,
            "web_create": !field.read_only,
            "web_update": !field.read_only,
        },
    })
}

fn unique_word(form: UniqueForm) -> Value {
    match form {
        UniqueForm::Text => json!({"casesensitive": "false"}),
        UniqueForm::Boolean => json!({"casesensitive": false}),
        UniqueForm::Null => json!({"casesensitive": null}),
        UniqueForm::Underscore => json!({"case_sensitive": false}),
        UniqueForm::Bare => json!(true),
    }
}

fn layout(module: &Module) -> Value {
    let fields: Vec<Value> = module
        .fields
        .iter()
        .enumerate()
        .map(|(place, field)| {
            json!({"id": module.field_id(place), "api_name": field.api_name, "required": field.mandatory, "data_type": field.kind.data_type()})
        })
        .collect();
    json!({
        "id": format!("5725767{:012}", module.number * 10),
        "name": "Standard",
        "display_label": "Standard",
        "status": "active",
        "visible": true,
        "api_name": "Standard",
        "sections": [{"api_name": format!("{} Information", module.singular), "display_label": format!("{} Information", module.singular), "sequence_number": 1, "fields": fields}],
    })
}
