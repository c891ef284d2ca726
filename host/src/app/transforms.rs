//! Sandboxed transforms behind the engine's trait.

use std::collections::BTreeMap;

use crmsync_core::{Fault, Value};
use futures_util::future::BoxFuture;

use super::convert;
use super::crm::broken;
use crate::engine::{CallError, TransformStep, Transformed, Transforms};
use crate::runtime::TransformPlugin;
use crate::runtime::types::Step;

/// The transform plugins of a flow.
pub struct PluginTransforms {
    plugins: BTreeMap<String, TransformPlugin>,
}

impl PluginTransforms {
    pub(super) fn new(plugins: BTreeMap<String, TransformPlugin>) -> PluginTransforms {
        PluginTransforms { plugins }
    }

    /// Applies those steps that name one plugin, and puts what they give into their places.
    async fn apply_one(
        &self,
        name: &str,
        steps: &[TransformStep],
        columns: &[(String, u8)],
        rows: &[Vec<Value>],
        made: &mut Transformed,
    ) -> Result<(), CallError> {
        let plugin = self
            .plugins
            .get(name)
            .ok_or_else(|| CallError::Fault(Fault::Unsupported(format!("there is no transform plugin `{name}`"))))?;
        let own: Vec<usize> = (0..steps.len()).filter(|&step| steps[step].plugin == name).collect();
        let mut outputs = 0_u32;
        let plugin_steps: Vec<Step> = own
            .iter()
            .map(|&step| {
                let first = outputs;
                outputs += steps[step].outputs.len() as u32;
                Step {
                    function: steps[step].function.clone(),
                    settings: steps[step].settings.clone(),
                    inputs: steps[step].inputs.iter().map(|&input| input as u32).collect(),
                    outputs: (first..outputs).collect(),
                }
            })
            .collect();
        let batch = convert::batch(columns.len(), rows.iter());
        let applied = plugin.apply(&plugin_steps, &convert::columns(columns), batch, &[]).await;
        let applied = applied.map_err(broken)?.map_err(CallError::Plugin)?;
        let given = convert::value_rows(&applied.rows, outputs as usize)?;
        for (row, given) in made.rows.iter_mut().zip(given) {
            let places = own.iter().flat_map(|&step| &steps[step].outputs);
            for (&place, value) in places.zip(given) {
                row[place] = value;
            }
        }
        let complaints = applied.complaints.into_iter();
        made.complaints.extend(complaints.map(|said| (said.row as usize, own[said.step as usize], said.reason)));
        Ok(())
    }
}

impl Transforms for PluginTransforms {
    fn apply<'a>(
        &'a self,
        steps: &'a [TransformStep],
        columns: &'a [(String, u8)],
        rows: &'a [Vec<Value>],
    ) -> BoxFuture<'a, Result<Transformed, CallError>> {
        Box::pin(async move {
            let width = steps.iter().map(|step| step.outputs.len()).sum();
            let mut made = Transformed { rows: vec![vec![Value::Absent; width]; rows.len()], complaints: vec![] };
            let mut names: Vec<&str> = steps.iter().map(|step| step.plugin.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                self.apply_one(name, steps, columns, rows, &mut made).await?;
            }
            Ok(made)
        })
    }
}
