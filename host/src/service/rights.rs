//! What a login may not do with the records of a CRM, as the CRM says so before anything is tried.

use std::collections::BTreeMap;

use super::connections;
use super::failure::{Failure, call_failed};
use crate::app::App;
use crate::engine::Remote;

/// Verbs that are refused to a connection's login, by module: create, edit, delete. A module in which everything is allowed is left out.
///
/// # Errors
/// The connection cannot be used, or the CRM does not list its modules.
pub async fn refused_rights(app: &App, tenant: &str, name: &str) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let row = connections::get(app, tenant, name).await?;
    connections::usable(app, &row).await?;
    let modules = app.crm_anew(tenant, &row).await?.modules().await;
    let modules = modules.map_err(|error| call_failed(name, "list the modules", &error))?;
    let refused = modules.into_iter().filter(|module| !module.refused.is_empty());
    Ok(refused.map(|module| (module.name, module.refused)).collect())
}
