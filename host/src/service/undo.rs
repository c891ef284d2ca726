//! Takes back what runs of a flow wrote, and settles their conflicts anew.

use std::sync::Arc;

use super::failure::Failure;
use super::flows::{approved, journalled, open, take_soon};
use super::resolved::{Metadata, setup};
use crate::app::App;
use crate::engine::{self, Progress, UndoReport, UndoRequest};

/// Takes back what was written, or only tells what that would be.
///
/// # Errors
/// It is not said what, a CRM cannot be used, another run holds the flow.
pub async fn undo(
    app: &App,
    tenant: &str,
    name: &str,
    request: UndoRequest,
    progress: Arc<dyn Progress>,
) -> Result<UndoReport, Failure> {
    if request.runs.is_none() && request.record.is_none() {
        return Err(Failure::input(
            "undo.what",
            "it is not said what is to be taken back",
            format!("name a run with --run, or a record with --record; see: crmsync log {name}"),
        ));
    }
    taken_back(app, tenant, name, request, Wanted::Undo, progress).await
}

/// Settles anew, by the winner of today, conflicts that were decided by another one, or only tells what that would be.
///
/// # Errors
/// Today's settings are not approved, a CRM cannot be used, another run holds the flow.
pub async fn settle(
    app: &App,
    tenant: &str,
    name: &str,
    request: UndoRequest,
    progress: Arc<dyn Progress>,
) -> Result<UndoReport, Failure> {
    taken_back(app, tenant, name, request, Wanted::Settle, progress).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Undo,
    Settle,
}

async fn taken_back(
    app: &App,
    tenant: &str,
    name: &str,
    request: UndoRequest,
    wanted: Wanted,
    progress: Arc<dyn Progress>,
) -> Result<UndoReport, Failure> {
    let (flow, resolved) = open(app, tenant, name, Metadata::Recent).await?;
    if wanted == Wanted::Settle && request.go {
        // S6: the winner is one of the settings that people approve before anything is written by it.
        approved(app, &flow, &resolved)?;
    }
    let lease = take_soon(app, tenant, name).await?;
    let cause = match (wanted, request.go) {
        (Wanted::Undo, true) => "undo",
        (Wanted::Undo, false) => "undo preview",
        (Wanted::Settle, true) => "settle",
        (Wanted::Settle, false) => "settle preview",
    };
    let outcome = journalled(app, &lease, cause, async |run| {
        let (setup, _) = setup(app, tenant, &flow, resolved, lease.clone(), run, progress).await?;
        Ok(match wanted {
            Wanted::Undo => engine::undo(&setup, &request).await?,
            Wanted::Settle => engine::settle(&setup, &request).await?,
        })
    })
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}
