//! `create`, `update`, `revise` and `delete`: the order of the checks, what is stored, and what changed by it.

use serde_json::{Map, Value};

use super::answer::Refusal;
use super::collation::fold;
use super::html;
use super::schema::{Entity, Field, Kind, Module, Writer};
use super::server::clock_text;
use super::store::{Record, Store, User, label_text};
use super::value::{column_text, scalar, stored};

/// A write that was carried out.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) number: u64,
    /// The record as it was; `None` if it was made now.
    pub(super) before: Option<Record>,
    /// What the answer shows instead of the record: `update` answers with the description that it is about to spoil.
    pub(super) shown_instead: Option<Record>,
    /// The owner does not exist, so PHP dies after the write.
    pub(super) owner_is_missing: bool,
}

/// Who writes, and when.
#[derive(Debug, Clone)]
pub(super) struct Author {
    pub(super) user: User,
    pub(super) now_s: i64,
    /// How far the database's zone is ahead of UTC.
    pub(super) zone_s: i64,
    /// `source` of new records, if the client does not name one.
    pub(super) source: &'static str,
}

impl Author {
    /// The time of the write, as the database keeps it.
    fn time(&self) -> String {
        clock_text(self.now_s + self.zone_s)
    }
}

/// Which of the two changing operations is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changing {
    /// `update` wants every mandatory field, and spoils the description.
    Update,
    /// `revise` wants only that no mandatory field is emptied.
    Revise,
}

/// Makes a record.
///
/// # Errors
///
/// In this order: module, references, mandatory fields, unique fields, dates. Nothing is stored then.
pub(super) fn create(
    store: &mut Store,
    module: &str,
    element: &Map<String, Value>,
    author: &Author,
) -> Result<Change, Refusal> {
    let module = writable(store, module).ok_or_else(Refusal::denied)?;
    let name = module.name;
    if store.is_view_only(&author.user) {
        return Err(Refusal::coded("ACCESS_DENIED", "Permission to write is denied"));
    }
    check_references(store, module, element)?;
    check_mandatory(module, element, true)?;
    check_unique(store, module, element, None)?;
    let sent = stored_values(module, element, author, true)?;
    let owner_is_missing = owner_is_missing(store, module, &sent);

    let (number, made) = store.next_numbers(name);
    let module = writable(store, name).ok_or_else(Refusal::denied)?;
    let mut values: Vec<String> = module.fields.iter().map(|field| initial(field, module, made, author)).collect();
    for (position, value) in sent {
        values[position] = value;
    }
    let label = label(module, &values, element);
    let mut record = Record {
        module: name,
        number,
        values,
        label,
        modified_s: 0,
        deleted: false,
        converted: false,
        creator: author.user.number,
    };
    stamp(module, &mut record, author);
    store.insert(record);
    Ok(Change { number, before: None, shown_instead: None, owner_is_missing })
}

/// Changes a record: the fields sent, and none of the others, but for what `update` does to a description.
///
/// # Errors
///
/// In this order: the id, references, mandatory fields, unique fields, dates. Nothing is stored then.
pub(super) fn change(
    store: &mut Store,
    operation: Changing,
    element: &Map<String, Value>,
    author: &Author,
) -> Result<Change, Refusal> {
    let id = element.get("id").map(scalar).unwrap_or_default();
    let before = changeable(store, &id, &author.user)?.clone();
    let module = store.module_of(&before);
    check_references(store, module, element)?;
    check_mandatory(module, element, operation == Changing::Update)?;
    check_unique(store, module, element, Some(before.number))?;
    let sent = stored_values(module, element, author, false)?;
    let owner_is_missing = owner_is_missing(store, module, &sent);

    let mut after = before.clone();
    for (position, value) in sent {
        after.values[position] = value;
    }
    after.label = label(module, &after.values, element);
    stamp(module, &mut after, author);
    let mut shown_instead = None;
    if operation == Changing::Update && !element.contains_key("description") {
        let unspoilt = after.clone();
        if spoil_description(module, &mut after) {
            shown_instead = Some(unspoilt);
        }
    }
    let number = before.number;
    store.insert(after);
    Ok(Change { number, before: Some(before), shown_instead, owner_is_missing })
}

