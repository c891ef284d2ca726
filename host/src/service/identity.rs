//! Who a login is and where: asked of the CRM, held against the organisation that the connection is bound to, and remembered.

use std::sync::Arc;

use super::connections::{agreed, get, not_kept};
use super::failure::{Failure, call_failed};
use crate::app::App;
use crate::egress::{Door, DraftVault};
use crate::engine::{CheckReport, Remote};
use crate::runtime::capability::consent;
use crate::store::{ConnectionRow, ConnectionState};

/// Asks the CRM who and where we are, and remembers it.
///
/// # Errors
/// The CRM cannot be reached, the login does not work, a permission is missing, or it is another organisation than before.
pub async fn check(app: &App, tenant: &str, name: &str) -> Result<CheckReport, Failure> {
    let row = get(app, tenant, name).await?;
    agreed(app, &row).await?;
    let crm = app.crm(tenant, &row).await?;
    let report = match crm.check().await {
        Ok(report) => report,
        Err(error) => return Err(not_checked(app, tenant, &row, &error).await?),
    };
    if let Err(failure) = fits(&row, &report) {
        if failure.code == OTHER_ORG {
            // S19: nothing may be read or written there until a person has looked at it.
            let state = ConnectionState::LoggedOut;
            app.store().set_connection_checked(tenant, &row, state, None, String::new()).await?;
        }
        return Err(failure);
    }
    let known = StoredCheck::of(&row).filter(|_| row.state == ConnectionState::Ready);
    remember(app, tenant, &row, &report, known.map(|known| known.at_login)).await?;
    Ok(report)
}

/// Completes a login: asks the CRM through the login's own door who and where we are, and stores what the login gave only if that is
/// the right organisation. The first login binds the connection to it (S19).
///
/// # Errors
/// As [`check`]; what was stored before is then as it was.
pub(super) async fn accept_login(
    app: &App,
    tenant: &str,
    row: &ConnectionRow,
    door: Arc<Door>,
    draft: &DraftVault,
) -> Result<CheckReport, Failure> {
    let crm = app.crm_through(row, door).await?;
    let report = crm.check().await.map_err(|error| call_failed(&row.name, "check", &error))?;
    fits(row, &report)?;
    draft.commit(tenant, &row.name).await.map_err(not_kept)?;
    remember(app, tenant, row, &report, None).await?;
    app.forget_door(tenant, &row.name).await;
    Ok(report)
}

const OTHER_ORG: &str = "connection.other_org";

/// Whether a login is to the connection's organisation, and may do what is needed.
fn fits(row: &ConnectionRow, report: &CheckReport) -> Result<(), Failure> {
    let name = &row.name;
    if !row.org_id.is_empty() && row.org_id != report.org_id {
        return Err(Failure::failed(
            OTHER_ORG,
            format!("this login belongs to `{}`, and `{name}` is a connection to `{}`", report.org_name, row.org_name),
            "log in to the same organisation again, or add a new connection and start a new flow",
        ));
    }
    if !report.missing.is_empty() {
        return Err(Failure::failed(
            "connection.missing_permission",
            format!("`{name}`: these permissions are missing: {}", report.missing.join(", ")),
            format!("grant them in the CRM and run `crmsync connection login {name}`"),
        ));
    }
    Ok(())
}

/// Keeps what a check told. Without `at_login` the check itself is the login's.
async fn remember(
    app: &App,
    tenant: &str,
    row: &ConnectionRow,
    report: &CheckReport,
    at_login: Option<CheckReport>,
) -> Result<(), Failure> {
    let org = row.org_id.is_empty().then(|| (report.org_id.clone(), report.org_name.clone()));
    let consent = consent(&app.manifest(&row.plugin).await?).fingerprint;
    let at_login = at_login.unwrap_or_else(|| report.clone());
    let stored = StoredCheck { at_login, last: report.clone(), last_at_ms: app.now_ms(), consent };
    let stored = serde_json::to_string(&stored).unwrap_or_default();
    if app.store().set_connection_checked(tenant, row, ConnectionState::Ready, org, stored).await? {
        return Ok(());
    }
    Err(Failure::failed(
        "connection.changed",
        format!("`{}` was changed while it was asked", row.name),
        format!("run `crmsync connection login {}`", row.name),
    ))
}

/// What is kept of a connection's checks.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct StoredCheck {
    /// What the login could see at first: a later change is what a sweep has to notice.
    pub(super) at_login: CheckReport,
    /// The last check.
    pub(super) last: CheckReport,
    /// When that was.
    pub(super) last_at_ms: i64,
    /// Fingerprint of where secrets go, as a person agreed to it by logging in.
    #[serde(default)]
    pub(super) consent: String,
}

impl StoredCheck {
    pub(super) fn of(row: &ConnectionRow) -> Option<StoredCheck> {
        serde_json::from_str(&row.checked).ok()
    }
}

async fn not_checked(
    app: &App,
    tenant: &str,
    row: &ConnectionRow,
    error: &crate::engine::CallError,
) -> Result<Failure, Failure> {
    use crmsync_core::Fault;
    if matches!(error, crate::engine::CallError::Fault(Fault::LoggedOut)) && row.state == ConnectionState::Ready {
        app.store().set_connection_checked(tenant, row, ConnectionState::LoggedOut, None, String::new()).await?;
    }
    Ok(call_failed(&row.name, "check", error))
}
