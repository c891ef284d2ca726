//! The modules that this server knows, as tables: `describe`, storage and queries all read them.

use super::tables;
use crate::crm::FieldRule;

/// The name of the custom field of Contacts that the default profile has, free for a connector's own keys.
pub const CUSTOM_KEY_FIELD: &str = "cf_901";
/// The same of Accounts: an administrator's fields are numbered across all modules.
const ACCOUNTS_KEY_FIELD: &str = "cf_903";
/// The same of Leads.
const LEADS_KEY_FIELD: &str = "cf_905";

/// How many characters the column of a text field keeps; longer values are cut without a word.
///
/// `None` for a field that is not cut (`description`), is no text, or does not exist.
///
/// Measured on a real server: `firstname` 40, `lastname` 80, phones of Contacts 50, streets 250. The others follow the
/// release's own table definitions.
pub fn column_chars_max(module: &str, field: &str) -> Option<usize> {
    let schema = Schema::new(true, true);
    match schema.module(module)?.field(field)?.kind {
        Kind::Text { chars_max } => Some(chars_max),
        _ => None,
    }
}

/// What a column holds, which decides how it is stored, compared and sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text of so many characters.
    Text { chars_max: usize },
    /// Text that is not cut.
    LongText,
    /// `1` or `0`.
    Boolean,
    /// A 32-bit number.
    Integer,
    /// Eight decimals, rounded to the user's.
    Currency,
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD HH:MM:SS` in UTC.
    DateTime,
    /// The id of a record of one of these modules.
    Reference(&'static [&'static str]),
    /// A user or a group.
    Owner,
    /// The record's own id.
    Id,
}

/// Who may write a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// Any write of a client.
    Client,
    /// A client, when the record is made; later values are ignored.
    ClientAtCreate,
    /// The server alone; what a client sends is ignored without a word.
    Server,
}

/// One field of a module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// The type's name in `describe`.
    pub(super) type_name: &'static str,
    pub(super) kind: Kind,
    /// The values of a pick list. Nothing checks them.
    pub(super) values: &'static [&'static str],
    pub(super) writer: Writer,
    pub(super) mandatory: bool,
    pub(super) nullable: bool,
    pub(super) editable: bool,
    pub(super) unique: bool,
    pub(super) default: &'static str,
    /// The database column, which orders the fields of users who are not administrators.
    pub(super) column: &'static str,
}

/// One module and its fields in the order of `describe`.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) singular: &'static str,
    /// The number before the `x` of an id.
    pub(super) prefix: u64,
    /// What the record numbers (`CON17`) begin with; empty for modules without.
    pub(super) number_prefix: &'static str,
    pub(super) label_fields: &'static [&'static str],
    /// Whether records live in the entity tables: created, changed and deleted through this interface.
    pub(super) entity: Entity,
    pub(super) fields: Vec<Field>,
}

/// What kind of rows a module has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
    /// Records of the global id counter.
    Record,
    /// Users: an entity to `describe`, with a counter of its own, for administrators only.
    User,
    /// Groups: not an entity, readable by everybody.
    Group,
    /// Settings of the installation, as Groups otherwise.
    Setting,
}

impl Entity {
    /// What `describe` calls an entity.
    pub(super) fn is_entity(self) -> bool {
        matches!(self, Self::Record | Self::User)
    }
}

impl Module {
    /// The field of that name.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The place of a field in `fields`, which is its place in a record's values too.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Users are there for administrators only.
    pub(super) fn is_visible_to(&self, administrator: bool) -> bool {
        administrator || self.entity != Entity::User
    }

    /// Field positions as a user sees them: administrators in the order of the layout, others by column name with the
    /// id last.
    pub(super) fn order_for(&self, administrator: bool) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.fields.len()).collect();
        if !administrator {
            order.sort_by_key(|&at| (self.fields[at].kind == Kind::Id, self.fields[at].column));
        }
        order
    }
}

/// All modules.
#[derive(Debug)]
pub(super) struct Schema {
    modules: Vec<Module>,
}

impl Schema {
    /// The tables, with or without the custom field for a connector's keys.
    pub(super) fn new(custom_key: bool, source: bool) -> Self {
        let mut records = [tables::leads(), tables::accounts(), tables::contacts()];
        if custom_key {
            for (module, name) in records.iter_mut().zip([LEADS_KEY_FIELD, ACCOUNTS_KEY_FIELD, CUSTOM_KEY_FIELD]) {
                let after_tags = module.position("tags").expect("every module has tags") + 1;
                module.fields.insert(after_tags, tables::text(name, "CRMSync Key", 64));
            }
        }
        if !source {
            records.iter_mut().for_each(|module| module.fields.retain(|field| field.name != "source"));
        }
        let (people, settings) =
            ([tables::users(), tables::groups()], [tables::currencies(), tables::company_details()]);
        Self { modules: records.into_iter().chain(people).chain(settings).collect() }
    }

    /// Changes a field as an administrator does in the settings; false if there is none of this name.
    pub(super) fn set_field(&mut self, module: &str, name: &str, rule: &FieldRule) -> bool {
        let module = self.modules.iter_mut().find(|known| known.name == module);
        let field = module.and_then(|module| module.fields.iter_mut().find(|field| field.name == name));
        let Some(field) = field else { return false };
        if let Some(read_only) = rule.read_only {
            field.editable = !read_only;
            field.writer = if read_only { Writer::Server } else { Writer::Client };
        }
        if let (Some(most), Kind::Text { chars_max }) = (rule.chars_max, &mut field.kind) {
            *chars_max = most;
        }
        field.unique = rule.unique.unwrap_or(field.unique);
        true
    }

    /// Every module in the order of `listtypes`.
    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The module of that name; names are case-sensitive.
    pub(super) fn module(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.name == name)
    }

    /// The module of an id prefix.
    pub(super) fn by_prefix(&self, prefix: u64) -> Option<&Module> {
        self.modules.iter().find(|module| module.prefix == prefix)
    }
}
