//! Typed calls of a transform: a fresh instance for each call, with fuel for the size of its batch and no power but the log.

use std::sync::Arc;

use crmsync_cells::{Batch, Kind};
use tokio::sync::Semaphore;
use wasmtime::Store;

use super::accept::cut;
use super::bindings::transform as bindings;
use super::bindings::transform::exports::crmsync::plugin::transform as wit;
use super::error::{Error, Site};
use super::lent::LentToTransform;
use super::limits::{
    BATCH_COLUMNS_MAX, BATCH_ROWS_MAX, BATCH_TEXT_BYTES_MAX, ComponentLimits, FUEL_PORTION, Fuel, HOST_CALL_BYTES_MAX,
    NAMES_MAX, STEPS_MAX,
};
use super::manifest::Manifest;
use super::types::{Applied, Column, Complaint, FunctionInfo, Inversion, Step};

/// A loaded transform plugin. Cheap to clone; calls may run side by side.
#[derive(Clone)]
pub struct TransformPlugin {
    loaded: Arc<Loaded>,
}

struct Loaded {
    name: Arc<str>,
    manifest: Arc<Manifest>,
    limits: ComponentLimits,
    fuel: Fuel,
    pre: bindings::TransformPluginPre<LentToTransform>,
    instances: Arc<Semaphore>,
}

impl TransformPlugin {
    pub(super) fn new(
        manifest: Arc<Manifest>,
        limits: ComponentLimits,
        pre: bindings::TransformPluginPre<LentToTransform>,
        instances: Arc<Semaphore>,
    ) -> TransformPlugin {
        let (name, fuel) = (Arc::from(manifest.id.as_str()), Fuel::of(manifest.class));
        TransformPlugin { loaded: Arc::new(Loaded { name, manifest, limits, fuel, pre, instances }) }
    }

    /// What the plugin says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.loaded.manifest
    }

    /// Lists the functions.
    ///
    /// # Errors
    /// Every breach of a running guest; see [`Error`]. The same holds for all calls.
    pub async fn functions(&self) -> Result<Vec<FunctionInfo>, Error> {
        let functions = self
            .run("functions", self.loaded.fuel.total(0, 0), async |guest, store| guest.call_functions(store).await)
            .await?;
        let site = self.site("functions");
        let functions = site.each("functions", NAMES_MAX, functions, |function| site.function(function))?;
        site.all_different("functions", functions.iter().map(|function| function.name.as_str()))?;
        Ok(functions)
    }

    /// Checks one use of a function; the inner error says what is wrong with its settings or the number of its columns.
    ///
    /// # Errors
    /// See [`TransformPlugin::functions`].
    pub async fn init(&self, step: &Step) -> Result<Result<(), String>, Error> {
        let fuel = self.loaded.fuel.total(1, step.settings.len());
        let step = wit::Step::from(step);
        let checked = self.run("init", fuel, async |guest, store| guest.call_init(store, &step).await).await?;
        Ok(checked.map_err(cut))
    }

    /// Applies the steps to all rows; the inner error is the plugin's own refusal of the whole batch.
    ///
    /// # Errors
    /// See [`TransformPlugin::functions`]; also when the question itself is malformed.
    pub async fn apply(
        &self,
        steps: &[Step],
        columns: &[Column],
        rows: Batch,
        facts: &[(String, String)],
    ) -> Result<Result<Applied, String>, Error> {
        let site = self.site("apply");
        let outputs = site.check_question(steps, columns, &rows)?;
        let (row_count, fuel) = (rows.rows, self.loaded.fuel.total(rows.rows as usize, rows.text.len()));
        let wit_steps: Vec<wit::Step> = steps.iter().map(wit::Step::from).collect();
        let wit_columns: Vec<_> = columns.iter().cloned().map(Into::into).collect();
        let rows = rows.into();
        let applied = self
            .run("apply", fuel, async |guest, store| {
                guest.call_apply(store, &wit_steps, &wit_columns, &rows, facts).await
            })
            .await?;
        match applied {
            Ok(applied) => site.applied(applied, steps, row_count, outputs).map(Ok),
            Err(reason) => Ok(Err(cut(reason))),
        }
    }

    async fn run<T>(
        &self,
        export: &'static str,
        fuel: u64,
        run: impl AsyncFnOnce(&wit::Guest, &mut Store<LentToTransform>) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        let (loaded, site) = (&self.loaded, self.site(export));
        let sandbox = |reason: String| Error::Sandbox { reason };
        let _slot = loaded.instances.acquire().await.map_err(|closed| sandbox(closed.to_string()))?;
        let mut store = Store::new(loaded.pre.engine(), LentToTransform::new(Arc::clone(&loaded.name), &loaded.limits));
        store.limiter(|lent| &mut lent.ceiling);
        store.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
        store.set_fuel(fuel).map_err(|error| sandbox(format!("{error:#}")))?;
        store.fuel_async_yield_interval(Some(FUEL_PORTION)).map_err(|error| sandbox(format!("{error:#}")))?;
        let stopped = |error: wasmtime::Error| site.stopped(&error, fuel);
        let guest = loaded.pre.instantiate_async(&mut store).await.map_err(stopped)?;
        run(guest.crmsync_plugin_transform(), &mut store).await.map_err(stopped)
    }

    fn site(&self, export: &'static str) -> Site<'_> {
        Site { plugin: &self.loaded.name, call: export }
    }
}

