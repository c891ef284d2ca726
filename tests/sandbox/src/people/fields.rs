//! The modules of the population, the fields that the default mapping pairs in each, and the picklist values that mean the same
//! on both sides.

use serde::{Deserialize, Serialize};

/// A module; both CRMs have the same name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Module {
    /// Organizations.
    Accounts,
    /// People at organizations.
    Contacts,
    /// People who may become contacts.
    Leads,
}

impl Module {
    /// All of them, each behind those that its references point to.
    pub const ALL: [Module; 3] = [Module::Accounts, Module::Contacts, Module::Leads];

    /// Its API name in both CRMs.
    pub fn name(self) -> &'static str {
        match self {
            Module::Accounts => "Accounts",
            Module::Contacts => "Contacts",
            Module::Leads => "Leads",
        }
    }

    /// The paired fields, apart from owner and references.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Module::Accounts => ACCOUNT_FIELDS,
            Module::Contacts => FIELDS,
            Module::Leads => LEAD_FIELDS,
        }
    }

    /// The paired fields that point to records.
    pub fn references(self) -> &'static [Reference] {
        match self {
            Module::Accounts => &[Reference { zoho: "Parent_Account", vtiger: "account_id", target: Module::Accounts }],
            Module::Contacts => &[
                Reference { zoho: "Account_Name", vtiger: "account_id", target: Module::Accounts },
                Reference { zoho: "Reporting_To", vtiger: "contact_id", target: Module::Contacts },
            ],
            Module::Leads => &[],
        }
    }

    /// The pair with this Zoho name.
    pub fn field(self, zoho: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.zoho == zoho)
    }

    /// The reference with this Zoho name.
    pub fn reference(self, zoho: &str) -> Option<&'static Reference> {
        self.references().iter().find(|reference| reference.zoho == zoho)
    }
}

/// What kind of value a field holds, which decides how it is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Carried as it is.
    Verbatim,
    /// Trimmed.
    Trimmed,
    /// A person's name: trimmed, inner blanks collapsed, capitalised if wholly in one case.
    Name,
    /// The name of an organization: trimmed; case and blanks make no difference.
    Label,
    /// Trimmed and lower-cased.
    Email,
    /// Digits with an optional `+`, an extension as `x123`.
    Phone,
    /// Carried as it is; scheme, `www.`, case and final slashes make no difference.
    Website,
    /// `YYYY-MM-DD`.
    Date,
    /// A whole number; Vtiger shows 0 where there is none.
    Integer,
    /// A number with decimals, without zeros at the end; Vtiger shows 0 where there is none.
    Money,
    /// By a table of values.
    Choice(&'static Choices),
    /// Any text in Vtiger, one of these values in Zoho.
    Listed(&'static [&'static str]),
    /// `true` or `false`; never blank.
    Flag,
}

/// Picklist values that mean the same, each way by a table of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Choices {
    /// (Zoho, Vtiger) as carried to Vtiger.
    pub to_vtiger: &'static [(&'static str, &'static str)],
    /// (Vtiger, Zoho) as carried to Zoho.
    pub to_zoho: &'static [(&'static str, &'static str)],
}

impl Choices {
    /// Vtiger's counterpart of a Zoho value, if it has one.
    pub fn vtiger(&self, zoho: &str) -> Option<&'static str> {
        counterpart(self.to_vtiger, zoho)
    }

    /// Zoho's counterpart of a Vtiger value, if it has one.
    pub fn zoho(&self, vtiger: &str) -> Option<&'static str> {
        counterpart(self.to_zoho, vtiger)
    }
}

fn counterpart(table: &'static [(&'static str, &'static str)], value: &str) -> Option<&'static str> {
    table.iter().find(|(from, _)| *from == value).map(|(_, to)| *to)
}

/// A pair of fields that mean the same.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name in Zoho, and the key of [`super::Values`].
    pub zoho: &'static str,
    /// Name in Vtiger.
    pub vtiger: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// How many characters Vtiger's column keeps, if it cuts.
    pub vtiger_chars_max: Option<usize>,
}

/// A pair of fields that point to records.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// Name in Zoho.
    pub zoho: &'static str,
    /// Name in Vtiger.
    pub vtiger: &'static str,
    /// The module whose records it points to.
    pub target: Module,
}

const fn pair(zoho: &'static str, vtiger: &'static str, kind: Kind, chars_max: usize) -> Field {
    let vtiger_chars_max = if chars_max == 0 { None } else { Some(chars_max) };
    Field { zoho, vtiger, kind, vtiger_chars_max }
}

