//! What Zoho checks before it stores a value, and what it makes of it.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::schema::{Field, Kind, Module};
use super::store::Store;
use super::when;

/// The values of one row of a write, checked and in the form that is stored; null clears a field.
///
/// Unknown names, names that begin with `$`, and what only the server writes are ignored without a word. Unique fields
/// are checked by the caller, who knows which record the row is for.
pub(super) fn row(
    store: &Store,
    module: &Module,
    sent: &Map<String, Value>,
    place: usize,
    creates: bool,
) -> Result<Map<String, Value>, Refusal> {
    let mut values = Map::new();
    let mut refusals = Vec::new();
    for field in &module.fields {
        let at = |refusal: Refusal| {
            refusal.with("api_name", field.api_name).with("json_path", format!("$.data[{place}].{}", field.api_name))
        };
        let missing = || at(Refusal::new(400, "MANDATORY_NOT_FOUND", "required field not found"));
        match sent.get(field.api_name) {
            _ if field.read_only => {}
            None if creates && field.mandatory => refusals.push(missing()),
            None => {}
            Some(value) => match check(store, field, value) {
                Ok(Value::Null) if field.mandatory => refusals.push(missing()),
                Ok(value) => {
                    values.insert(field.api_name.to_owned(), value);
                }
                Err(refusal) => refusals.push(at(refusal)),
            },
        }
    }
    match refusals.len() {
        0 => Ok(values),
        1 => Err(refusals.remove(0)),
        _ => {
            let errors: Vec<Value> = refusals.iter().map(Refusal::body).collect();
            Err(Refusal::new(400, "MULTIPLE_OR_MULTI_ERRORS", "Multiple errors in the request").with("errors", errors))
        }
    }
}

fn check(store: &Store, field: &Field, value: &Value) -> Result<Value, Refusal> {
    match (field.kind, value) {
        (Kind::Owner, value) => owner(store, value),
        (_, Value::Null) => Ok(Value::Null),
        (Kind::Boolean, Value::Bool(_)) => Ok(value.clone()),
        (Kind::Integer, Value::Number(number)) if number.is_i64() => Ok(value.clone()),
        (Kind::Currency, Value::Number(_)) => Ok(value.clone()),
        (Kind::Lookup(target), value) => lookup(store, target, value),
        (Kind::Boolean | Kind::Integer | Kind::Currency, _) => Err(wrong_type(field)),
        (_, Value::String(text)) => check_text(field, text.trim()),
        _ => Err(wrong_type(field)),
    }
}

fn check_text(field: &Field, text: &str) -> Result<Value, Refusal> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if text.chars().count() > field.chars_max {
        return Err(Refusal::invalid_data("invalid data").with("maximum_length", field.chars_max));
    }
    match field.kind {
        // `-None-` is how the screen shows an empty pick list. Other unknown values are taken, as the lists are not
        // restricted to their values.
        Kind::Picklist(_) if text == "-None-" => Ok(Value::Null),
        Kind::Email if !is_email(text) => Err(wrong_type(field)),
        Kind::Date if !when::is_date(text) => Err(wrong_type(field)),
        _ => Ok(json!(text)),
    }
}

fn wrong_type(field: &Field) -> Refusal {
    let expected = match field.kind {
        Kind::Lookup(_) | Kind::Owner | Kind::User => "jsonobject",
        Kind::Currency => "double",
        kind => kind.data_type(),
    };
    Refusal::invalid_data("invalid data").with("expected_data_type", expected)
}

/// The id in a reference: `{"id": "…"}`, the bare text, or a number as Zoho's own client library sends it.
pub(super) fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) if id.is_u64() => Some(id.to_string()),
        Value::Object(reference) => match reference.get("id")? {
            Value::Object(_) => None,
            id => id_text(id),
        },
        _ => None,
    }
}

fn owner(store: &Store, value: &Value) -> Result<Value, Refusal> {
    let id =
        id_text(value).ok_or_else(|| Refusal::invalid_data("invalid data").with("expected_data_type", "jsonobject"))?;
    match store.member(&id) {
        Some(member) if member.active => Ok(json!(id)),
        _ => Err(Refusal::invalid_data("the id given seems to be invalid")),
    }
}

fn lookup(store: &Store, target: &str, value: &Value) -> Result<Value, Refusal> {
    let id =
        id_text(value).ok_or_else(|| Refusal::invalid_data("invalid data").with("expected_data_type", "jsonobject"))?;
    match store.get(target, &id) {
        Some(_) => Ok(json!(id)),
        None => Err(Refusal::invalid_data("the id given seems to be invalid")),
    }
}

/// One `@`, something on both sides of it, a dot in the domain, no blanks and none of the characters that Zoho refuses.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let refused = |c: char| c.is_whitespace() || matches!(c, '@' | ',' | ';' | '<' | '>' | '(' | ')' | '"' | '\\');
    !local.is_empty()
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !domain.contains("..")
        && !text.replacen('@', "", 1).contains(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_forms() {
        for good in ["a@b.example", "o'hara+x@mail.b.example", "å@b.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["a", "a@b", "@b.example", "a@@b.example", "a b@c.example", "a@b..example", "a@.b", "a@b.", "a,b@c.example"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
