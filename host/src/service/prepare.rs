//! The field for our keys: where it is missing, and how a person makes it.

use serde::Serialize;

use super::connections;
use super::failure::{Failure, call_failed};
use crate::app::App;
use crate::engine::{CreateClass, Remote};

/// One module, and what would make its creates safe.
#[derive(Clone, Debug, Serialize)]
pub struct Prepared {
    /// Module.
    pub module: String,
    /// A: the CRM enforces our key. B: it can be asked for it. C: neither.
    pub class: CreateClass,
    /// API name of the field that holds our keys, "" if none does.
    pub key_field: String,
    /// What a person does in the CRM; empty if nothing is left to do.
    pub steps: Vec<String>,
}

/// How creates are protected in all modules of a connection, or in one.
///
/// # Errors
/// The connection or module is unknown, or the CRM cannot be asked.
pub async fn prepare(app: &App, tenant: &str, name: &str, module: Option<&str>) -> Result<Vec<Prepared>, Failure> {
    let row = connections::get(app, tenant, name).await?;
    connections::usable(app, &row).await?;
    let manifest = app.manifest(&row.plugin).await?;
    let crm = app.crm_anew(tenant, &row).await?;
    let modules = crm.modules().await.map_err(|error| call_failed(name, "list the modules", &error))?;
    if let Some(wanted) = module.filter(|wanted| !modules.iter().any(|known| known.name == *wanted)) {
        let known: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        return Err(Failure::input(
            "connection.unknown_module",
            format!("`{name}` has no module `{wanted}`"),
            format!("known modules: {}", known.join(", ")),
        ));
    }
    let wanted = modules.into_iter().filter(|known| module.is_none_or(|wanted| known.name == wanted));
    let prepared = wanted.map(|module| {
        let steps = match module.create_class {
            CreateClass::A => Vec::new(),
            CreateClass::B | CreateClass::C => {
                manifest.prepare.iter().map(|step| step.replace("{module}", &module.label)).collect()
            }
        };
        Prepared { module: module.name, class: module.create_class, key_field: module.key_field, steps }
    });
    Ok(prepared.collect())
}
