//! Takes back what runs of a flow wrote.

use std::sync::Arc;

use super::failure::Failure;
use super::flows::{journalled, open, take_soon};
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
    let (flow, resolved) = open(app, tenant, name, Metadata::Recent).await?;
    let lease = take_soon(app, tenant, name).await?;
    let cause = if request.go { "undo" } else { "undo preview" };
    let outcome = journalled(app, &lease, cause, async |run| {
        let (setup, _) = setup(app, tenant, &flow, resolved, lease.clone(), run, progress).await?;
        Ok(engine::undo(&setup, &request).await?)
    })
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}
