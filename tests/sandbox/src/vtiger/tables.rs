//! The fields of each module, as a fresh installation has them.

use super::schema::{Entity, Field, Kind, Module, Writer};

const LEAD_SOURCES: &[&str] = &[
    "Cold Call",
    "Existing Customer",
    "Self Generated",
    "Employee",
    "Partner",
    "Public Relations",
    "Direct Mail",
    "Conference",
    "Trade Show",
    "Web Site",
    "Word of mouth",
    "Other",
];
const INDUSTRIES: &[&str] = &[
    "Apparel",
    "Banking",
    "Biotechnology",
    "Chemicals",
    "Communications",
    "Construction",
    "Consulting",
    "Education",
    "Electronics",
    "Energy",
    "Engineering",
    "Entertainment",
    "Environmental",
    "Finance",
    "Food & Beverage",
    "Government",
    "Healthcare",
    "Hospitality",
    "Insurance",
    "Machinery",
    "Manufacturing",
    "Media",
    "Not For Profit",
    "Recreation",
    "Retail",
    "Shipping",
    "Technology",
    "Telecommunications",
    "Transportation",
    "Utilities",
    "Other",
];
const RATINGS: &[&str] = &["Acquired", "Active", "Market Failed", "Project Cancelled", "Shutdown"];
const DATE_FORMATS: &[&str] = &["dd-mm-yyyy", "mm-dd-yyyy", "yyyy-mm-dd", "dd.mm.yyyy", "dd/mm/yyyy"];
const LEAD_STATES: &[&str] = &[
    "Attempted to Contact",
    "Cold",
    "Contact in Future",
    "Contacted",
    "Hot",
    "Junk Lead",
    "Lost Lead",
    "Not Contacted",
    "Pre Qualified",
    "Qualified",
    "Warm",
];
const ACCOUNT_TYPES: &[&str] = &[
    "Analyst",
    "Competitor",
    "Customer",
    "Integrator",
    "Investor",
    "Partner",
    "Press",
    "Prospect",
    "Reseller",
    "Other",
];

/// Contacts: ids `12x…`.
pub(super) fn contacts() -> Module {
    Module {
        name: "Contacts",
        label: "Contacts",
        singular: "Contact",
        prefix: 12,
        number_prefix: "CON",
        label_fields: &["firstname", "lastname"],
        entity: Entity::Record,
        fields: vec![
            text("salutationtype", "Salutation", 200).column("salutation"),
            text("firstname", "First Name", 40),
            number("contact_no", "Contact Id"),
            phone("phone", "Office Phone", 50),
            text("lastname", "Last Name", 80).mandatory(),
            phone("mobile", "Mobile Phone", 50),
            reference("account_id", "Organization Name", &["Accounts"]).column("accountid"),
            phone("homephone", "Home Phone", 50),
            picklist("leadsource", "Lead Source", LEAD_SOURCES),
            phone("otherphone", "Secondary Phone", 50),
            text("title", "Title", 50),
            phone("fax", "Fax", 50),
            text("department", "Department", 30),
            date("birthday", "Date of Birth"),
            email("email", "Primary Email"),
            reference("contact_id", "Reports To", &["Contacts"]).column("reportsto"),
            text("assistant", "Assistant", 30),
            email("secondaryemail", "Secondary Email"),
            phone("assistantphone", "Assistant Phone", 50),
            boolean("donotcall", "Do Not Call"),
            boolean("emailoptout", "Email Opt Out"),
            owner(),
            boolean("reference", "Reference"),
            boolean("notify_owner", "Notify Owner"),
            time("createdtime", "Created Time"),
            time("modifiedtime", "Modified Time"),
            modified_by(),
            converted(),
            source(),
            starred(),
            tags(),
            boolean("portal", "Portal User"),
            date("support_start_date", "Support Start Date"),
            date("support_end_date", "Support End Date"),
            street("mailingstreet", "Mailing Street"),
            street("otherstreet", "Other Street"),
            text("mailingcity", "Mailing City", 40),
            text("othercity", "Other City", 40),
            text("mailingstate", "Mailing State", 30),
            text("otherstate", "Other State", 50),
            text("mailingzip", "Mailing Zip", 30),
            text("otherzip", "Other Zip", 30),
            text("mailingcountry", "Mailing Country", 40),
            text("othercountry", "Other Country", 30),
            text("mailingpobox", "Mailing P.O. Box", 30),
            text("otherpobox", "Other P.O. Box", 30),
            description(),
            Field { type_name: "image", ..text("imagename", "Contact Image", 150) }.by_server(),
            id("contactid"),
        ],
    }
}

