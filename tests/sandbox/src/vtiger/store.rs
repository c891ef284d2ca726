//! The records, users and groups of one server, and how a user sees them. Who may write what is decided in `writes`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::collation::fold;
use super::html;
use super::profile::Profile;
use super::schema::{Entity, Kind, Module, Schema};
use crate::crm::Rights;

/// The one currency of the installation.
const CURRENCY_ID: &str = "21x1";
/// How many characters of a label are kept.
const LABEL_CHARS_MAX: usize = 255;

/// One row: a record, a user or a group.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The module's name.
    pub(super) module: &'static str,
    /// The number after the `x` of the id.
    pub(super) number: u64,
    /// The stored value of each field, in the order of the module's fields. Owners are bare numbers here.
    pub(super) values: Vec<String>,
    /// The display text, made when the record was saved, before any column was cut. Not yet encoded.
    pub(super) label: String,
    /// Seconds since 1970: the value of `modifiedtime`, which also a deletion moves.
    pub(super) modified_s: i64,
    /// Deleted records stay, for `sync` alone.
    pub(super) deleted: bool,
    /// A lead that was converted: queries do not find it any more, `sync` tells it as deleted, by its id it can still be read and changed.
    pub(super) converted: bool,
    /// The number of the user who made the record: only that user sees a value in `starred`.
    pub(super) creator: u64,
}

/// One user of the CRM.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) access_key: String,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) email: String,
    pub(super) administrator: bool,
    pub(super) active: bool,
    /// Numbers of the groups that the user belongs to.
    pub(super) groups: Vec<u64>,
    /// How many decimals of a currency survive this user's writes.
    pub(super) currency_decimals: usize,
}

/// One group that can own records.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
}

/// Everything that the database of one server holds.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) schema: Schema,
    pub(super) users: Vec<User>,
    pub(super) groups: Vec<Group>,
    /// The rows of the modules that hold settings.
    pub(super) settings: Vec<Record>,
    /// Share of records, in percent, that users who are not administrators may not read.
    pub(super) hidden_percent: u64,
    /// Users who are not administrators may change nothing.
    pub(super) view_only: bool,
    records: BTreeMap<u64, Record>,
    /// Who holds which value of a unique field: by module, place of the field and folded value.
    holders: HashMap<(&'static str, usize, String), BTreeSet<u64>>,
    next_number: u64,
    /// How many records of a module were ever made, for `contact_no` and its like.
    made: BTreeMap<&'static str, u64>,
}

impl Store {
    /// An empty database.
    pub(super) fn new(schema: Schema, users: Vec<User>, groups: Vec<Group>, profile: Profile) -> Self {
        let settings = Vec::new();
        let Profile { hidden_percent, view_only, .. } = profile;
        Self {
            schema,
            users,
            groups,
            settings,
            hidden_percent,
            view_only,
            records: BTreeMap::new(),
            holders: HashMap::new(),
            next_number: 2,
            made: BTreeMap::new(),
        }
    }

    /// Whether this user may read records, and neither make nor change nor delete any.
    pub(super) fn is_view_only(&self, user: &User) -> bool {
        self.view_only && !user.administrator
    }

    /// Adds a user, or changes the one of this full name; gives the number.
    pub(super) fn set_user(&mut self, name: &str, email: &str, active: bool) -> u64 {
        let (first_name, last_name) = name.rsplit_once(' ').unwrap_or(("", name));
        let known = |user: &&mut User| user.first_name == first_name && user.last_name == last_name;
        if let Some(user) = self.users.iter_mut().find(known) {
            (user.email, user.active) = (email.to_owned(), active);
            return user.number;
        }
        let number = self.users.iter().map(|user| user.number).max().unwrap_or(0) + 1;
        self.users.push(User {
            number,
            name: email.split('@').next().unwrap_or(email).to_owned(),
            // Whoever is added does not log in through the interface here.
            access_key: String::new(),
            first_name: first_name.to_owned(),
            last_name: last_name.to_owned(),
            email: email.to_owned(),
            administrator: false,
            active,
            groups: Vec::new(),
            currency_decimals: self.users.first().map_or(2, |user| user.currency_decimals),
        });
        number
    }

    /// The user of that number.
    pub(super) fn user(&self, number: u64) -> Option<&User> {
        self.users.iter().find(|user| user.number == number)
    }

    /// The module of a record.
    ///
    /// # Panics
    ///
    /// Never: records are only made for modules of the schema.
    pub(super) fn module_of(&self, record: &Record) -> &Module {
        self.schema.module(record.module).expect("records belong to modules of the schema")
    }