/// The mapped fields of a contact, apart from owner and references.
pub const FIELDS: &[Field] = &[
    pair("Salutation", "salutationtype", Kind::Verbatim, 200),
    pair("First_Name", "firstname", Kind::Name, 40),
    pair("Last_Name", "lastname", Kind::Name, 80),
    pair("Title", "title", Kind::Trimmed, 50),
    pair("Department", "department", Kind::Trimmed, 30),
    pair("Email", "email", Kind::Email, 100),
    pair("Secondary_Email", "secondaryemail", Kind::Email, 100),
    pair("Phone", "phone", Kind::Phone, 50),
    pair("Mobile", "mobile", Kind::Phone, 50),
    pair("Home_Phone", "homephone", Kind::Phone, 50),
    pair("Other_Phone", "otherphone", Kind::Phone, 50),
    pair("Fax", "fax", Kind::Phone, 50),
    pair("Asst_Phone", "assistantphone", Kind::Phone, 50),
    pair("Assistant", "assistant", Kind::Verbatim, 30),
    pair("Date_of_Birth", "birthday", Kind::Date, 0),
    pair("Lead_Source", "leadsource", Kind::Choice(&LEAD_SOURCE), 200),
    pair("Email_Opt_Out", "emailoptout", Kind::Flag, 0),
    pair("Mailing_Street", "mailingstreet", Kind::Verbatim, 250),
    pair("Mailing_City", "mailingcity", Kind::Verbatim, 40),
    pair("Mailing_State", "mailingstate", Kind::Verbatim, 30),
    pair("Mailing_Zip", "mailingzip", Kind::Verbatim, 30),
    pair("Mailing_Country", "mailingcountry", Kind::Verbatim, 40),
    pair("Other_Street", "otherstreet", Kind::Verbatim, 250),
    pair("Other_City", "othercity", Kind::Verbatim, 40),
    pair("Other_State", "otherstate", Kind::Verbatim, 50),
    pair("Other_Zip", "otherzip", Kind::Verbatim, 30),
    pair("Other_Country", "othercountry", Kind::Verbatim, 30),
    pair("Description", "description", Kind::Verbatim, 0),
];

const ACCOUNT_FIELDS: &[Field] = &[
    pair("Account_Name", "accountname", Kind::Label, 100),
    pair("Phone", "phone", Kind::Phone, 30),
    pair("Fax", "fax", Kind::Phone, 30),
    pair("Website", "website", Kind::Website, 100),
    pair("Ticker_Symbol", "tickersymbol", Kind::Verbatim, 30),
    pair("Employees", "employees", Kind::Integer, 0),
    pair("Ownership", "ownership", Kind::Listed(&["Other", "Private", "Public", "Subsidiary"]), 50),
    pair("Industry", "industry", Kind::Choice(&INDUSTRY), 200),
    pair("Rating", "rating", Kind::Choice(&RATING), 200),
    pair("Account_Type", "accounttype", Kind::Choice(&ACCOUNT_TYPE), 200),
    pair("Annual_Revenue", "annual_revenue", Kind::Money, 0),
    pair("Billing_Street", "bill_street", Kind::Verbatim, 250),
    pair("Billing_City", "bill_city", Kind::Verbatim, 30),
    pair("Billing_State", "bill_state", Kind::Verbatim, 30),
    pair("Billing_Code", "bill_code", Kind::Verbatim, 30),
    pair("Billing_Country", "bill_country", Kind::Verbatim, 30),
    pair("Shipping_Street", "ship_street", Kind::Verbatim, 250),
    pair("Shipping_City", "ship_city", Kind::Verbatim, 30),
    pair("Shipping_State", "ship_state", Kind::Verbatim, 30),
    pair("Shipping_Code", "ship_code", Kind::Verbatim, 30),
    pair("Shipping_Country", "ship_country", Kind::Verbatim, 30),
    pair("Description", "description", Kind::Verbatim, 0),
];

const LEAD_FIELDS: &[Field] = &[
    pair("Salutation", "salutationtype", Kind::Verbatim, 200),
    pair("First_Name", "firstname", Kind::Name, 40),
    pair("Last_Name", "lastname", Kind::Name, 80),
    pair("Company", "company", Kind::Label, 100),
    pair("Designation", "designation", Kind::Trimmed, 50),
    pair("Email", "email", Kind::Email, 100),
    pair("Secondary_Email", "secondaryemail", Kind::Email, 100),
    pair("Phone", "phone", Kind::Phone, 50),
    pair("Mobile", "mobile", Kind::Phone, 50),
    pair("Fax", "fax", Kind::Phone, 50),
    pair("Website", "website", Kind::Website, 255),
    pair("Lead_Source", "leadsource", Kind::Choice(&LEAD_SOURCE), 200),
    pair("Lead_Status", "leadstatus", Kind::Choice(&LEAD_STATUS), 200),
    pair("Industry", "industry", Kind::Choice(&INDUSTRY), 200),
    pair("Rating", "rating", Kind::Choice(&RATING), 200),
    pair("Annual_Revenue", "annualrevenue", Kind::Money, 0),
    pair("No_of_Employees", "noofemployees", Kind::Integer, 0),
    pair("Email_Opt_Out", "emailoptout", Kind::Flag, 0),
    pair("Street", "lane", Kind::Verbatim, 250),
    pair("City", "city", Kind::Verbatim, 30),
    pair("State", "state", Kind::Verbatim, 30),
    pair("Zip_Code", "code", Kind::Verbatim, 30),
    pair("Country", "country", Kind::Verbatim, 30),
    pair("Description", "description", Kind::Verbatim, 0),
];

