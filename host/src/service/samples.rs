//! What the fields of a module hold in a few real records.

use serde::Serialize;

use super::connections;
use super::failure::{Failure, call_failed};
use crate::app::App;
use crate::engine::{FieldInfo, Remote};

/// Fields that are asked for in one call: CRMs limit that.
const FIELDS_PER_CALL: usize = 40;
/// Values that are shown of one field.
const VALUES_MAX: usize = 3;
/// Characters that are shown of one value.
const VALUE_CHARS_MAX: usize = 30;

/// One field with values from real records.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// The field.
    #[serde(flatten)]
    pub field: FieldInfo,
    /// A few different values, cut short.
    pub values: Vec<String>,
}

/// The fields of a module, each with a few values of the records that the CRM lists first. Takes one call for some tens of fields.
///
/// # Errors
/// The connection or module is unknown, or the CRM cannot be read.
pub async fn samples(app: &App, tenant: &str, name: &str, module: &str) -> Result<Vec<Sample>, Failure> {
    let fields = connections::fields(app, tenant, name, module).await?;
    let row = connections::get(app, tenant, name).await?;
    let crm = app.crm(tenant, &row).await?;
    let mut samples: Vec<Sample> = fields.into_iter().map(|field| Sample { field, values: Vec::new() }).collect();
    for chunk in samples.chunks_mut(FIELDS_PER_CALL) {
        let names: Vec<String> = chunk.iter().map(|sample| sample.field.name.clone()).collect();
        let page = crm.pull(module, &names, None).await;
        let page = page.map_err(|error| call_failed(name, &format!("read {module}"), &error))?;
        for record in page.live {
            for (sample, value) in chunk.iter_mut().zip(record.values) {
                let shown = cut(&value.display());
                if sample.values.len() < VALUES_MAX && !shown.is_empty() && !sample.values.contains(&shown) {
                    sample.values.push(shown);
                }
            }
        }
    }
    Ok(samples)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
