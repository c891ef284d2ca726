//! What a plugin of transforms implements.

pub use crate::bindings::transform::exports::crmsync::plugin::transform::{Applied, Complaint, FunctionInfo, Step};

use crate::bindings::connector::crmsync::plugin::batches::{Batch, Column};
use crate::bindings::transform::exports::crmsync::plugin::transform::Guest;
use crate::facts::Facts;
use crate::rows::Rows;

/// Reshapes values. Pure: no network, no clock, no memory from one call to the next.
pub trait Transform {
    /// The functions that a mapping can name.
    fn functions() -> Vec<FunctionInfo>;

    /// Checks one use of a function. The error tells a person what is wrong with its settings or its number of columns.
    fn init(step: &Step) -> Result<(), String>;

    /// Applies the steps to all rows. A cell that cannot be transformed stays absent and gets a [`Complaint`]; the error is for
    /// steps that [`Transform::init`] would have refused.
    fn apply(steps: &[Step], rows: &Rows, facts: &Facts) -> Result<Applied, String>;
}

impl<T: Transform> Guest for T {
    fn functions() -> Vec<FunctionInfo> {
        <T as Transform>::functions()
    }

    fn init(step: Step) -> Result<(), String> {
        <T as Transform>::init(&step)
    }

    fn apply(
        steps: Vec<Step>,
        columns: Vec<Column>,
        rows: Batch,
        facts: Vec<(String, String)>,
    ) -> Result<Applied, String> {
        let rows = Rows::new(columns, rows).map_err(|malformed| format!("the batch is malformed: {malformed}"))?;
        <T as Transform>::apply(&steps, &rows, &Facts::new(facts))
    }
}

/// Makes a type that implements [`Transform`] the component's exports. Once in a crate, with the name of the type.
#[macro_export]
macro_rules! export_transform {
    ($transform:ident) => {
        // The exported symbols have names that only Wasm knows; a native build is for tests.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
    $crate::bindings::transform::export_transform_world!($transform with_types_in $crate::bindings::transform);
        };
    };
}
