//! The installation: who is logged in, which modules there are, who may own records.

use crmsync_plugin::egress::send_all;
use crmsync_plugin::rows::column;
use crmsync_plugin::{CheckReport, Fault, Kind, ModuleInfo, User};
use serde_json::Value;

use crate::fault::Doing;
use crate::login::{self, Login};
use crate::schema::Schema;
use crate::vtql::{self, PAGE_ROWS};
use crate::wire;

/// The modules that this connector syncs.
const MODULES: [&str; 3] = ["Accounts", "Contacts", "Leads"];

/// Pages of users or groups that are read: more of either is a directory, not a sales team.
const OWNER_PAGES_MAX: u64 = 20;

/// Tells who and where we are, with two requests, or four for an administrator.
///
/// # Errors
/// The connection's; a company name or a currency that this user may not read is left out.
pub(crate) fn check() -> Result<CheckReport, Fault> {
    let company = wire::query(vtql::rows("organizationname", "CompanyDetails", ""));
    let mut answers = send_all(vec![company, wire::read("listtypes")]).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(Fault::Transient("the host gave no answer".to_owned())));
    let (company, types) = (next()?, next()?);
    let types = wire::result(&types, Doing::Read)?;
    let login = Login::now();
    let org_name = optional(wire::result(&company, Doing::Read))?.and_then(|rows| text(&rows, "/0/organizationname"));
    let visible = module_names(&types);
    let missing = MODULES.iter().filter(|module| !visible.contains(module)).map(|module| format!("module {module}"));
    let visible_scope = if login.sees_all() { "all" } else { "unknown" };
    let currency = if login.sees_all() { currency(login.fact("user-id"))? } else { String::new() };
    let time_zone = Some(login.fact("time-zone")).filter(|zone| !zone.is_empty()).unwrap_or("UTC");
    Ok(CheckReport {
        org_id: installation(login.setting("base_url"), org_name.as_deref().unwrap_or_default()),
        org_name: org_name.unwrap_or_default(),
        org_kind: "unknown".to_owned(),
        user_id: login.fact("user-id").to_owned(),
        user_name: login.fact("user-name").to_owned(),
        visible_scope: visible_scope.to_owned(),
        time_zone: time_zone.to_owned(),
        currency,
        edition: edition(login.setting("base_url")).to_owned(),
        version: login.fact("version").to_owned(),
        server_clock_ms: wire::clock(&company).map(|seconds| seconds * 1_000),
        missing: missing.collect(),
        extra: vec![("email".to_owned(), login.fact("email").to_owned())],
    })
}

/// The vendor's own hosting counts calls; which plan it is, no answer says. An installation of one's own counts nothing.
fn edition(base_url: &str) -> &'static str {
    let host = base_url.split("://").last().unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    if host == "vtiger.com" || host.ends_with(".vtiger.com") { "cloud" } else { "self-hosted" }
}

/// The modules that can be synced for this login.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn modules() -> Result<Vec<ModuleInfo>, Fault> {
    let types = wire::result(&wire::read("listtypes").send()?, Doing::Read)?;
    let quiesce_ms = Login::now().quiesce_ms();
    let visible = module_names(&types);
    let visible: Vec<&str> = MODULES.into_iter().filter(|module| visible.contains(module)).collect();
    let described = login::recent(&visible);
    let info = |(module, described): (&str, Result<Schema, Fault>)| {
        let label = text(&types, &format!("/information/{module}/label"));
        Ok(module_info(module, label.unwrap_or_else(|| module.to_owned()), &described?, quiesce_ms))
    };
    visible.into_iter().zip(described).map(info).collect()
}

/// How many records of a module there are. Those that sharing rules hide from the user are counted too.
///
/// # Errors
/// `unsupported` if the user may not see the module.
pub(crate) fn count(module: &str) -> Result<Option<u64>, Fault> {
    if !vtql::is_name(module) {
        return Err(Fault::Unsupported(format!("module `{module}`")));
    }
    wire::count(&wire::query(vtql::count(module, "")).send()?).map(Some)
}

/// Users and groups. Only administrators may list users; others learn about themselves and the groups.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn users() -> Result<Vec<User>, Fault> {
    let groups = owners("Groups", ["groupname"])?;
    let login = Login::now();
    let users = if login.sees_all() {
        let columns = ["user_name", "first_name", "last_name", "email1", "status"];
        owners("Users", columns)?.into_iter().map(user).collect()
    } else {
        let [id, name, email] = ["user-id", "user-name", "email"].map(|fact| login.fact(fact).to_owned());
        vec![User { id, name, email, active: true, kind: "user".to_owned() }]
    };
    let group = |(id, [name]): (String, [String; 1])| User {
        id,
        name,
        email: String::new(),
        active: true,
        kind: "group".to_owned(),
    };
    Ok(users.into_iter().chain(groups.into_iter().map(group)).collect())
}

