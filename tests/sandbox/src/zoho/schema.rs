//! The modules and fields that this server knows, as tables: metadata, validation and lists all read them.

use super::profile::Profile;
use crate::crm::FieldRule;

/// The unique custom field that each module has in the default profile, free for a connector's own keys.
pub const CUSTOM_KEY_FIELD: &str = "crmsync_key";

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    TextArea,
    Email,
    Phone,
    Website,
    Picklist(&'static [&'static str]),
    Boolean,
    Date,
    /// Written by the server alone.
    DateTime,
    Integer,
    Currency,
    /// A record of this module.
    Lookup(&'static str),
    /// The owner: an active user.
    Owner,
    /// Who made or changed the record; written by the server alone.
    User,
}

impl Kind {
    /// The name in the metadata.
    pub(super) fn data_type(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::TextArea => "textarea",
            Kind::Email => "email",
            Kind::Phone => "phone",
            Kind::Website => "website",
            Kind::Picklist(_) => "picklist",
            Kind::Boolean => "boolean",
            Kind::Date => "date",
            Kind::DateTime => "datetime",
            Kind::Integer => "integer",
            Kind::Currency => "currency",
            Kind::Lookup(_) => "lookup",
            Kind::Owner | Kind::User => "ownerlookup",
        }
    }

    pub(super) fn json_type(self) -> &'static str {
        match self {
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Currency => "double",
            Kind::Lookup(_) | Kind::Owner | Kind::User => "jsonobject",
            _ => "string",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) api_name: &'static str,
    pub(super) label: &'static str,
    pub(super) kind: Kind,
    /// Longest text in characters.
    pub(super) chars_max: usize,
    pub(super) mandatory: bool,
    /// Only the layout demands it: the field's own description does not say so.
    pub(super) by_layout: bool,
    pub(super) read_only: bool,
    pub(super) unique: bool,
    pub(super) custom: bool,
}

impl Field {
    fn mandatory(self) -> Field {
        Field { mandatory: true, ..self }
    }

    fn mandatory_by_layout(self) -> Field {
        Field { mandatory: true, by_layout: true, ..self }
    }

    fn by_server(self) -> Field {
        Field { read_only: true, ..self }
    }

    fn chars(self, chars_max: usize) -> Field {
        Field { chars_max, ..self }
    }
}

fn field(api_name: &'static str, label: &'static str, kind: Kind) -> Field {
    let chars_max = match kind {
        Kind::TextArea => 32_000,
        Kind::Email | Kind::Text => 100,
        Kind::Phone => 30,
        Kind::Website => 450,
        Kind::Picklist(_) => 120,
        Kind::Integer => 9,
        Kind::Currency => 16,
        Kind::Date | Kind::DateTime | Kind::Boolean | Kind::Lookup(_) | Kind::Owner | Kind::User => 120,
    };
    Field {
        api_name,
        label,
        kind,
        chars_max,
        mandatory: false,
        by_layout: false,
        read_only: false,
        unique: false,
        custom: false,
    }
}

#[derive(Debug, Clone)]
pub(super) struct Module {
    pub(super) api_name: &'static str,
    pub(super) singular: &'static str,
    pub(super) plural: &'static str,
    /// The module's own id and the first part of the ids of its layout and fields.
    pub(super) number: u64,
    /// The field that `upsert` checks when the call names none.
    pub(super) system_field: &'static str,
    /// The field whose value names a record in lookups and lists of deleted records.
    pub(super) name_field: &'static str,
    pub(super) fields: Vec<Field>,
}

impl Module {
    pub(super) fn field(&self, api_name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.api_name == api_name)
    }

    /// Changes a field; false if there is none of this name.
    pub(super) fn set_field(&mut self, api_name: &str, rule: &FieldRule) -> bool {
        let Some(field) = self.fields.iter_mut().find(|field| field.api_name == api_name) else { return false };
        field.read_only = rule.read_only.unwrap_or(field.read_only);
        field.chars_max = rule.chars_max.unwrap_or(field.chars_max);
        field.unique = rule.unique.unwrap_or(field.unique);
        true
    }

    /// Fields of which no two records may have the same value.
    pub(super) fn unique_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.unique)
    }

    /// The id of a field in the metadata.
    pub(super) fn field_id(&self, place: usize) -> String {
        format!("5725767{:012}", self.number * 1_000 + place as u64)
    }
}

/// The modules that hold records.
pub(super) fn modules(profile: &Profile) -> Vec<Module> {
    let mut modules = vec![contacts(), accounts(), leads()];
    if profile.custom_key {
        for module in &mut modules {
            module.fields.push(Field {
                unique: true,
                custom: true,
                ..field(CUSTOM_KEY_FIELD, "CRMSync Key", Kind::Text).chars(64)
            });
        }
    }
    modules
}

