//! A module's fields: from the answer of `describe` to what the contract wants to know, and to the small part of it
//! that reading and writing records needs.

use std::collections::BTreeMap;

use crmsync_plugin::{Choice, FieldInfo, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entities::unescape;
use crate::meaning;

/// Label of the custom field that holds nothing but our keys. Its name is the CRM's (`cf_901`), so people find it by
/// the label.
const KEY_LABEL: &str = "CRMSync Key";

/// Our marker of last resort: set at create, never changed later, and it can be queried.
pub(crate) const SOURCE_FIELD: &str = "source";

/// How the values of a field are spelled on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Native {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number with a decimal point.
    Decimal,
    /// `1` or `0`.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// `HH:MM:SS`.
    Time,
    /// `YYYY-MM-DD HH:MM:SS` in UTC.
    Timestamp,
    /// Texts joined by ` |##| `.
    List,
    /// An id.
    Reference,
}

impl Native {
    fn of(type_name: &str) -> Native {
        match type_name {
            "integer" => Native::Integer,
            "double" | "currency" => Native::Decimal,
            "boolean" => Native::Boolean,
            "date" => Native::Date,
            "time" => Native::Time,
            "datetime" => Native::Timestamp,
            "multipicklist" => Native::List,
            "reference" | "owner" => Native::Reference,
            _ => Native::Text,
        }
    }

    /// The kind of the field's cells.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Native::Text => Kind::Text,
            Native::Integer => Kind::Integer,
            Native::Decimal => Kind::Decimal,
            Native::Boolean => Kind::Boolean,
            Native::Date => Kind::Date,
            Native::Time => Kind::Time,
            Native::Timestamp => Kind::Instant,
            Native::List => Kind::List,
            Native::Reference => Kind::Reference,
        }
    }
}

/// What reading and writing needs to know about a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    /// API name.
    pub(crate) name: String,
    /// Spelling of its values.
    pub(crate) native: Native,
    /// Modules that a reference may point to.
    pub(crate) targets: Vec<String>,
    /// The CRM refuses records in which it is empty.
    pub(crate) mandatory: bool,
}

/// What reading and writing needs to know about a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    /// What the module's ids have before the `x`; another one on each installation.
    pub(crate) prefix: String,
    /// The field that holds our keys, if there is one.
    pub(crate) key_field: Option<String>,
    /// Its fields, without `id`.
    pub(crate) fields: Vec<Field>,
    /// Fields that were asked for although the module does not have them (any more).
    pub(crate) without: Vec<String>,
    /// What the user may not do with its records, in the contract's words.
    #[serde(default)]
    pub(crate) refused: Vec<String>,
    /// When the CRM said so, in milliseconds since 1970; 0 if nobody knows.
    #[serde(default)]
    pub(crate) at_ms: i64,
}

impl Schema {
    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Whether an id can be one of this module's. The CRM compares the numbers alone and would find another module's
    /// record.
    pub(crate) fn owns(&self, id: &str) -> bool {
        prefix_of(id) == Some(self.prefix.as_str())
    }
}

/// The answer of `describe`, as far as it was understood.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    prefix: String,
    fields: Vec<FieldInfo>,
    /// What the user's profile does not let the user do with its records, in the contract's words.
    refused: Vec<&'static str>,
}

impl Described {
    /// Reads `describe`'s result; none if it is not one. PHP turns lists with gaps into objects, so both are
    /// understood.
    pub(crate) fn read(module: &str, result: &Value) -> Option<Described> {
        let prefix = match result.get("idPrefix")? {
            Value::String(prefix) => prefix.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let fields = elements(result.get("fields")?);
        let fields = fields.filter_map(|field| info(module, field)).collect();
        let rights = [("createable", "creatable"), ("updateable", "editable"), ("deleteable", "deletable")];
        // A release that says nothing of a right lets a write find out.
        let refused =
            rights.into_iter().filter(|(right, _)| result.get(*right).is_some_and(|word| !is_true(Some(word))));
        Some(Described { prefix, fields, refused: refused.map(|(_, word)| word).collect() })
    }

    /// What the module's ids have before the `x`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The fields, for the contract.
    pub(crate) fn into_fields(self) -> Vec<FieldInfo> {
        self.fields
    }

    /// The part that reading and writing needs.
    pub(crate) fn schema(&self) -> Schema {
        let field = |info: &FieldInfo| Field {
            name: info.name.clone(),
            native: Native::of(&info.native),
            targets: info.targets.clone(),
            mandatory: info.mandatory,
        };
        Schema {
            prefix: self.prefix.clone(),
            key_field: self.key_field().map(str::to_owned),
            fields: self.fields.iter().map(field).collect(),
            without: Vec::new(),
            refused: self.refused.iter().map(|right| (*right).to_owned()).collect(),
            at_ms: 0,
        }
    }

    /// The field that holds our keys: a custom text field made for it, else `source`, else none.
    pub(crate) fn key_field(&self) -> Option<&str> {
        let is_ours = |field: &&FieldInfo| {
            field.label.trim().eq_ignore_ascii_case(KEY_LABEL) && field.native == "string" && !field.read_only
        };
        let made_for_it = self.fields.iter().find(is_ours);
        let source = self.fields.iter().find(|field| field.name == SOURCE_FIELD);
        made_for_it.or(source).map(|field| field.name.as_str())
    }
}

/// Which module an id belongs to, by its prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Modules {
    by_prefix: BTreeMap<String, String>,
}

