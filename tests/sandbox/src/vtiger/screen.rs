//! What only people do at the screen: converting a lead, merging two records.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::collation::fold;
use super::schema::Kind;
use super::store::{Record, Store};
use super::writes::{Author, Change, Changing, change, create, record_by_id, stamp};

/// What a conversion made, and the lead as it was.
pub(super) struct Converted {
    /// New records in the order in which they were made.
    pub(super) made: Vec<Change>,
    /// The lead before.
    pub(super) lead: Record,
    /// Id of the organization, if the lead has a company.
    pub(super) account: Option<String>,
    /// Id of the contact.
    pub(super) contact: String,
}

/// Makes an organization and a contact of a lead.
///
/// # Errors
/// For an id that is no lead, and for one that was converted already.
pub(super) fn convert(store: &mut Store, id: &str, author: &Author) -> Result<Converted, Refusal> {
    let lead = record_by_id(store, id, &author.user)?.clone();
    let module = store.module_of(&lead);
    if module.name != "Leads" {
        return Err(Refusal::coded("INVALID_ID_ATTRIBUTE", "Id specified is incorrect"));
    }
    if lead.converted {
        return Err(Refusal::coded("LEAD_ALREADY_CONVERTED", "Lead is already converted"));
    }
    let value = |name: &str| module.position(name).map_or(String::new(), |at| lead.values[at].clone());
    let owner = format!("19x{}", value("assigned_user_id"));
    let became = |names: &[(&str, &str)]| -> Map<String, Value> {
        let values = names.iter().map(|(from, to)| ((*to).to_owned(), json!(value(from))));
        values
            .chain([("assigned_user_id".to_owned(), json!(owner)), ("isconvertedfromlead".to_owned(), json!("1"))])
            .collect()
    };
    let (account, mut contact) = (became(LEAD_TO_ACCOUNT), became(LEAD_TO_CONTACT));
    let company = value("company");
    let mut made = Vec::new();
    let account = match (known_account(store, &company), company.is_empty()) {
        (Some(id), _) => Some(id),
        (None, true) => None,
        (None, false) => {
            let change = create(store, "Accounts", &account, author)?;
            let id = store.any(change.number).map(|record| store.id_of(record));
            made.push(change);
            id
        }
    };
    contact.extend(account.as_ref().map(|id| ("account_id".to_owned(), json!(id))));
    let change = create(store, "Contacts", &contact, author)?;
    let contact = store.any(change.number).map(|record| store.id_of(record)).unwrap_or_default();
    made.push(change);
    let mut converted = Record { converted: true, ..lead.clone() };
    stamp(store.module_of(&lead), &mut converted, author);
    store.insert(converted);
    Ok(Converted { made, lead, account, contact })
}

/// Makes two records of one module one: `into` stays. Gives what happened to the survivor and to what pointed to the other record.
///
/// # Errors
/// For ids that are not of one module, or of one and the same record.
pub(super) fn merge(store: &mut Store, id: &str, into: &str, author: &Author) -> Result<Vec<Change>, Refusal> {
    let lost = record_by_id(store, id, &author.user)?.clone();
    let kept = record_by_id(store, into, &author.user)?.clone();
    if lost.module != kept.module || lost.number == kept.number {
        return Err(Refusal::coded("INVALID_ID_ATTRIBUTE", "Id specified is incorrect"));
    }
    let module = store.module_of(&lost);
    let mut fills = Map::from_iter([("id".to_owned(), json!(into))]);
    for (position, field) in module.fields.iter().enumerate() {
        let (own, others) = (&kept.values[position], &lost.values[position]);
        let text = matches!(field.kind, Kind::Text { .. } | Kind::LongText | Kind::Date | Kind::Reference(_));
        if text && own.is_empty() && !others.is_empty() && others != into {
            fills.insert(field.name.to_owned(), json!(others));
        }
    }
    let pointing: Vec<(String, &'static str)> =
        store.references_to(id).into_iter().map(|(record, field)| (store.id_of(record), field)).collect();
    let mut gone = lost.clone();
    stamp(store.module_of(&lost), &mut gone, author);
    gone.deleted = true;
    store.insert(gone);
    let mut changes = vec![change(store, Changing::Revise, &fills, author)?];
    for (record, field) in pointing {
        // The survivor cannot be above itself.
        let target = if record == into { "" } else { into };
        let set = Map::from_iter([("id".to_owned(), json!(record)), (field.to_owned(), json!(target))]);
        changes.push(change(store, Changing::Revise, &set, author)?);
    }
    Ok(changes)
}

fn known_account(store: &Store, company: &str) -> Option<String> {
    let module = store.schema.module("Accounts")?;
    let name = module.position("accountname")?;
    let wanted = fold(company);
    let mut accounts = store.records_of("Accounts").filter(|record| !record.deleted);
    accounts
        .find(|record| !company.is_empty() && fold(&record.values[name]) == wanted)
        .map(|record| store.id_of(record))
}

/// Fields of a lead and what they are called in the organization that is made of it.
const LEAD_TO_ACCOUNT: &[(&str, &str)] = &[
    ("company", "accountname"),
    ("phone", "phone"),
    ("fax", "fax"),
    ("website", "website"),
    ("industry", "industry"),
    ("annualrevenue", "annual_revenue"),
    ("noofemployees", "employees"),
    ("rating", "rating"),
    ("lane", "bill_street"),
    ("city", "bill_city"),
    ("state", "bill_state"),
    ("code", "bill_code"),
    ("country", "bill_country"),
];

/// Fields of a lead and what they are called in the contact that is made of it.
const LEAD_TO_CONTACT: &[(&str, &str)] = &[
    ("salutationtype", "salutationtype"),
    ("firstname", "firstname"),
    ("lastname", "lastname"),
    ("designation", "title"),
    ("email", "email"),
    ("secondaryemail", "secondaryemail"),
    ("phone", "phone"),
    ("mobile", "mobile"),
    ("fax", "fax"),
    ("leadsource", "leadsource"),
    ("emailoptout", "emailoptout"),
    ("lane", "mailingstreet"),
    ("city", "mailingcity"),
    ("state", "mailingstate"),
    ("code", "mailingzip"),
    ("country", "mailingcountry"),
    ("description", "description"),
];
