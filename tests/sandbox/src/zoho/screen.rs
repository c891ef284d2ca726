//! What only people do at the screen: converting a lead, merging two records.

use serde_json::{Map, Value, json};

use super::schema::Module;
use super::write::{Writing, member};
use crate::history::Actor;

impl Writing<'_> {
    /// Makes an organization and a contact of a lead; gives their ids.
    pub(super) fn convert(&mut self, lead: u64, accounts: &Module, contacts: &Module) -> Value {
        let before = self.shown(lead);
        let values = self.record(lead).map(|record| record.values.clone()).unwrap_or_default();
        let company = values.get("Company").cloned().unwrap_or_default();
        let mut known = self.store.live(accounts).values();
        let known = known.find(|record| record.values.get("Account_Name") == Some(&company)).map(|record| record.id);
        let account = match (known, &company) {
            (None, Value::String(_)) => Some(self.create_in(accounts, became(&values, LEAD_TO_ACCOUNT))),
            (known, _) => known,
        };
        let mut contact = became(&values, LEAD_TO_CONTACT);
        contact.extend(account.map(|id| ("Account_Name".to_owned(), json!(id.to_string()))));
        let contact = self.create_in(contacts, contact);
        let became = [("Converted_Account", account), ("Converted_Contact", Some(contact))];
        self.store.convert(lead, became, member(Actor::Person), self.now_ms);
        let made = json!({"Accounts": account.map(|id| id.to_string()), "Contacts": contact.to_string()});
        self.note(Actor::Person, lead, "convert", before, Some(made.clone()), (0, 0));
        made
    }

    /// Makes two records of one module one: `into` stays.
    pub(super) fn merge(&mut self, id: u64, into: u64) {
        let before = self.shown(id);
        let own = self.record(id).map(|record| record.values.clone()).unwrap_or_default();
        let kept = self.record(into).map(|record| record.values.clone()).unwrap_or_default();
        let unique = |name: &str| self.module.unique_fields().any(|field| field.api_name == name);
        let is_survivor = |value: &Value| value.as_str() == Some(&into.to_string());
        let fills: Map<String, Value> = own
            .into_iter()
            .filter(|(name, value)| !kept.contains_key(name) && !unique(name) && !is_survivor(value))
            .collect();
        self.edit(into, fills, Actor::Person, false);
        self.store.merge(self.module, id, into, member(Actor::Person), self.now_ms);
        self.note(Actor::Person, id, "merge", before, Some(json!({"into": into.to_string()})), (0, 0));
    }

    fn create_in(&mut self, module: &Module, values: Map<String, Value>) -> u64 {
        let mut elsewhere =
            Writing { store: self.store, module, shared: self.shared, unmodified_since_ms: None, now_ms: self.now_ms };
        elsewhere.create(values, Actor::Person, false)
    }
}

/// Fields of a lead and what they are called in the organization that is made of it.
const LEAD_TO_ACCOUNT: &[(&str, &str)] = &[
    ("Company", "Account_Name"),
    ("Owner", "Owner"),
    ("Phone", "Phone"),
    ("Fax", "Fax"),
    ("Website", "Website"),
    ("Industry", "Industry"),
    ("Annual_Revenue", "Annual_Revenue"),
    ("No_of_Employees", "Employees"),
    ("Rating", "Rating"),
    ("Street", "Billing_Street"),
    ("City", "Billing_City"),
    ("State", "Billing_State"),
    ("Zip_Code", "Billing_Code"),
    ("Country", "Billing_Country"),
];

/// Fields of a lead and what they are called in the contact that is made of it.
const LEAD_TO_CONTACT: &[(&str, &str)] = &[
    ("Owner", "Owner"),
    ("Salutation", "Salutation"),
    ("First_Name", "First_Name"),
    ("Last_Name", "Last_Name"),
    ("Designation", "Title"),
    ("Email", "Email"),
    ("Secondary_Email", "Secondary_Email"),
    ("Phone", "Phone"),
    ("Mobile", "Mobile"),
    ("Fax", "Fax"),
    ("Lead_Source", "Lead_Source"),
    ("Email_Opt_Out", "Email_Opt_Out"),
    ("Street", "Mailing_Street"),
    ("City", "Mailing_City"),
    ("State", "Mailing_State"),
    ("Zip_Code", "Mailing_Zip"),
    ("Country", "Mailing_Country"),
    ("Description", "Description"),
];

fn became(lead: &Map<String, Value>, names: &[(&str, &str)]) -> Map<String, Value> {
    let value = |&(from, to): &(&str, &str)| Some((to.to_owned(), lead.get(from)?.clone()));
    names.iter().filter_map(value).collect()
}
