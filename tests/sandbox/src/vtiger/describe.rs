//! `listtypes` and `describe`: what there is, in the words of the interface.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::schema::{Field, Kind, Module, Schema};
use super::store::{Store, User};

/// What a file field says of itself; nothing is uploaded here.
const UPLOAD_BYTES_MAX: u64 = 32_000_000;

/// Answers `listtypes`; a filter keeps the modules that have a field of one of the types in it.
pub(super) fn list_types(schema: &Schema, field_types: Option<&str>, administrator: bool) -> Value {
    let wanted: Vec<String> = field_types.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let has_wanted = |module: &Module| {
        wanted.is_empty() || module.fields.iter().any(|field| wanted.iter().any(|name| name == field.type_name))
    };
    let modules: Vec<&Module> =
        schema.modules().iter().filter(|module| module.is_visible_to(administrator) && has_wanted(module)).collect();
    let types: Vec<&str> = modules.iter().map(|module| module.name).collect();
    let information: Map<String, Value> = modules
        .iter()
        .map(|module| {
            let entity = module.entity.is_entity();
            let about = json!({ "isEntity": entity, "label": module.label, "singular": module.singular });
            (module.name.to_owned(), about)
        })
        .collect();
    json!({ "types": types, "information": information })
}

/// Answers `describe`.
///
/// # Errors
///
/// A module that the user does not have is denied by name.
pub(super) fn describe(store: &Store, module: &str, user: &User) -> Result<Value, Refusal> {
    let (schema, administrator, may_write) = (&store.schema, user.administrator, !store.is_view_only(user));
    let found = schema.module(module).filter(|module| module.is_visible_to(administrator));
    let module = found.ok_or_else(|| Refusal::denied_for(&format!("name : {module}")))?;
    let is_entity = module.entity.is_entity();
    let fields: Vec<Value> =
        module.order_for(administrator).into_iter().map(|at| field(&module.fields[at], is_entity)).collect();
    let mut description = json!({
        "label": module.label,
        "name": module.name,
        "createable": may_write,
        "updateable": may_write,
        "deleteable": may_write,
        "retrieveable": true,
        "fields": fields,
        "idPrefix": module.prefix.to_string(),
        "isEntity": is_entity,
    });
    if is_entity {
        description["allowDuplicates"] = json!(false);
    }
    description["labelFields"] = json!(module.label_fields.join(","));
    Ok(description)
}

fn field(field: &Field, of_entity: bool) -> Value {
    let (name, label, mandatory) = (field.name, field.label, field.mandatory);
    let mut described = json!({ "name": name, "label": label, "mandatory": mandatory, "type": field_type(field) });
    if field.kind == Kind::Id {
        described["editable"] = json!(false);
        described["nullable"] = json!(false);
        described["default"] = json!("");
        return described;
    }
    if of_entity {
        described["isunique"] = json!(field.unique);
    }
    described["nullable"] = json!(field.nullable);
    described["editable"] = json!(field.editable);
    if of_entity || !field.default.is_empty() {
        described["default"] = json!(field.default);
    }
    described
}

fn field_type(field: &Field) -> Value {
    let name = field.type_name;
    match field.kind {
        Kind::Reference(modules) => json!({ "refersTo": modules, "name": name }),
        Kind::Date => json!({ "format": "yyyy-mm-dd", "name": name }),
        _ if name == "picklist" => {
            let values: Vec<Value> =
                field.values.iter().map(|value| json!({ "label": value, "value": value })).collect();
            json!({ "picklistValues": values, "defaultValue": field.values.first(), "name": name })
        }
        _ if name == "file" => json!({ "maxUploadFileSize": UPLOAD_BYTES_MAX, "name": name }),
        _ if name == "reference" => json!({ "refersTo": [], "name": name }),
        _ => json!({ "name": name }),
    }
}
