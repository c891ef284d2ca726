//! Which scopes allow which calls.

use crate::http::Request;

/// Searching and counting need this scope besides the one for the module.
const SEARCH: &str = "ZohoSearch.securesearch.READ";

/// Whether one of the granted scopes allows a call to this path below `/crm/v8`.
pub(super) fn allows(granted: &[String], request: &Request, path: &[&str]) -> bool {
    let operation = match request.method.as_str() {
        "GET" => "READ",
        "POST" => "CREATE",
        "PUT" => "UPDATE",
        _ => "DELETE",
    };
    let (group, part) = match path {
        ["users", ..] => ("users", None),
        ["org"] => ("org", None),
        ["settings", part, ..] => ("settings", Some(part.to_lowercase())),
        [module, ..] => ("modules", Some(module.to_lowercase())),
        [] => return false,
    };
    // An upsert may do either, so it needs the right to both.
    let upsert = path.last() == Some(&"upsert");
    let has = |operation: &str| granted.iter().any(|scope| covers(scope, group, part.as_deref(), operation));
    let searches = matches!(path, [_, "search"] | [_, "actions", "count"]) && group == "modules";
    let may_search = || granted.iter().any(|scope| scope == SEARCH);
    has(operation) && (!upsert || has("UPDATE")) && (!searches || may_search())
}

fn covers(scope: &str, group: &str, part: Option<&str>, operation: &str) -> bool {
    let allowed = |word: &str| {
        word == "ALL" || word == operation || (word == "WRITE" && matches!(operation, "CREATE" | "UPDATE"))
    };
    match scope.split('.').collect::<Vec<_>>().as_slice() {
        ["ZohoCRM", scope_group, word] => *scope_group == group && allowed(word),
        ["ZohoCRM", scope_group, scope_part, word] => {
            *scope_group == group && part == Some(&scope_part.to_lowercase()) && allowed(word)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_cover_groups_parts_and_operations() {
        let check =
            |scope: &str, group: &str, part: Option<&str>, operation: &str| covers(scope, group, part, operation);
        assert!(check("ZohoCRM.modules.ALL", "modules", Some("contacts"), "DELETE"));
        assert!(check("ZohoCRM.modules.contacts.WRITE", "modules", Some("contacts"), "UPDATE"));
        assert!(check("ZohoCRM.settings.fields.READ", "settings", Some("fields"), "READ"));
        assert!(!check("ZohoCRM.modules.contacts.READ", "modules", Some("accounts"), "READ"));
        assert!(!check("ZohoCRM.modules.READ", "modules", Some("contacts"), "CREATE"));
        assert!(!check("ZohoCRM.modules.ALL", "settings", Some("fields"), "READ"));
    }
}