/// Deletes a record. It stays in the database, and its `modifiedtime` is the time of the deletion.
///
/// # Errors
///
/// For an id that `retrieve` would refuse.
pub(super) fn delete(store: &mut Store, id: &str, author: &Author) -> Result<Change, Refusal> {
    let before = changeable(store, id, &author.user)?.clone();
    let mut after = before.clone();
    stamp(store.module_of(&before), &mut after, author);
    after.deleted = true;
    store.insert(after);
    Ok(Change { number: before.number, before: Some(before), shown_instead: None, owner_is_missing: false })
}

/// Takes a record back from the recycle bin, which only people can; its `modifiedtime` is the time of that.
///
/// # Errors
///
/// For an id that is not in the bin.
pub(super) fn restore(store: &mut Store, id: &str, author: &Author) -> Result<Change, Refusal> {
    let number = split_id(id).map(|(_, number)| number);
    let deleted = number.and_then(|number| store.any(number)).filter(|record| record.deleted);
    let before = deleted.ok_or_else(Refusal::denied)?.clone();
    let mut after = before.clone();
    stamp(store.module_of(&before), &mut after, author);
    after.deleted = false;
    store.insert(after);
    Ok(Change { number: before.number, before: Some(before), shown_instead: None, owner_is_missing: false })
}

/// The live record of an id.
///
/// # Errors
///
/// An id without `x` or with an unknown prefix is refused as such; the prefix of another module is
/// `INVALID_ID_ATTRIBUTE`; what does not exist, is deleted or hidden from the user is denied in the same words.
pub(super) fn record_by_id<'a>(store: &'a Store, id: &str, user: &User) -> Result<&'a Record, Refusal> {
    let (prefix, number) = split_id(id).ok_or_else(|| Refusal::denied_for("id"))?;
    let module = store.schema.by_prefix(prefix).ok_or_else(|| Refusal::denied_for("id"))?;
    let record = store.live(number).ok_or_else(Refusal::denied)?;
    if record.module != module.name {
        return Err(Refusal::coded("INVALID_ID_ATTRIBUTE", "Id specified is incorrect"));
    }
    if store.may_read(user, record) { Ok(record) } else { Err(Refusal::denied()) }
}

/// The live record of an id, for a user who may change it. Who may only read it is denied in the words for a record that
/// is gone.
fn changeable<'a>(store: &'a Store, id: &str, user: &User) -> Result<&'a Record, Refusal> {
    let record = record_by_id(store, id, user)?;
    if store.is_view_only(user) { Err(Refusal::denied()) } else { Ok(record) }
}

/// Prefix and number of an id; what follows the `x` is read as PHP reads a number.
pub(super) fn split_id(id: &str) -> Option<(u64, u64)> {
    let (prefix, number) = id.split_once('x')?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    Some((prefix.parse().ok()?, number[..digits].parse().unwrap_or(0)))
}

fn writable<'a>(store: &'a Store, module: &str) -> Option<&'a Module> {
    store.schema.module(module).filter(|module| module.entity == Entity::Record)
}

/// The fields that a client may write and has sent.
fn sent_fields<'a>(module: &'a Module, element: &'a Map<String, Value>) -> impl Iterator<Item = (&'a Field, String)> {
    let written = module.fields.iter().filter(|field| field.writer != Writer::Server);
    written.filter_map(|field| Some((field, scalar(element.get(field.name)?))))
}

fn check_references(store: &Store, module: &Module, element: &Map<String, Value>) -> Result<(), Refusal> {
    for (field, id) in sent_fields(module, element) {
        let Kind::Reference(allowed) = field.kind else { continue };
        if id.is_empty() {
            continue;
        }
        let target = split_id(&id).and_then(|(prefix, _)| store.schema.by_prefix(prefix));
        let target = target.ok_or_else(|| Refusal::denied_for("id"))?;
        if !allowed.contains(&target.name) {
            let message = format!("Invalid reference specified for {}", field.name);
            return Err(Refusal::coded("REFERENCE_INVALID", message));
        }
    }
    Ok(())
}