    /// A record that is not deleted.
    pub(super) fn live(&self, number: u64) -> Option<&Record> {
        self.records.get(&number).filter(|record| !record.deleted)
    }

    /// A record, deleted or not.
    pub(super) fn any(&self, number: u64) -> Option<&Record> {
        self.records.get(&number)
    }

    /// All records of a module by id, deleted ones among them.
    pub(super) fn records_of<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.values().filter(move |record| record.module == module)
    }

    /// The next number of the one counter that all modules share, and the next record number of this module.
    pub(super) fn next_numbers(&mut self, module: &'static str) -> (u64, u64) {
        let number = self.next_number;
        self.next_number += 1;
        let made = self.made.entry(module).or_default();
        *made += 1;
        (number, *made)
    }

    /// Adds a record that was given its numbers by `next_numbers`, or puts it in the place of what it was.
    pub(super) fn insert(&mut self, record: Record) {
        let module = self.module_of(&record);
        let unique: Vec<usize> = (0..module.fields.len()).filter(|at| module.fields[*at].unique).collect();
        for at in unique {
            let key = |record: &Record| (record.module, at, fold(&record.values[at]));
            let before = self.records.get(&record.number).map(key);
            if let Some(holders) = before.and_then(|before| self.holders.get_mut(&before)) {
                holders.remove(&record.number);
            }
            if !record.deleted {
                self.holders.entry(key(&record)).or_default().insert(record.number);
            }
        }
        self.records.insert(record.number, record);
    }

    /// Whether another live record than this one has the folded value in a unique field.
    pub(super) fn is_taken(&self, module: &'static str, at: usize, folded: String, own: Option<u64>) -> bool {
        let holders = self.holders.get(&(module, at, folded));
        holders.is_some_and(|holders| holders.iter().any(|holder| Some(*holder) != own))
    }

    /// Adds a record that brings its number along; the counters go on behind it.
    pub(super) fn seed(&mut self, record: Record) {
        self.next_number = self.next_number.max(record.number + 1);
        *self.made.entry(record.module).or_default() += 1;
        self.insert(record);
    }

    /// How many records of a module were ever made.
    pub(super) fn made(&self, module: &str) -> u64 {
        self.made.get(module).copied().unwrap_or(0)
    }

    /// The rows of a module that a query starts from, by id.
    pub(super) fn rows(&self, module: &Module) -> Vec<Cow<'_, Record>> {
        match module.entity {
            Entity::Record => self
                .records
                .values()
                .filter(|record| record.module == module.name && !record.deleted && !record.converted)
                .map(Cow::Borrowed)
                .collect(),
            Entity::User => self.users.iter().map(|user| Cow::Owned(user_row(module, user))).collect(),
            Entity::Group => self.groups.iter().map(|group| Cow::Owned(group_row(module, group))).collect(),
            Entity::Setting => {
                self.settings.iter().filter(|row| row.module == module.name).map(Cow::Borrowed).collect()
            }
        }
    }

    /// Whether a user may read a row: only records can be hidden.
    pub(super) fn may_read(&self, user: &User, record: &Record) -> bool {
        let rights = Rights { administrator: user.administrator, hidden_percent: self.hidden_percent };
        self.module_of(record).entity != Entity::Record || rights.show(record.number)
    }

    /// What a user reads in one field of a record.
    pub(super) fn shown<'a>(&self, record: &'a Record, position: usize, viewer: &User) -> Cow<'a, str> {
        let module = self.module_of(record);
        let field = &module.fields[position];
        let stored = record.values[position].as_str();
        match field.kind {
            Kind::Id => Cow::Owned(self.id_of(record)),
            Kind::Reference(_) if !self.reference_exists(stored) => Cow::Borrowed(""),
            Kind::Owner => self.owner_shown(stored),
            Kind::Boolean if field.name == "starred" && record.creator != viewer.number => Cow::Borrowed(""),
            _ => Cow::Borrowed(stored),
        }
    }

    /// The whole record as an answer, without its label.
    pub(super) fn row(&self, record: &Record, viewer: &User) -> Map<String, Value> {
        let module = self.module_of(record);
        let value = |&position: &usize| {
            let shown = self.shown(record, position, viewer).into_owned();
            (module.fields[position].name.to_owned(), Value::String(shown))
        };
        module.order_for(viewer.administrator).iter().map(value).collect()
    }

    /// The whole record with its label, as `retrieve` and writes answer it.
    pub(super) fn labelled(&self, record: &Record, viewer: &User) -> Map<String, Value> {
        let mut row = self.row(record, viewer);
        row.insert("label".to_owned(), Value::String(html::label(&record.label)));
        row
    }

    /// The id of a record.
    pub(super) fn id_of(&self, record: &Record) -> String {
        format!("{}x{}", self.module_of(record).prefix, record.number)
    }

    /// The live records that refer to an id, each with the name of the field that does.
    pub(super) fn references_to(&self, id: &str) -> Vec<(&Record, &'static str)> {
        let mut references = Vec::new();
        for record in self.records.values().filter(|record| !record.deleted) {
            for (field, value) in self.module_of(record).fields.iter().zip(&record.values) {
                if matches!(field.kind, Kind::Reference(_)) && value == id {
                    references.push((record, field.name));
                }
            }
        }
        references
    }

    /// A user, group or setting as a row of its module.
    pub(super) fn directory_row(&self, module: &Module, number: u64) -> Option<Record> {
        match module.entity {
            Entity::Record => None,
            Entity::User => self.user(number).map(|user| user_row(module, user)),
            Entity::Setting => {
                self.settings.iter().find(|row| row.module == module.name && row.number == number).cloned()
            }
            Entity::Group => {
                self.groups.iter().find(|group| group.number == number).map(|group| group_row(module, group))
            }
        }
    }

    /// References to what is deleted, or never was, read as empty; nothing is written for that.
    fn reference_exists(&self, stored: &str) -> bool {
        let Some((prefix, number)) = stored.split_once('x') else { return false };
        let (Ok(prefix), Ok(number)) = (prefix.parse(), number.parse()) else { return false };
        match self.schema.by_prefix(prefix) {
            Some(module) if module.entity == Entity::Record => {
                self.live(number).is_some_and(|record| record.module == module.name)
            }
            Some(module) => self.directory_row(module, number).is_some(),
            None => false,
        }
    }

    fn owner_shown<'a>(&self, stored: &'a str) -> Cow<'a, str> {
        let number = stored.parse().unwrap_or(0);
        if self.user(number).is_some() {
            Cow::Owned(format!("19x{number}"))
        } else if self.groups.iter().any(|group| group.number == number) {
            Cow::Owned(format!("20x{number}"))
        } else {
            // Nobody by that number: the column's bare content.
            Cow::Borrowed(stored)
        }
    }
}