/// Accounts, called Organizations on the screen: ids `11x…`.
pub(super) fn accounts() -> Module {
    Module {
        name: "Accounts",
        label: "Organizations",
        singular: "Organization",
        prefix: 11,
        number_prefix: "ACC",
        label_fields: &["accountname"],
        entity: Entity::Record,
        fields: vec![
            Field { unique: true, ..text("accountname", "Organization Name", 100).mandatory() },
            number("account_no", "Organization Number"),
            phone("phone", "Primary Phone", 30),
            url("website", "Website", 100),
            phone("fax", "Fax", 30),
            text("tickersymbol", "Ticker Symbol", 30),
            phone("otherphone", "Secondary Phone", 30),
            reference("account_id", "Member Of", &["Accounts"]).column("parentid"),
            email("email1", "Primary Email"),
            integer("employees", "Employees"),
            email("email2", "Secondary Email"),
            text("ownership", "Ownership", 50),
            picklist("rating", "Rating", RATINGS),
            picklist("industry", "Industry", INDUSTRIES),
            text("siccode", "SIC Code", 50),
            picklist("accounttype", "Type", ACCOUNT_TYPES).column("account_type"),
            currency("annual_revenue", "Annual Revenue").column("annualrevenue"),
            boolean("emailoptout", "Email Opt Out"),
            boolean("notify_owner", "Notify Owner"),
            owner(),
            time("createdtime", "Created Time"),
            time("modifiedtime", "Modified Time"),
            modified_by(),
            converted(),
            source(),
            starred(),
            tags(),
            street("bill_street", "Billing Address"),
            street("ship_street", "Shipping Address"),
            text("bill_city", "Billing City", 30),
            text("ship_city", "Shipping City", 30),
            text("bill_state", "Billing State", 30),
            text("ship_state", "Shipping State", 30),
            text("bill_code", "Billing Postal Code", 30),
            text("ship_code", "Shipping Postal Code", 30),
            text("bill_country", "Billing Country", 30),
            text("ship_country", "Shipping Country", 30),
            text("bill_pobox", "Billing PO Box", 30),
            text("ship_pobox", "Shipping PO Box", 30),
            description(),
            id("accountid"),
        ],
    }
}

/// Leads: ids `10x…`.
pub(super) fn leads() -> Module {
    Module {
        name: "Leads",
        label: "Leads",
        singular: "Lead",
        prefix: 10,
        number_prefix: "LEA",
        label_fields: &["firstname", "lastname"],
        entity: Entity::Record,
        fields: vec![
            text("salutationtype", "Salutation", 200).column("salutation"),
            text("firstname", "First Name", 40),
            number("lead_no", "Lead Number"),
            phone("phone", "Primary Phone", 50),
            text("lastname", "Last Name", 80).mandatory(),
            phone("mobile", "Mobile Phone", 50),
            Field { nullable: false, ..text("company", "Company", 100) },
            phone("fax", "Fax", 50),
            text("designation", "Designation", 50),
            email("email", "Primary Email"),
            picklist("leadsource", "Lead Source", LEAD_SOURCES),
            url("website", "Website", 255),
            picklist("industry", "Industry", INDUSTRIES),
            picklist("leadstatus", "Lead Status", LEAD_STATES),
            currency("annualrevenue", "Annual Revenue"),
            picklist("rating", "Rating", RATINGS),
            integer("noofemployees", "Number of Employees"),
            owner(),
            email("secondaryemail", "Secondary Email"),
            time("createdtime", "Created Time"),
            time("modifiedtime", "Modified Time"),
            modified_by(),
            boolean("emailoptout", "Email Opt Out"),
            source(),
            starred(),
            tags(),
            street("lane", "Street"),
            text("code", "Postal Code", 30),
            text("city", "City", 30),
            text("country", "Country", 30),
            text("state", "State", 30),
            text("pobox", "PO Box", 30),
            description(),
            id("leadid"),
        ],
    }
}