const LEAD_SOURCES: &[&str] = &[
    "-None-",
    "Advertisement",
    "Cold Call",
    "Employee Referral",
    "External Referral",
    "Online Store",
    "X (Twitter)",
    "Facebook",
    "Partner",
    "Public Relations",
    "Sales Email Alias",
    "Seminar Partner",
    "Internal Seminar",
    "Trade Show",
    "Web Download",
    "Web Research",
    "Web Cases",
    "Web Mail",
    "Chat",
];

const RATINGS: &[&str] = &["-None-", "Acquired", "Active", "Market Failed", "Project Cancelled", "Shut Down"];

const LEAD_STATES: &[&str] = &[
    "-None-",
    "Attempted to Contact",
    "Contact in Future",
    "Contacted",
    "Junk Lead",
    "Lost Lead",
    "Not Contacted",
    "Pre-Qualified",
    "Not Qualified",
];

const INDUSTRIES: &[&str] = &[
    "-None-",
    "ASP (Application Service Provider)",
    "Data/Telecom OEM",
    "ERP (Enterprise Resource Planning)",
    "Government/Military",
    "Large Enterprise",
    "ManagementISV",
    "Network Equipment Enterprise",
    "Service Provider",
];

fn contacts() -> Module {
    let mut fields = vec![
        field("Owner", "Contact Owner", Kind::Owner),
        field("Lead_Source", "Lead Source", Kind::Picklist(LEAD_SOURCES)),
        field("Salutation", "Salutation", Kind::Picklist(&["-None-", "Mr.", "Mrs.", "Ms.", "Dr.", "Prof."])),
        field("First_Name", "First Name", Kind::Text).chars(40),
        field("Last_Name", "Last Name", Kind::Text).chars(80).mandatory(),
        field("Full_Name", "Full Name", Kind::Text).chars(120).by_server(),
        field("Account_Name", "Account Name", Kind::Lookup("Accounts")),
        field("Email", "Email", Kind::Email),
        field("Secondary_Email", "Secondary Email", Kind::Email),
        field("Title", "Title", Kind::Text),
        field("Department", "Department", Kind::Text).chars(50),
        field("Phone", "Phone", Kind::Phone),
        field("Home_Phone", "Home Phone", Kind::Phone),
        field("Other_Phone", "Other Phone", Kind::Phone),
        field("Mobile", "Mobile", Kind::Phone),
        field("Fax", "Fax", Kind::Phone),
        field("Assistant", "Assistant", Kind::Text).chars(50),
        field("Asst_Phone", "Asst Phone", Kind::Phone),
        field("Date_of_Birth", "Date of Birth", Kind::Date),
        field("Reporting_To", "Reporting To", Kind::Lookup("Contacts")),
        field("Email_Opt_Out", "Email Opt Out", Kind::Boolean),
        field("Skype_ID", "Skype ID", Kind::Text).chars(50),
        field("Twitter", "Twitter", Kind::Text).chars(50),
    ];
    fields.extend(address(
        ["Mailing_Street", "Mailing_City", "Mailing_State", "Mailing_Zip", "Mailing_Country"],
        ["Mailing Street", "Mailing City", "Mailing State", "Mailing Zip", "Mailing Country"],
    ));
    fields.extend(address(
        ["Other_Street", "Other_City", "Other_State", "Other_Zip", "Other_Country"],
        ["Other Street", "Other City", "Other State", "Other Zip", "Other Country"],
    ));
    fields.push(field("Description", "Description", Kind::TextArea));
    fields.extend(server_fields());
    Module {
        api_name: "Contacts",
        singular: "Contact",
        plural: "Contacts",
        number: 2_179,
        system_field: "Email",
        name_field: "Full_Name",
        fields,
    }
}