fn user_row(module: &Module, user: &User) -> Record {
    let value = |name: &str| match name {
        "user_name" => user.name.clone(),
        "is_admin" => on_off(user.administrator),
        "first_name" => user.first_name.clone(),
        "last_name" => user.last_name.clone(),
        "roleid" => if user.administrator { "H2" } else { "H5" }.to_owned(),
        "email1" => user.email.clone(),
        "status" => if user.active { "Active" } else { "Inactive" }.to_owned(),
        "hour_format" => "12".to_owned(),
        "is_owner" => if user.number == 1 { "1" } else { "0" }.to_owned(),
        "date_format" => "yyyy-mm-dd".to_owned(),
        "time_zone" => "UTC".to_owned(),
        "no_of_currency_decimals" => user.currency_decimals.to_string(),
        "currency_id" => CURRENCY_ID.to_owned(),
        "language" => "en_us".to_owned(),
        "userlabel" => format!("{} {}", user.first_name, user.last_name).trim().to_owned(),
        _ => String::new(),
    };
    directory_record(module, user.number, value)
}

fn group_row(module: &Module, group: &Group) -> Record {
    let value = |name: &str| match name {
        "groupname" => group.name.to_owned(),
        "description" => group.description.to_owned(),
        _ => String::new(),
    };
    directory_record(module, group.number, value)
}

/// A row of a module that is no record of the entity tables.
pub(super) fn directory_record(module: &Module, number: u64, value: impl Fn(&str) -> String) -> Record {
    let values: Vec<String> = module.fields.iter().map(|field| value(field.name)).collect();
    let label = label_text(module, |position| values[position].clone());
    Record { module: module.name, number, values, label, modified_s: 0, deleted: false, converted: false, creator: 0 }
}

/// The display text of a record: its label fields, those that are not empty, cut at the length of the column.
pub(super) fn label_text(module: &Module, value: impl Fn(usize) -> String) -> String {
    let positions = module.label_fields.iter().filter_map(|name| module.position(name));
    let parts: Vec<String> = positions.map(value).filter(|part| !part.is_empty()).collect();
    parts.join(" ").chars().take(LABEL_CHARS_MAX).collect()
}

/// PHP's idea of a flag.
pub(super) fn on_off(flag: bool) -> String {
    if flag { "on" } else { "off" }.to_owned()
}