/// Users: ids `19x…`. The fields that decide how an interface client is treated, and those that name a person.
pub(super) fn users() -> Module {
    Module {
        name: "Users",
        label: "Users",
        singular: "User",
        prefix: 19,
        number_prefix: "",
        label_fields: &["first_name", "last_name"],
        entity: Entity::User,
        fields: vec![
            Field { nullable: true, ..text("user_name", "User Name", 255).mandatory() },
            Field { type_name: "boolean", ..text("is_admin", "Admin", 3) },
            text("first_name", "First Name", 30),
            Field { nullable: true, ..text("last_name", "Last Name", 30).mandatory() },
            Field { type_name: "reference", nullable: false, ..text("roleid", "Role", 255).mandatory() },
            Field { nullable: true, ..email("email1", "Primary Email").mandatory() },
            Field { default: "Active", ..text("status", "Status", 25) },
            Field { default: "12", ..picklist("hour_format", "Calendar Hour Format", &["12", "24"]) },
            Field { default: "0", ..text("is_owner", "Account Owner", 5) },
            text("title", "Title", 50),
            phone("phone_work", "Office Phone", 50),
            text("department", "Department", 50),
            phone("phone_mobile", "Mobile Phone", 50),
            picklist("date_format", "Date Format", DATE_FORMATS),
            Field { nullable: false, ..reference("currency_id", "Currency", &["Currency"]) },
            picklist("time_zone", "Time Zone", &["UTC"]),
            Field {
                default: "2",
                ..picklist("no_of_currency_decimals", "Number Of Currency Decimals", &["0", "1", "2", "3", "4", "5"])
            },
            Field { default: "en_us", ..text("language", "Language", 36) },
            text("userlabel", "User Label", 255),
            id("id"),
        ],
    }
}

/// Groups: ids `20x…`, from the same counter as Users.
pub(super) fn groups() -> Module {
    Module {
        name: "Groups",
        label: "Groups",
        singular: "Groups",
        prefix: 20,
        number_prefix: "",
        label_fields: &["groupname"],
        entity: Entity::Group,
        fields: vec![
            id("groupid"),
            text("groupname", "groupname", 100),
            Field { label: "description", ..description() },
        ],
    }
}

/// Currencies: ids `21x…`.
pub(super) fn currencies() -> Module {
    let zero = |field: Field| Field { default: "0", ..field.mandatory() };
    let fields = vec![
        id("id"),
        text("currency_name", "currency name", 50),
        text("currency_code", "currency code", 30),
        text("currency_symbol", "currency symbol", 30),
        Field { type_name: "double", ..text("conversion_rate", "conversion rate", 12) },
        text("currency_status", "currency status", 25),
        zero(text("defaultid", "defaultid", 10)),
        zero(integer("deleted", "deleted")),
    ];
    setting("Currency", 21, &["currency_name"], fields)
}

/// The company that runs the installation: one row, `23x1`.
pub(super) fn company_details() -> Module {
    let mut fields = vec![id("organization id")];
    fields
        .extend(["organizationname", "address", "city", "state", "country", "code"].map(|name| text(name, name, 255)));
    fields.extend([phone("phone", "phone", 30), phone("fax", "fax", 30), url("website", "website", 100)]);
    fields.extend([
        Field { type_name: "file", ..text("logoname", "logoname", 50) },
        Field { name: "logo", label: "logo", column: "logo", ..description() },
        text("vatid", "vatid", 100),
    ]);
    setting("CompanyDetails", 23, &["organizationname"], fields)
}

