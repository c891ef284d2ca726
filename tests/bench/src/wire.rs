//! Contacts as the two CRMs spell them, read the plain way: `serde` structs with a type for each kind of field.

use crmsync::engine::RemoteRecord;
use crmsync_core::Value;
use crmsync_plugin::time;
use serde::Deserialize;

/// A field's text or number in the CRM's spelling, on its way to the host's value.
trait Field {
    fn value(self) -> Value;
}

/// Declares a contact: one member for each field, its type, and the CRM's name of it. The order is that of the values.
macro_rules! contact {
    ($(#[$doc:meta])* $name:ident, changed $changed:literal { $($field:ident: $kind:ty = $api:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        pub(super) struct $name {
            id: String,
            #[serde(rename = $changed)]
            changed: String,
            $(#[serde(rename = $api)] $field: $kind,)*
        }

        impl $name {
            /// The CRM's names of the fields.
            pub(super) const FIELDS: &[&str] = &[$($api),*];

            fn into_values(self) -> Vec<Value> {
                vec![$(self.$field.value()),*]
            }
        }
    };
}

contact! {
    /// A contact of Zoho CRM.
    ZohoContact, changed "Modified_Time" {
        salutation: Choice = "Salutation",
        first_name: Option<String> = "First_Name",
        last_name: Option<String> = "Last_Name",
        title: Option<String> = "Title",
        department: Option<String> = "Department",
        email: Option<String> = "Email",
        secondary_email: Option<String> = "Secondary_Email",
        phone: Option<String> = "Phone",
        mobile: Option<String> = "Mobile",
        home_phone: Option<String> = "Home_Phone",
        other_phone: Option<String> = "Other_Phone",
        fax: Option<String> = "Fax",
        assistant_phone: Option<String> = "Asst_Phone",
        assistant: Option<String> = "Assistant",
        date_of_birth: Day = "Date_of_Birth",
        lead_source: Choice = "Lead_Source",
        email_opt_out: Option<bool> = "Email_Opt_Out",
        mailing_street: Option<String> = "Mailing_Street",
        mailing_city: Option<String> = "Mailing_City",
        mailing_state: Option<String> = "Mailing_State",
        mailing_zip: Option<String> = "Mailing_Zip",
        mailing_country: Option<String> = "Mailing_Country",
        other_street: Option<String> = "Other_Street",
        other_city: Option<String> = "Other_City",
        other_state: Option<String> = "Other_State",
        other_zip: Option<String> = "Other_Zip",
        other_country: Option<String> = "Other_Country",
        description: Option<String> = "Description",
        account: Lookup<Account> = "Account_Name",
        owner: Lookup<User> = "Owner",
    }
}

contact! {
    /// A contact of Vtiger, where every value is a text.
    VtigerContact, changed "modifiedtime" {
        salutation: Option<String> = "salutationtype",
        first_name: Option<String> = "firstname",
        last_name: Option<String> = "lastname",
        title: Option<String> = "title",
        department: Option<String> = "department",
        email: Option<String> = "email",
        secondary_email: Option<String> = "secondaryemail",
        phone: Option<String> = "phone",
        mobile: Option<String> = "mobile",
        home_phone: Option<String> = "homephone",
        other_phone: Option<String> = "otherphone",
        fax: Option<String> = "fax",
        assistant_phone: Option<String> = "assistantphone",
        assistant: Option<String> = "assistant",
        date_of_birth: Day = "birthday",
        lead_source: Option<String> = "leadsource",
        email_opt_out: Flag = "emailoptout",
        mailing_street: Option<String> = "mailingstreet",
        mailing_city: Option<String> = "mailingcity",
        mailing_state: Option<String> = "mailingstate",
        mailing_zip: Option<String> = "mailingzip",
        mailing_country: Option<String> = "mailingcountry",
        other_street: Option<String> = "otherstreet",
        other_city: Option<String> = "othercity",
        other_state: Option<String> = "otherstate",
        other_zip: Option<String> = "otherzip",
        other_country: Option<String> = "othercountry",
        description: Option<String> = "description",
        account: EntityId = "account_id",
        owner: EntityId = "assigned_user_id",
    }
}

/// A list's answer.
#[derive(Debug, Deserialize)]
pub(super) struct ZohoPage {
    pub(super) data: Vec<ZohoContact>,
    pub(super) info: ZohoInfo,
}

#[derive(Debug, Deserialize)]
pub(super) struct ZohoInfo {
    pub(super) more_records: bool,
}

/// A query's answer.
#[derive(Debug, Deserialize)]
pub(super) struct VtigerPage {
    pub(super) result: Vec<VtigerContact>,
}

impl ZohoContact {
    /// The time of the last change in microseconds since 1970.
    pub(super) fn changed_us(&self) -> Option<i64> {
        time::parse_instant(&self.changed)
    }

    pub(super) fn into_record(self) -> Option<RemoteRecord> {
        let changed_us = self.changed_us()?;
        Some(RemoteRecord {
            id: self.id.clone(),
            version: time::format_instant(changed_us),
            modified_at_ms: changed_us / 1_000,
            values: self.into_values(),
        })
    }
}

impl VtigerContact {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn into_record(self) -> Option<RemoteRecord> {
        Some(RemoteRecord {
            id: self.id.clone(),
            version: self.changed.clone(),
            modified_at_ms: time::parse_local(&self.changed)? / 1_000,
            values: self.into_values(),
        })
    }
}

impl Field for Option<String> {
    fn value(self) -> Value {
        self.map_or(Value::Empty, Value::text)
    }
}

impl Field for Option<bool> {
    fn value(self) -> Value {
        self.map_or(Value::Empty, Value::Boolean)
    }
}

/// A pick list's value, with Zoho's word for nothing.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Choice(Option<String>);

impl Field for Choice {
    fn value(self) -> Value {
        self.0.filter(|text| text != "-None-").value()
    }
}

/// `2001-02-03`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Day(Option<String>);

impl Field for Day {
    fn value(self) -> Value {
        match self.0 {
            Some(text) if !text.is_empty() => time::parse_date(&text).map_or(Value::Raw(text), Value::Date),
            _ => Value::Empty,
        }
    }
}

/// `1` or `0`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Flag(Option<String>);

impl Field for Flag {
    fn value(self) -> Value {
        match self.0.as_deref() {
            Some("1" | "on") => Value::Boolean(true),
            Some("0" | "off") => Value::Boolean(false),
            Some("") | None => Value::Empty,
            Some(other) => Value::Raw(other.to_owned()),
        }
    }
}

/// An id with the number of its module before the `x`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct EntityId(Option<String>);

impl Field for EntityId {
    fn value(self) -> Value {
        let Some(id) = self.0.filter(|id| !id.is_empty()) else { return Value::Empty };
        match id.split_once('x') {
            Some(("11", _)) => Value::Reference(format!("Accounts/{id}")),
            Some(("19", _)) => Value::Reference(format!("Users/{id}")),
            Some(("20", _)) => Value::Reference(format!("Groups/{id}")),
            _ => Value::Raw(id),
        }
    }
}

/// An object with the id of a record of the module `M`.
#[derive(Debug, Deserialize)]
#[serde(transparent, bound = "")]
struct Lookup<M>(Option<LookupId>, #[serde(skip)] std::marker::PhantomData<M>);

#[derive(Debug, Deserialize)]
struct LookupId {
    id: String,
}

/// A module that lookups point to.
trait Target {
    const MODULE: &str;
}

#[derive(Debug)]
struct Account;
#[derive(Debug)]
struct User;

impl Target for Account {
    const MODULE: &str = "Accounts";
}

impl Target for User {
    const MODULE: &str = "Users";
}

impl<M: Target> Field for Lookup<M> {
    fn value(self) -> Value {
        self.0.map_or(Value::Empty, |to| Value::Reference(format!("{}/{}", M::MODULE, to.id)))
    }
}
