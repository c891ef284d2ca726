//! A sandboxed connector behind the engine's trait.

use std::sync::Arc;

use crmsync_core::Fault;
use crmsync_core::decide::Operation;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OnceCell};

use super::convert;
use crate::egress::Admissions;
use crate::engine::{
    CallError, CheckReport, Cursor, Fetched, FieldInfo, Found, ModuleInfo, Page, PushReport, PushRequest, Remote, User,
};
use crate::runtime::{Answered, Connector, Error, types};

/// Option of a push: when its rows were last read, in the CRM's clock.
const READ_AT: &str = "read-at";
/// Option of a push: the fields of our reads, so that a receipt's version can be that of the next read.
const VERSION_FIELDS: &str = "version-fields";

/// Option of a push: what becomes of deleted rows.
const DELETE: &str = "delete";
/// They do not go to the recycle bin.
const FOR_GOOD: &str = "for-good";

/// One connection's connector. Calls wait for each other: one instance speaks at a time.
pub struct PluginCrm {
    connector: Mutex<Connector>,
    /// The CRM's clock minus ours, in milliseconds, measured before the first write that depends on it.
    clock_ahead_ms: OnceCell<i64>,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl PluginCrm {
    pub(super) fn new(connector: Connector, clock: Arc<dyn Fn() -> i64 + Send + Sync>) -> PluginCrm {
        PluginCrm { connector: Mutex::new(connector), clock_ahead_ms: OnceCell::new(), clock }
    }

    fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// A moment of our clock in the CRM's. A CRM that does not tell its clock is taken to be right.
    async fn in_crm_time(&self, at_ms: i64) -> Result<i64, CallError> {
        let ahead_ms = self.clock_ahead_ms.get_or_try_init(async || {
            let report = self.check().await?;
            Ok(report.clock_ahead_ms.unwrap_or(0))
        });
        Ok(at_ms + ahead_ms.await?)
    }
}

/// A plugin's three outcomes as the engine's two: what the CRM said steers it, what the plugin broke is told.
fn answered<T>(outcome: Result<Answered<T>, Error>) -> Result<T, CallError> {
    match outcome {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(fault)) => Err(CallError::Fault(convert::fault(&fault))),
        Err(error) => Err(broken(error)),
    }
}

/// A host without room is not the plugin's doing, nor that of the records it was given.
pub(super) fn broken(error: Error) -> CallError {
    match error {
        Error::Busy { .. } | Error::Sandbox { .. } => CallError::Fault(Fault::Transient(error.to_string())),
        error => CallError::Plugin(error.to_string()),
    }
}

impl Remote for PluginCrm {
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, CallError>> {
        Box::pin(async {
            let before_ms = self.now_ms();
            let report = answered(self.connector.lock().await.check(before_ms).await)?;
            Ok(convert::check_report(report, (before_ms + self.now_ms()) / 2))
        })
    }

    fn modules(&self) -> BoxFuture<'_, Result<Vec<ModuleInfo>, CallError>> {
        Box::pin(async {
            let modules = answered(self.connector.lock().await.modules(self.now_ms()).await)?;
            Ok(modules.into_iter().map(convert::module).collect())
        })
    }

    fn describe<'a>(&'a self, module: &'a str) -> BoxFuture<'a, Result<Vec<FieldInfo>, CallError>> {
        Box::pin(async move {
            let fields = answered(self.connector.lock().await.describe(self.now_ms(), module).await)?;
            Ok(fields.into_iter().map(convert::field).collect())
        })
    }

    fn users(&self) -> BoxFuture<'_, Result<Vec<User>, CallError>> {
        Box::pin(async {
            let users = answered(self.connector.lock().await.users(self.now_ms()).await)?;
            Ok(users.into_iter().map(convert::user).collect())
        })
    }

    fn count<'a>(&'a self, module: &'a str) -> BoxFuture<'a, Result<Option<u64>, CallError>> {
        Box::pin(async move { answered(self.connector.lock().await.count(self.now_ms(), module).await) })
    }

    fn pull<'a>(
        &'a self,
        module: &'a str,
        fields: &'a [String],
        after: Option<Cursor>,
    ) -> BoxFuture<'a, Result<Page, CallError>> {
        Box::pin(async move {
            let after = after.map(|cursor| types::Cursor { format: cursor.format, data: cursor.data });
            let mut connector = self.connector.lock().await;
            let page = answered(connector.pull(self.now_ms(), module, fields, after.as_ref()).await)?;
            Ok(Page {
                live: convert::records(&page.live, fields)?,
                removed: page.removed.into_iter().map(|gone| (gone.id, convert::removal_reason(gone.reason))).collect(),
                next: Cursor { format: page.next.format, data: page.next.data },
                more: page.more,
                complete: page.complete,
                population: page.population,
            })
        })
    }

    fn fetch<'a>(
        &'a self,
        module: &'a str,
        ids: &'a [String],
        fields: &'a [String],
    ) -> BoxFuture<'a, Result<Fetched, CallError>> {
        Box::pin(async move {
            let fetched = answered(self.connector.lock().await.fetch(self.now_ms(), module, ids, fields).await)?;
            Ok(Fetched {
                live: convert::records(&fetched.live, fields)?,
                absent: fetched.absent,
                removed: fetched
                    .removed
                    .into_iter()
                    .map(|gone| (gone.id, convert::removal_reason(gone.reason)))
                    .collect(),
            })
        })
    }

    fn find<'a>(
        &'a self,
        module: &'a str,
        key_field: &'a str,
        keys: &'a [String],
        fields: &'a [String],
    ) -> BoxFuture<'a, Result<Found, CallError>> {
        Box::pin(async move {
            let mut connector = self.connector.lock().await;
            let found = answered(connector.find(self.now_ms(), module, key_field, keys, fields).await)?;
            let records = convert::records(&found.live, fields)?;
            let asked = found.asked.iter().map(|&index| index as usize);
            Ok(Found { live: asked.zip(records).collect(), consistent: found.consistent })
        })
    }

    fn push<'a>(
        &'a self,
        request: PushRequest,
        admissions: Arc<dyn Admissions>,
    ) -> BoxFuture<'a, Result<PushReport, CallError>> {
        Box::pin(async move {
            let fields: Vec<&str> = request.fields.iter().map(|(name, _)| name.as_str()).collect();
            let mut options = vec![(VERSION_FIELDS.to_owned(), fields.join(","))];
            if let Some(at_ms) = request.read_at_ms {
                options.push((READ_AT.to_owned(), self.in_crm_time(at_ms).await?.to_string()));
            }
            if request.for_good {
                options.push((DELETE.to_owned(), FOR_GOOD.to_owned()));
            }
            let rows = request.rows.iter().map(|row| types::PushRow {
                op: match row.operation {
                    Operation::Create => types::Operation::Create,
                    Operation::Update | Operation::Mark | Operation::Unmark => types::Operation::Update,
                    Operation::Delete => types::Operation::Delete,
                },
                id: row.id.clone(),
                version: row.version.clone(),
                key: row.key.clone(),
            });
            let push = types::PushRequest {
                module: request.module.clone(),
                columns: convert::columns(&request.fields),
                rows: rows.collect(),
                values: convert::batch(request.fields.len(), request.rows.iter().map(|row| &row.values)),
                automations: request.automations,
                options,
            };
            let mut connector = self.connector.lock().await;
            let report = answered(connector.push(self.now_ms(), admissions, push).await)?;
            convert::push_report(&report, &request.fields)
        })
    }
}