impl Site<'_> {
    /// Checks what the host asks of a transform, and gives the number of columns of the answer.
    fn check_question(self, steps: &[Step], columns: &[Column], rows: &Batch) -> Result<usize, Error> {
        let sizes = [
            ("steps", steps.len(), STEPS_MAX),
            ("columns of a batch", columns.len(), BATCH_COLUMNS_MAX),
            ("rows of a batch", rows.rows as usize, BATCH_ROWS_MAX),
            ("bytes of a batch's text", rows.text.len(), BATCH_TEXT_BYTES_MAX),
        ];
        if let Some((what, found, limit)) = sizes.into_iter().find(|(_, found, limit)| found > limit) {
            return Err(self.too_large(what, found, limit));
        }
        if rows.check(columns.len()).is_err() {
            return Err(self.bad_request("the rows to transform do not fit their columns"));
        }
        if steps.iter().flat_map(|step| &step.inputs).any(|&input| input as usize >= columns.len()) {
            return Err(self.bad_request("a step reads a column that the batch does not have"));
        }
        let mut outputs: Vec<u32> = steps.iter().flat_map(|step| &step.outputs).copied().collect();
        outputs.sort_unstable();
        if outputs.len() > BATCH_COLUMNS_MAX || outputs.iter().zip(0..).any(|(&output, index)| output != index) {
            return Err(self.bad_request("the steps do not fill each column of the answer exactly once"));
        }
        Ok(outputs.len())
    }

    fn applied(self, applied: wit::Applied, steps: &[Step], rows: u32, outputs: usize) -> Result<Applied, Error> {
        let batch = self.bare_batch("rows", applied.rows, outputs)?;
        if batch.rows != rows {
            return Err(self.malformed(format!("{} rows came back for {rows}", batch.rows)));
        }
        let complaint = |complaint: wit::Complaint| {
            let Some(step) = steps.get(complaint.step as usize).filter(|_| complaint.row < rows) else {
                return Err(self.malformed("a complaint is about a row or step that there is not"));
            };
            let cell = |output: &u32| batch.kinds[complaint.row as usize * outputs + *output as usize];
            if step.outputs.iter().any(|output| cell(output) != Kind::Absent.code()) {
                // Otherwise a value could be written of which the plugin itself says that it is wrong.
                return Err(self.malformed("a cell has a value although there is a complaint about it"));
            }
            Ok(Complaint { row: complaint.row, step: complaint.step, reason: self.id("reason", complaint.reason)? })
        };
        let complaints_max = rows as usize * steps.len();
        let complaints = self.each("complaints", complaints_max, applied.complaints, complaint)?;
        Ok(Applied { rows: batch, complaints })
    }

    fn function(self, function: wit::FunctionInfo) -> Result<FunctionInfo, Error> {
        let range = |min: u8, max: u8| {
            if min <= max {
                Ok((min, max))
            } else {
                Err(self.malformed("a function reads or gives least more than most"))
            }
        };
        Ok(FunctionInfo {
            name: self.id("function name", function.name)?,
            summary: cut(function.summary),
            inputs: range(function.inputs_min, function.inputs_max)?,
            outputs: range(function.outputs_min, function.outputs_max)?,
            inversion: match function.inversion.as_str() {
                "no" => Inversion::No,
                "exact" => Inversion::Exact,
                "stable" => Inversion::Stable,
                _ => return Err(self.malformed("`inversion` is not no, exact or stable")),
            },
            inverse: self.name("inverse", function.inverse)?,
            settings_schema: self.schema(function.settings_schema)?,
        })
    }

    fn schema(self, schema: String) -> Result<String, Error> {
        let is_json = schema.is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(&schema).is_ok();
        if is_json { Ok(schema) } else { Err(self.malformed("`settings-schema` is not JSON")) }
    }
}

impl From<&Step> for wit::Step {
    fn from(step: &Step) -> wit::Step {
        let Step { function, settings, inputs, outputs } = step.clone();
        wit::Step { function, settings, inputs, outputs }
    }
}
