//! What a trial run wrote, record by record.

use serde::Serialize;

use super::failure::Failure;
use super::flows;
use crate::app::App;
use crate::store::JournalQuery;

/// One record or pair that a trial wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Module, the left one's name.
    pub module: String,
    /// created, updated, or what else became of it.
    pub what: String,
    /// The side that was written: left or right.
    pub side: String,
    /// Left record.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// Fields that were written.
    pub fields: usize,
}

/// Everything that one run wrote, by record.
///
/// # Errors
/// The flow is unknown, or the log cannot be read.
pub async fn tried(app: &App, tenant: &str, name: &str, run: i64) -> Result<Vec<Tried>, Failure> {
    let query = JournalQuery { run: Some(run), most: usize::MAX, ..JournalQuery::default() };
    let mut tried: Vec<Tried> = Vec::new();
    for line in app.store().journal(tenant, name, query).await? {
        if !matches!(line.action.as_str(), "created" | "updated" | "refused" | "unknown" | "parked") {
            continue;
        }
        let fields: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&line.after).unwrap_or_default();
        let known = tried.iter_mut().find(|known| {
            (&known.left_id, &known.right_id, &known.what, &known.side)
                == (&line.left_id, &line.right_id, &line.action, &line.side)
        });
        match known {
            Some(known) => known.fields += fields.len(),
            None => tried.push(Tried {
                module: line.left_module,
                what: line.action,
                side: line.side,
                left_id: line.left_id,
                right_id: line.right_id,
                fields: fields.len(),
            }),
        }
    }
    flows::get(app, tenant, name).await?;
    Ok(tried)
}