impl Modules {
    /// Adds a pair of prefix and module.
    pub(crate) fn learn(&mut self, prefix: &str, module: &str) {
        self.by_prefix.insert(prefix.to_owned(), module.to_owned());
    }

    /// Whether a module's prefix is known.
    pub(crate) fn knows(&self, module: &str) -> bool {
        self.by_prefix.values().any(|known| known == module)
    }

    /// The module of an id in a reference field; none if the text is no id or its module is not known. What can only be
    /// one module needs no table, because the CRM takes no other id there: a single target, and the last one when all
    /// others are known to be something else.
    pub(crate) fn of<'a>(&'a self, id: &str, targets: &'a [String]) -> Option<&'a str> {
        let prefix = prefix_of(id)?;
        if let Some(known) = self.by_prefix.get(prefix) {
            return Some(known);
        }
        let mut unknown = targets.iter().filter(|target| !self.knows(target));
        unknown.next().filter(|_| unknown.next().is_none()).map(String::as_str)
    }

    /// The targets whose prefixes have to be learnt before every id in a field can be told.
    pub(crate) fn unknown<'a>(&self, targets: &'a [String]) -> &'a [String] {
        let unknown = targets.iter().filter(|target| !self.knows(target)).count();
        if unknown > 1 { targets } else { &[] }
    }
}

/// The part of `12x345` before the `x`; none if the text is not an id.
pub(crate) fn prefix_of(id: &str) -> Option<&str> {
    let (prefix, number) = id.split_once('x')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(prefix) && digits(number)).then_some(prefix)
}

fn info(module: &str, field: &Value) -> Option<FieldInfo> {
    let name = field.get("name")?.as_str()?;
    let kind = field.get("type")?;
    let native = kind.get("name")?.as_str()?;
    // Ids are the record's own; a password is written once and never read.
    if native == "autogenerated" || native == "password" {
        return None;
    }
    let targets: Vec<String> = match native {
        "owner" => vec!["Users".to_owned(), "Groups".to_owned()],
        "reference" => texts(kind.get("refersTo")).collect(),
        _ => Vec::new(),
    };
    // Files are uploaded in the user interface only; `modifiedby` calls itself editable, and the CRM ignores what is
    // sent.
    let uploaded = matches!(native, "image" | "file");
    Some(FieldInfo {
        name: name.to_owned(),
        label: unescape(field.get("label").and_then(Value::as_str).unwrap_or(name)),
        kind: Native::of(native).kind().code(),
        native: native.to_owned(),
        mandatory: is_true(field.get("mandatory")),
        read_only: !is_true(field.get("editable")) || uploaded || name == "modifiedby",
        unique: is_true(field.get("isunique")),
        // The CRM cuts what is too long without a word, and does not say where.
        length: None,
        choices: kind.get("picklistValues").map(|list| elements(list).filter_map(choice).collect()).unwrap_or_default(),
        targets,
        meaning: meaning::of(module, name).to_owned(),
        extra: Vec::new(),
    })
}

fn choice(value: &Value) -> Option<Choice> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    // Values cross the API plain; only labels are made for a page.
    let value = text("value")?;
    let label = unescape(text("label").unwrap_or(value));
    Some(Choice { value: value.to_owned(), label })
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = String> {
    list.into_iter().flat_map(elements).filter_map(|value| value.as_str().map(str::to_owned))
}