fn accounts() -> Module {
    let mut fields = vec![
        field("Owner", "Account Owner", Kind::Owner),
        field("Account_Name", "Account Name", Kind::Text).chars(200).mandatory(),
        field("Parent_Account", "Parent Account", Kind::Lookup("Accounts")),
        field("Account_Site", "Account Site", Kind::Text).chars(80),
        field(
            "Account_Type",
            "Account Type",
            Kind::Picklist(&[
                "-None-",
                "Analyst",
                "Competitor",
                "Customer",
                "Distributor",
                "Integrator",
                "Investor",
                "Other",
                "Partner",
                "Press",
                "Prospect",
                "Reseller",
                "Supplier",
                "Vendor",
            ]),
        ),
        field("Industry", "Industry", Kind::Picklist(INDUSTRIES)),
        field("Ownership", "Ownership", Kind::Picklist(&["-None-", "Other", "Private", "Public", "Subsidiary"])),
        field("Rating", "Rating", Kind::Picklist(RATINGS)),
        field("Employees", "Employees", Kind::Integer),
        field("Annual_Revenue", "Annual Revenue", Kind::Currency),
        field("SIC_Code", "SIC Code", Kind::Integer),
        field("Ticker_Symbol", "Ticker Symbol", Kind::Text).chars(30),
        field("Phone", "Phone", Kind::Phone),
        field("Fax", "Fax", Kind::Phone),
        field("Website", "Website", Kind::Website),
    ];
    fields.extend(address(
        ["Billing_Street", "Billing_City", "Billing_State", "Billing_Code", "Billing_Country"],
        ["Billing Street", "Billing City", "Billing State", "Billing Code", "Billing Country"],
    ));
    fields.extend(address(
        ["Shipping_Street", "Shipping_City", "Shipping_State", "Shipping_Code", "Shipping_Country"],
        ["Shipping Street", "Shipping City", "Shipping State", "Shipping Code", "Shipping Country"],
    ));
    fields.push(field("Description", "Description", Kind::TextArea));
    fields.extend(server_fields());
    Module {
        api_name: "Accounts",
        singular: "Account",
        plural: "Accounts",
        number: 2_177,
        system_field: "Account_Name",
        name_field: "Account_Name",
        fields,
    }
}

fn leads() -> Module {
    let mut fields = vec![
        field("Owner", "Lead Owner", Kind::Owner),
        field("Salutation", "Salutation", Kind::Picklist(&["-None-", "Mr.", "Mrs.", "Ms.", "Dr.", "Prof."])),
        field("First_Name", "First Name", Kind::Text).chars(40),
        field("Last_Name", "Last Name", Kind::Text).chars(80).mandatory(),
        field("Full_Name", "Full Name", Kind::Text).chars(120).by_server(),
        field("Company", "Company", Kind::Text).chars(200).mandatory_by_layout(),
        field("Designation", "Title", Kind::Text),
        field("Email", "Email", Kind::Email),
        field("Secondary_Email", "Secondary Email", Kind::Email),
        field("Phone", "Phone", Kind::Phone),
        field("Mobile", "Mobile", Kind::Phone),
        field("Fax", "Fax", Kind::Phone),
        field("Website", "Website", Kind::Website),
        field("Lead_Source", "Lead Source", Kind::Picklist(LEAD_SOURCES)),
        field("Lead_Status", "Lead Status", Kind::Picklist(LEAD_STATES)),
        field("Industry", "Industry", Kind::Picklist(INDUSTRIES)),
        field("Rating", "Rating", Kind::Picklist(RATINGS)),
        field("Annual_Revenue", "Annual Revenue", Kind::Currency),
        field("No_of_Employees", "No. of Employees", Kind::Integer),
        field("Email_Opt_Out", "Email Opt Out", Kind::Boolean),
        field("Skype_ID", "Skype ID", Kind::Text).chars(50),
        field("Twitter", "Twitter", Kind::Text).chars(50),
    ];
    fields.extend(address(
        ["Street", "City", "State", "Zip_Code", "Country"],
        ["Street", "City", "State", "Zip Code", "Country"],
    ));
    fields.extend([
        field("Description", "Description", Kind::TextArea),
        field("Converted__s", "Is Converted", Kind::Boolean).by_server(),
        field("Converted_Account", "Converted Account", Kind::Lookup("Accounts")).by_server(),
        field("Converted_Contact", "Converted Contact", Kind::Lookup("Contacts")).by_server(),
    ]);
    fields.extend(server_fields());
    Module {
        api_name: "Leads",
        singular: "Lead",
        plural: "Leads",
        number: 2_175,
        system_field: "Email",
        name_field: "Full_Name",
        fields,
    }
}

fn address(names: [&'static str; 5], labels: [&'static str; 5]) -> Vec<Field> {
    let chars = [250, 100, 100, 30, 100];
    names
        .into_iter()
        .zip(labels)
        .zip(chars)
        .map(|((name, label), chars)| field(name, label, Kind::Text).chars(chars))
        .collect()
}

fn server_fields() -> [Field; 4] {
    [
        field("Created_By", "Created By", Kind::User).by_server(),
        field("Modified_By", "Modified By", Kind::User).by_server(),
        field("Created_Time", "Created Time", Kind::DateTime).by_server(),
        field("Modified_Time", "Modified Time", Kind::DateTime).by_server(),
    ]
}