fn user((id, [login_name, first, last, email, status]): (String, [String; 5])) -> User {
    let full = format!("{first} {last}");
    let name = Some(full.trim()).filter(|name| !name.is_empty()).unwrap_or(&login_name).to_owned();
    User { id, name, email, active: status == "Active", kind: "user".to_owned() }
}

/// Ids and columns of all users or groups, paged by offset in the CRM's own order. They are no records, so it is not sure
/// that the CRM can order them by id, and an order that it does not know gives an empty success.
fn owners<const N: usize>(module: &str, columns: [&str; N]) -> Result<Vec<(String, [String; N])>, Fault> {
    let wire: Vec<_> = ["id"].into_iter().chain(columns).map(|name| column(name, Kind::Text)).collect();
    let mut owners: Vec<(String, [String; N])> = Vec::new();
    for page in 0..OWNER_PAGES_MAX {
        let names = columns.join(",");
        let query = format!("select id,{names} from {module} limit {},{PAGE_ROWS};", page * PAGE_ROWS);
        let rows = wire::rows(&wire::query(query).send()?, &wire)?;
        for row in rows.iter() {
            let texts = std::array::from_fn(|index| row.text(index + 1).to_owned());
            if !owners.iter().any(|(known, _)| known == row.text(0)) {
                owners.push((row.text(0).to_owned(), texts));
            }
        }
        if (rows.len() as u64) < PAGE_ROWS {
            break;
        }
    }
    Ok(owners)
}

fn module_info(module: &str, label: String, described: &Schema, quiesce_ms: u64) -> ModuleInfo {
    let key_field = described.key_field.clone().unwrap_or_default();
    let mut extra = vec![("id-prefix".to_owned(), described.prefix.clone())];
    extra.extend(described.refused.iter().map(|right| (right.clone(), "false".to_owned())));
    if !described.refused.iter().any(|right| right == "deletable") {
        // A soft delete, which people can take back in the CRM; nothing in the API empties the bin.
        extra.push(("deletes".to_owned(), "recycle".to_owned()));
    }
    ModuleInfo {
        name: module.to_owned(),
        label,
        // Nothing in the CRM enforces a key, but a query finds one as soon as it is committed.
        create_class: if key_field.is_empty() { "C" } else { "B" }.to_owned(),
        key_field,
        update_guard: "none".to_owned(),
        removals: "sweep".to_owned(),
        quiesce_ms,
        push_rows: 1,
        fetch_rows: PAGE_ROWS as u32,
        extra,
    }
}

/// A stable id of the installation. The API has none: the company's id is `23x1` everywhere, its name can be changed,
/// and a copy made for trying things out has the same data. What differs between a copy and its original is the address
/// that the operator entered, so that is the id, without what does not change where it leads. A CRM that moves to
/// another address is another one until somebody says otherwise. The company's name takes its place only if the host
/// keeps the address to itself.
fn installation(base_url: &str, company: &str) -> String {
    let address = base_url.trim().trim_end_matches('/');
    if address.is_empty() {
        return format!("company:{company}");
    }
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.to_ascii_lowercase();
    let default_port = if scheme.eq_ignore_ascii_case("http") { ":80" } else { ":443" };
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

fn currency(user_id: &str) -> Result<String, Fault> {
    let look_up = |column: &str, module: &str, id: &str| -> Result<String, Fault> {
        if crate::schema::prefix_of(id).is_none() {
            return Ok(String::new());
        }
        let query = vtql::rows(column, module, &vtql::one_of("id", &[id]));
        let rows = optional(wire::query(query).send().and_then(|answer| wire::result(&answer, Doing::Read)))?;
        Ok(rows.and_then(|rows| text(&rows, &format!("/0/{column}"))).unwrap_or_default())
    };
    let id = look_up("currency_id", "Users", user_id)?;
    look_up("currency_code", "Currency", &id)
}

/// A result that is nice to have: refusals make it none, trouble with the connection stays an error.
fn optional(result: Result<Value, Fault>) -> Result<Option<Value>, Fault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(fault @ (Fault::LoggedOut | Fault::RateLimited(_) | Fault::Transient(_))) => Err(fault),
        Err(_) => Ok(None),
    }
}

fn module_names(types: &Value) -> Vec<&str> {
    types.get("types").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::installation;

    #[test]
    fn an_installation_is_its_address() {
        let check = |address: &str, expected: &str| assert_eq!(installation(address, "ACME"), expected, "{address}");
        check("https://CRM.acme.example/", "crm.acme.example");
        check("https://crm.acme.example:443", "crm.acme.example");
        check("http://crm.acme.example:80/vtiger/", "crm.acme.example/vtiger");
        check("http://crm.acme.example:8080/Vtiger", "crm.acme.example:8080/Vtiger");
        check("crm.acme.example", "crm.acme.example");
        check("", "company:ACME");
    }
}