fn elements(list: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match list {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => text == "1" || text == "true",
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTACTS: &str = r#"{"label":"Contacts","name":"Contacts","idPrefix":"12","fields":[
        {"name":"lastname","label":"Last Name","mandatory":true,"type":{"name":"string"},"isunique":false,"editable":true,"default":""},
        {"name":"account_id","label":"Organization &amp; more","mandatory":false,"type":{"refersTo":{"1":"Accounts"},"name":"reference"},"editable":true},
        {"name":"assigned_user_id","label":"Assigned To","mandatory":true,"type":{"name":"owner"},"editable":true},
        {"name":"cf_1","label":"Languages","mandatory":false,"type":{"picklistValues":[{"label":"A &amp; B","value":"A & B"}],"name":"multipicklist"},"editable":true},
        {"name":"createdtime","label":"Created Time","mandatory":false,"type":{"name":"datetime"},"editable":false},
        {"name":"modifiedby","label":"Last Modified By","mandatory":false,"type":{"refersTo":["Users"],"name":"reference"},"editable":true},
        {"name":"source","label":"Source","mandatory":false,"type":{"name":"string"},"editable":false},
        {"name":"imagename","label":"Image","mandatory":false,"type":{"name":"image"},"editable":true},
        {"name":"id","label":"contactid","mandatory":false,"type":{"name":"autogenerated"},"editable":false}]}"#;

    fn parse(json: &str) -> Option<Described> {
        Described::read("Contacts", &serde_json::from_str(json).ok()?)
    }

    fn described() -> Described {
        parse(CONTACTS).expect("a describe answer")
    }

    #[test]
    fn fields_are_told_in_the_words_of_the_contract() {
        let fields = described().into_fields();
        let field = |name: &str| fields.iter().find(|field| field.name == name).expect("a known field");
        assert!(fields.iter().all(|field| field.name != "id"));
        assert!(field("lastname").mandatory && !field("lastname").read_only);
        assert_eq!(field("lastname").meaning, "family-name");
        assert_eq!(
            (field("account_id").label.as_str(), field("account_id").targets.as_slice()),
            ("Organization & more", &["Accounts".to_owned()][..])
        );
        assert_eq!(field("assigned_user_id").targets, ["Users", "Groups"]);
        assert_eq!(field("cf_1").kind, Kind::List.code());
        assert_eq!(field("cf_1").choices, [Choice { value: "A & B".to_owned(), label: "A & B".to_owned() }]);
        assert_eq!(field("createdtime").kind, Kind::Instant.code());
        for name in ["createdtime", "modifiedby", "source", "imagename"] {
            assert!(field(name).read_only, "{name}");
        }
    }

    #[test]
    fn what_the_profile_refuses_is_told() {
        assert!(described().schema().refused.is_empty(), "a release that says nothing");
        let rights = r#""createable":true,"updateable":false,"deleteable":"0","retrieveable":true,"fields""#;
        let described = parse(&CONTACTS.replacen(r#""fields""#, rights, 1)).expect("a describe answer");
        assert_eq!(described.schema().refused, ["editable", "deletable"]);
    }

    #[test]
    fn the_key_field_is_ours_or_source() {
        assert_eq!(described().key_field(), Some("source"));
        let with_ours = CONTACTS
            .replace(r#""name":"cf_1","label":"Languages""#, r#""name":"cf_9","label":"crmsync KEY""#)
            .replace("multipicklist", "string");
        assert_eq!(parse(&with_ours).expect("a describe answer").key_field(), Some("cf_9"));
        let without = CONTACTS.replace("source", "sauce");
        assert_eq!(parse(&without).expect("a describe answer").key_field(), None);
    }

    #[test]
    fn a_schema_knows_its_ids_and_survives_the_cache() {
        let schema = described().schema();
        assert!(schema.owns("12x5"));
        for id in ["11x5", "12x", "12", "x5", "", "12x5x", "12x5'"] {
            assert!(!schema.owns(id), "{id}");
        }
        let kept = serde_json::to_vec(&schema).expect("a schema is plain data");
        assert_eq!(serde_json::from_slice::<Schema>(&kept).ok(), Some(schema));
    }

    #[test]
    fn an_id_tells_its_module() {
        let targets = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut modules = Modules::default();
        modules.learn("19", "Users");
        assert_eq!(modules.of("11x5", &targets(&["Accounts"])), Some("Accounts"));
        let owners = targets(&["Users", "Groups"]);
        assert_eq!((modules.of("19x1", &owners), modules.of("20x2", &owners)), (Some("Users"), Some("Groups")));
        let several = targets(&["Accounts", "Leads", "Users"]);
        assert_eq!(modules.of("11x5", &several), None);
        assert_eq!(modules.unknown(&several), several.as_slice());
        modules.learn("10", "Leads");
        assert_eq!(modules.of("11x5", &several), Some("Accounts"));
        assert!(modules.unknown(&several).is_empty());
        assert_eq!(modules.of("9999", &owners), None);
    }

    #[test]
    fn nonsense_is_no_description() {
        for json in ["", "[]", "{}", r#"{"idPrefix":null,"fields":[]}"#] {
            assert!(parse(json).is_none(), "{json}");
        }
    }
}