/// The pair of a contact with this Zoho name.
pub fn field(zoho: &str) -> Option<&'static Field> {
    Module::Contacts.field(zoho)
}

/// Lead sources. Vtiger's `Other` says nothing, so it has no counterpart.
pub static LEAD_SOURCE: Choices = Choices {
    to_vtiger: &[
        ("Cold Call", "Cold Call"),
        ("Partner", "Partner"),
        ("Public Relations", "Public Relations"),
        ("Trade Show", "Trade Show"),
        ("Advertisement", "Direct Mail"),
        ("Employee Referral", "Employee"),
        ("External Referral", "Word of mouth"),
        ("Web Download", "Web Site"),
        ("Seminar Partner", "Conference"),
        ("Online Store", "Web Site"),
        ("Web Research", "Web Site"),
        ("Chat", "Web Site"),
        ("Internal Seminar", "Conference"),
        ("Sales Email Alias", "Other"),
        ("X (Twitter)", "Other"),
        ("Facebook", "Other"),
        ("Web Cases", "Other"),
        ("Web Mail", "Other"),
    ],
    to_zoho: &[
        ("Cold Call", "Cold Call"),
        ("Partner", "Partner"),
        ("Public Relations", "Public Relations"),
        ("Trade Show", "Trade Show"),
        ("Direct Mail", "Advertisement"),
        ("Employee", "Employee Referral"),
        ("Word of mouth", "External Referral"),
        ("Web Site", "Web Download"),
        ("Conference", "Seminar Partner"),
        ("Existing Customer", "External Referral"),
        ("Self Generated", "Web Research"),
    ],
};

/// What has become of a lead so far.
static LEAD_STATUS: Choices = Choices {
    to_vtiger: &[
        ("Attempted to Contact", "Attempted to Contact"),
        ("Contact in Future", "Contact in Future"),
        ("Contacted", "Contacted"),
        ("Junk Lead", "Junk Lead"),
        ("Lost Lead", "Lost Lead"),
        ("Not Contacted", "Not Contacted"),
        ("Not Qualified", "Cold"),
        ("Pre-Qualified", "Pre Qualified"),
    ],
    to_zoho: &[
        ("Attempted to Contact", "Attempted to Contact"),
        ("Contact in Future", "Contact in Future"),
        ("Contacted", "Contacted"),
        ("Junk Lead", "Junk Lead"),
        ("Lost Lead", "Lost Lead"),
        ("Not Contacted", "Not Contacted"),
        ("Cold", "Not Qualified"),
        ("Pre Qualified", "Pre-Qualified"),
        ("Hot", "Contacted"),
        ("Warm", "Contacted"),
        ("Qualified", "Pre-Qualified"),
    ],
};

static RATING: Choices = Choices {
    to_vtiger: &[
        ("Acquired", "Acquired"),
        ("Active", "Active"),
        ("Market Failed", "Market Failed"),
        ("Project Cancelled", "Project Cancelled"),
        ("Shut Down", "Shutdown"),
    ],
    to_zoho: &[
        ("Acquired", "Acquired"),
        ("Active", "Active"),
        ("Market Failed", "Market Failed"),
        ("Project Cancelled", "Project Cancelled"),
        ("Shutdown", "Shut Down"),
    ],
};

/// What an organization is to us. Three of Zoho's words are one to Vtiger.
static ACCOUNT_TYPE: Choices = Choices {
    to_vtiger: &[
        ("Analyst", "Analyst"),
        ("Competitor", "Competitor"),
        ("Customer", "Customer"),
        ("Integrator", "Integrator"),
        ("Investor", "Investor"),
        ("Partner", "Partner"),
        ("Press", "Press"),
        ("Prospect", "Prospect"),
        ("Reseller", "Reseller"),
        ("Other", "Other"),
        ("Distributor", "Other"),
        ("Supplier", "Other"),
        ("Vendor", "Other"),
    ],
    to_zoho: &[
        ("Analyst", "Analyst"),
        ("Competitor", "Competitor"),
        ("Customer", "Customer"),
        ("Integrator", "Integrator"),
        ("Investor", "Investor"),
        ("Partner", "Partner"),
        ("Press", "Press"),
        ("Prospect", "Prospect"),
        ("Reseller", "Reseller"),
        ("Other", "Other"),
    ],
};

/// The two lists of industries have no value in common.
static INDUSTRY: Choices = Choices { to_vtiger: &[], to_zoho: &[] };