fn setting(name: &'static str, prefix: u64, label_fields: &'static [&'static str], fields: Vec<Field>) -> Module {
    Module {
        name,
        label: name,
        singular: name,
        prefix,
        number_prefix: "",
        label_fields,
        entity: Entity::Setting,
        fields,
    }
}

/// A plain text field of so many characters.
pub(super) fn text(name: &'static str, label: &'static str, chars_max: usize) -> Field {
    of(name, label, "string", Kind::Text { chars_max })
}

impl Field {
    fn mandatory(self) -> Self {
        Self { mandatory: true, nullable: false, ..self }
    }

    fn by_server(self) -> Self {
        Self { writer: Writer::Server, ..self }
    }

    fn column(self, column: &'static str) -> Self {
        Self { column, ..self }
    }
}

fn of(name: &'static str, label: &'static str, type_name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        label,
        type_name,
        kind,
        values: &[],
        writer: Writer::Client,
        mandatory: false,
        nullable: true,
        editable: true,
        unique: false,
        default: "",
        column: name,
    }
}

fn phone(name: &'static str, label: &'static str, chars_max: usize) -> Field {
    of(name, label, "phone", Kind::Text { chars_max })
}

fn email(name: &'static str, label: &'static str) -> Field {
    of(name, label, "email", Kind::Text { chars_max: 100 })
}

fn url(name: &'static str, label: &'static str, chars_max: usize) -> Field {
    of(name, label, "url", Kind::Text { chars_max })
}

fn street(name: &'static str, label: &'static str) -> Field {
    of(name, label, "text", Kind::Text { chars_max: 250 })
}

fn picklist(name: &'static str, label: &'static str, values: &'static [&'static str]) -> Field {
    Field { values, ..of(name, label, "picklist", Kind::Text { chars_max: 200 }) }
}

fn boolean(name: &'static str, label: &'static str) -> Field {
    of(name, label, "boolean", Kind::Boolean)
}

fn integer(name: &'static str, label: &'static str) -> Field {
    of(name, label, "integer", Kind::Integer)
}

fn currency(name: &'static str, label: &'static str) -> Field {
    of(name, label, "currency", Kind::Currency)
}

fn date(name: &'static str, label: &'static str) -> Field {
    of(name, label, "date", Kind::Date)
}

fn reference(name: &'static str, label: &'static str, modules: &'static [&'static str]) -> Field {
    of(name, label, "reference", Kind::Reference(modules))
}

fn number(name: &'static str, label: &'static str) -> Field {
    Field { nullable: false, editable: false, ..text(name, label, 100).by_server() }
}

fn time(name: &'static str, label: &'static str) -> Field {
    Field { nullable: false, editable: false, ..of(name, label, "datetime", Kind::DateTime).by_server() }
}

fn owner() -> Field {
    of("assigned_user_id", "Assigned To", "owner", Kind::Owner).mandatory().column("smownerid")
}

fn modified_by() -> Field {
    Field { nullable: false, ..reference("modifiedby", "Last Modified By", &["Users"]).by_server() }
}

fn converted() -> Field {
    Field { default: "no", ..boolean("isconvertedfromlead", "Is Converted From Lead").by_server() }
}

fn source() -> Field {
    Field { writer: Writer::ClientAtCreate, editable: false, ..text("source", "Source", 100) }
}

fn starred() -> Field {
    boolean("starred", "starred").by_server()
}

fn tags() -> Field {
    text("tags", "tags", 1).by_server()
}

fn description() -> Field {
    of("description", "Description", "text", Kind::LongText)
}

fn id(label: &'static str) -> Field {
    Field { nullable: false, editable: false, ..of("id", label, "autogenerated", Kind::Id).by_server() }
}