/// Fields that are not sent count as missing only if `also_unsent`.
fn check_mandatory(module: &Module, element: &Map<String, Value>, also_unsent: bool) -> Result<(), Refusal> {
    let empty = |field: &&Field| match element.get(field.name) {
        Some(sent) => scalar(sent).is_empty(),
        None => also_unsent,
    };
    match module.fields.iter().filter(|field| field.mandatory).find(empty) {
        Some(field) => Err(Refusal::mandatory(field.name)),
        None => Ok(()),
    }
}

fn check_unique(
    store: &Store,
    module: &Module,
    element: &Map<String, Value>,
    own_number: Option<u64>,
) -> Result<(), Refusal> {
    for (position, field) in module.fields.iter().enumerate().filter(|(_, field)| field.unique) {
        let Some(sent) = element.get(field.name) else { continue };
        if store.is_taken(module.name, position, fold(&scalar(sent)), own_number) {
            return Err(Refusal::Duplicate);
        }
    }
    Ok(())
}

/// What the columns will keep of the fields sent, by position.
fn stored_values(
    module: &Module,
    element: &Map<String, Value>,
    author: &Author,
    creating: bool,
) -> Result<Vec<(usize, String)>, Refusal> {
    let mut values = Vec::new();
    for (field, text) in sent_fields(module, element) {
        let ignored = field.writer == Writer::ClientAtCreate && (!creating || text.is_empty());
        let Some(position) = module.position(field.name).filter(|_| !ignored) else { continue };
        let value = match field.kind {
            Kind::Owner => owner_number(&text),
            _ => stored(field, &text, author.user.currency_decimals)?,
        };
        values.push((position, value));
    }
    Ok(values)
}

/// What Vtiger takes for the owner: whatever follows the `x`, or the whole text, of whatever module.
fn owner_number(text: &str) -> String {
    let number = text.split_once('x').map_or(text, |(_, number)| number);
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    if digits.is_empty() { "0".to_owned() } else { digits }
}

fn owner_is_missing(store: &Store, module: &Module, sent: &[(usize, String)]) -> bool {
    let owner = sent.iter().find(|(position, _)| module.fields[*position].kind == Kind::Owner);
    let Some(number) = owner.map(|(_, number)| number.parse().unwrap_or(0)) else { return false };
    store.user(number).is_none() && !store.groups.iter().any(|group| group.number == number)
}

/// What a field of a new record holds if the client sends nothing. The defaults of `describe` have no part in it.
pub(super) fn initial(field: &Field, module: &Module, made: u64, author: &Author) -> String {
    match (field.kind, field.name) {
        (Kind::Boolean, _) | (Kind::Integer, _) => "0".to_owned(),
        (Kind::Currency, _) => "0.00000000".to_owned(),
        (Kind::DateTime, "createdtime") => author.time(),
        (Kind::Text { .. }, "source") => author.source.to_owned(),
        (Kind::Text { .. }, name) if name.ends_with("_no") => format!("{}{made}", module.number_prefix),
        _ => String::new(),
    }
}

/// The label after a write: of the fields sent the text as sent, so that it can be longer than what the columns keep.
fn label(module: &Module, values: &[String], element: &Map<String, Value>) -> String {
    label_text(module, |position| match element.get(module.fields[position].name) {
        Some(sent) => column_text(&scalar(sent)),
        None => values[position].clone(),
    })
}

/// Notes who changed a record and when, also if nothing changed.
pub(super) fn stamp(module: &Module, record: &mut Record, author: &Author) {
    record.modified_s = author.now_s;
    for (position, field) in module.fields.iter().enumerate() {
        match field.name {
            "modifiedtime" => record.values[position] = author.time(),
            "modifiedby" => record.values[position] = format!("19x{}", author.user.number),
            _ => {}
        }
    }
}

/// Encodes the description once more, as `update` does when the client does not send it and it is the only field of the
/// record that holds characters with a meaning in HTML. Says whether anything changed.
fn spoil_description(module: &Module, record: &mut Record) -> bool {
    let Some(description) = module.position("description") else { return false };
    let elsewhere = record
        .values
        .iter()
        .enumerate()
        .any(|(position, value)| position != description && html::has_special_characters(value));
    if elsewhere || !html::has_special_characters(&record.values[description]) {
        return false;
    }
    record.values[description] = html::special_characters(&record.values[description]);
    true
}
