//! The fields of a contact that the default mapping pairs, and the lead sources that mean the same on both sides.

/// What kind of value a field holds, which decides how it is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Carried as it is.
    Verbatim,
    /// Trimmed.
    Trimmed,
    /// A person's name: trimmed, inner blanks collapsed, capitalised if wholly in one case.
    Name,
    /// Trimmed and lower-cased.
    Email,
    /// Digits with an optional `+`, an extension as `x123`.
    Phone,
    /// `YYYY-MM-DD`.
    Date,
    /// By the table of lead sources.
    LeadSource,
    /// `true` or `false`; never blank.
    Flag,
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

const fn pair(zoho: &'static str, vtiger: &'static str, kind: Kind, chars_max: usize) -> Field {
    let vtiger_chars_max = if chars_max == 0 { None } else { Some(chars_max) };
    Field { zoho, vtiger, kind, vtiger_chars_max }
}

/// The mapped fields, apart from owner and organization.
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
    pair("Lead_Source", "leadsource", Kind::LeadSource, 200),
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

/// The pair with this Zoho name.
pub fn field(zoho: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.zoho == zoho)
}

/// Lead sources: (Zoho, Vtiger) as carried towards Vtiger. The first pair with a Vtiger value is also the way back,
/// except for the values in [`lead_source_to_zoho`]'s own list.
pub const LEAD_SOURCES: &[(&str, &str)] = &[
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
];

/// Vtiger's counterpart of a Zoho lead source, if it has one.
pub fn lead_source_to_vtiger(zoho: &str) -> Option<&'static str> {
    LEAD_SOURCES.iter().find(|(value, _)| *value == zoho).map(|(_, vtiger)| *vtiger)
}

/// Zoho's counterpart of a Vtiger lead source, if it has one. Vtiger's `Other` says nothing, so it has none.
pub fn lead_source_to_zoho(vtiger: &str) -> Option<&'static str> {
    match vtiger {
        "Other" => None,
        "Existing Customer" => Some("External Referral"),
        "Self Generated" => Some("Web Research"),
        _ => LEAD_SOURCES.iter().find(|(_, value)| *value == vtiger).map(|(zoho, _)| *zoho),
    }
}
