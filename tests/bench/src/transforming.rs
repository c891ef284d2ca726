//! A batch of contacts through the transforms that come with the host: sandboxed, and the same crate as native code.

use crmsync::app::App;
use crmsync::engine::{TransformStep, Transforms as _};
use crmsync::runtime::types::{Column, Step};
use crmsync_cells::{Batch, Builder, Cell, Kind};
use crmsync_core::Value;
use crmsync_plugin::facts::Facts;
use crmsync_plugin::rows::Rows;
use crmsync_plugin::{Batch as PluginBatch, Step as PluginStep, Transform, rows};
use crmsync_sandbox::people;
use crmsync_transforms::Transforms;
use serde::Serialize;

use super::measure::{Comparison, Cost, alone, compare};
use super::{Failure, Options, world};

/// Rows of one batch: a page of records.
const ROWS: usize = 200;
/// Batches in one turn, so that a turn is long for the clock.
const BATCHES: usize = 50;
const PLUGIN: &str = "transforms";
/// Each column and the function that it goes through.
const COLUMNS: [(&str, &str); 6] = [
    ("First_Name", "person-name"),
    ("Last_Name", "person-name"),
    ("Phone", "phone-digits"),
    ("Mobile", "phone-digits"),
    ("Email", "email-lower"),
    ("Secondary_Email", "email-lower"),
];

/// What six functions cost on each record.
#[derive(Debug, Serialize)]
pub(super) struct Transforming {
    pub(super) rows: usize,
    pub(super) functions: usize,
    /// A packed batch in, a packed batch out: an instance, the copies into the sandbox and out of it, the functions, the checks.
    pub(super) batch: Comparison,
    /// The same from the engine's values to the engine's values, packing and unpacking included.
    pub(super) engine: Cost,
}

pub(super) async fn measure(app: &App, options: &Options) -> Result<Transforming, Failure> {
    let plugin = app.transform(PLUGIN).await?;
    let values = contacts();
    let batch = pack(&values);
    let columns = COLUMNS.map(|(name, _)| Column { name: name.to_owned(), kind: Kind::Text });
    let steps: Vec<Step> = (0..).zip(COLUMNS).map(|(column, (_, function))| step(function, column)).collect();
    let native_steps: Vec<PluginStep> = steps.iter().map(native_step).collect();

    let ours = plugin.apply(&steps, &columns, batch.clone(), &[]).await??;
    let theirs = transform_natively(&native_steps, batch.clone())?;
    if (ours.rows.kinds, ours.rows.words, ours.rows.text) != (theirs.kinds, theirs.words, theirs.text) {
        return Err("compare the transforms: the sandboxed ones give other values than the native ones".into());
    }

    let crmsync = async || {
        for _ in 0..BATCHES {
            plugin.apply(&steps, &columns, batch.clone(), &[]).await??;
        }
        Ok(())
    };
    let native = async || {
        for _ in 0..BATCHES {
            std::hint::black_box(transform_natively(&native_steps, batch.clone())?);
        }
        Ok(())
    };
    let packed = compare(options.repetitions, BATCHES * ROWS, crmsync, native).await?;

    let (transforms, _) = app.transforms().await?;
    let fields = COLUMNS.map(|(name, _)| (name.to_owned(), Kind::Text.code()));
    let engine_steps: Vec<TransformStep> = steps.iter().map(engine_step).collect();
    let engine = async || {
        for _ in 0..BATCHES {
            transforms.apply(&engine_steps, &fields, &values).await?;
        }
        Ok(())
    };
    let engine = alone(options.repetitions, BATCHES * ROWS, engine).await?;
    Ok(Transforming { rows: ROWS, functions: COLUMNS.len(), batch: packed, engine })
}

/// The first contacts of the population, untidy as they are.
fn contacts() -> Vec<Vec<Value>> {
    let population = people::generate(world::SEED, ROWS);
    let contacts = population.zoho_contacts();
    let values = |contact: &&people::Shown| {
        let value = |(name, _): (&str, &str)| contact.values.get(name).map_or(Value::Empty, Value::text);
        COLUMNS.into_iter().map(value).collect()
    };
    contacts.iter().map(values).collect()
}

fn pack(rows: &[Vec<Value>]) -> Batch {
    let mut builder = Builder::new(COLUMNS.len(), rows.len());
    for value in rows.iter().flatten() {
        builder.push(match value {
            Value::Text(text) => Cell::Text(text),
            _ => Cell::Empty,
        });
    }
    builder.finish()
}

fn step(function: &str, column: u32) -> Step {
    Step { function: function.to_owned(), settings: String::new(), inputs: vec![column], outputs: vec![column] }
}

fn native_step(step: &Step) -> PluginStep {
    let Step { function, settings, inputs, outputs } = step.clone();
    PluginStep { function, settings, inputs, outputs }
}

fn engine_step(step: &Step) -> TransformStep {
    let wide = |columns: &[u32]| columns.iter().map(|&column| column as usize).collect();
    TransformStep {
        plugin: PLUGIN.to_owned(),
        function: step.function.clone(),
        settings: step.settings.clone(),
        inputs: wide(&step.inputs),
        outputs: wide(&step.outputs),
    }
}

/// The very crate that the sandboxed plugin is built from, called without a sandbox.
fn transform_natively(steps: &[PluginStep], batch: Batch) -> Result<PluginBatch, Failure> {
    let columns = COLUMNS.map(|(name, _)| rows::column(name, Kind::Text)).to_vec();
    let Batch { rows, kinds, words, text } = batch;
    let rows = Rows::new(columns, PluginBatch { rows, kinds, words, text }).map_err(|broken| broken.to_string())?;
    Ok(Transforms::apply(steps, &rows, &Facts::default())?.rows)
}
