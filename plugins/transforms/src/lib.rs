//! The transforms that every installation has.
//!
//! Rules that hold for all of them: absent stays absent and empty stays empty, so that a field that was not read is never written;
//! text that did not parse as its column's kind is not touched (complaint `did-not-parse`, and the cell is left out); a value that a
//! function has nothing to say about (a date to `trim`) passes through unchanged.
//!
//! [`function`] is the catalogue and what one step does to one row; the other files are the functions, each a pure function of text.

mod function;
mod name;
mod parts;
mod phone;
mod table;
mod text;

use crmsync_plugin::facts::Facts;
use crmsync_plugin::rows::{Rows, RowsBuilder};
use crmsync_plugin::{Applied, Complaint, FunctionInfo, Step, Transform};

use function::{Function, Made};

/// The plugin.
pub struct Transforms;

impl Transform for Transforms {
    fn functions() -> Vec<FunctionInfo> {
        function::catalogue()
    }

    fn init(step: &Step) -> Result<(), String> {
        Function::of_step(step).map(|_| ())
    }

    fn apply(steps: &[Step], rows: &Rows, _facts: &Facts) -> Result<Applied, String> {
        let functions = steps.iter().map(Function::of_step).collect::<Result<Vec<_>, _>>()?;
        let width = output_count(steps, rows.columns().len())?;
        let mut made = RowsBuilder::new(width, rows.len());
        let mut complaints = Vec::new();
        // Kept for all rows, so that a row costs no allocation but that of new text.
        let (mut inputs, mut cells, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        for (row_index, row) in rows.iter().enumerate() {
            outputs.clear();
            outputs.resize(width, Made::ABSENT);
            for (step_index, (step, function)) in steps.iter().zip(&functions).enumerate() {
                inputs.clear();
                inputs.extend(step.inputs.iter().map(|&column| row.cell(column as usize)));
                cells.clear();
                match function.run(&inputs, step.outputs.len(), &mut cells) {
                    Ok(()) => {
                        for (&output, cell) in step.outputs.iter().zip(cells.drain(..)) {
                            outputs[output as usize] = cell;
                        }
                    }
                    Err(reason) => complaints.push(Complaint {
                        row: row_index as u32,
                        step: step_index as u32,
                        reason: reason.to_owned(),
                    }),
                }
            }
            made.row(outputs.iter().map(Made::cell));
        }
        Ok(Applied { rows: made.finish(), complaints })
    }
}

crmsync_plugin::export_transform!(Transforms);

/// How many columns the steps fill, after checking that they read columns that are there and that no two fill the same one.
fn output_count(steps: &[Step], columns: usize) -> Result<usize, String> {
    let total: usize = steps.iter().map(|step| step.outputs.len()).sum();
    let mut filled = vec![false; total];
    for (index, step) in steps.iter().enumerate() {
        if let Some(input) = step.inputs.iter().find(|&&input| input as usize >= columns) {
            return Err(format!("step {index} reads column {input}, but the batch has {columns}"));
        }
        for &output in &step.outputs {
            match filled.get_mut(output as usize) {
                Some(taken) if !*taken => *taken = true,
                Some(_) => return Err(format!("step {index} fills output {output}, which another step fills")),
                None => return Err(format!("step {index} fills output {output}, but the steps have {total} outputs")),
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crmsync_plugin::{Cell, Kind, rows};

    fn step(function: &str, settings: &str, inputs: &[u32], outputs: &[u32]) -> Step {
        let (function, settings) = (function.to_owned(), settings.to_owned());
        Step { function, settings, inputs: inputs.to_vec(), outputs: outputs.to_vec() }
    }

    fn apply(steps: &[Step], cells: &[Cell<'_>]) -> Result<(Vec<String>, Vec<String>), String> {
        let mut input = RowsBuilder::new(cells.len(), 1);
        input.row(cells.iter().copied());
        let columns = (0..cells.len()).map(|index| rows::column(format!("c{index}"), Kind::Text)).collect();
        let input = Rows::new(columns, input.finish()).expect("well formed");
        let applied = Transforms::apply(steps, &input, &Facts::default())?;
        let width = steps.iter().map(|step| step.outputs.len()).sum::<usize>();
        let columns = (0..width).map(|index| rows::column(format!("o{index}"), Kind::Text)).collect();
        let output = Rows::new(columns, applied.rows).expect("well formed");
        let shown = output.row(0).cells_from(0).map(|cell| format!("{cell:?}")).collect();
        Ok((shown, applied.complaints.into_iter().map(|complaint| complaint.reason).collect()))
    }

    #[test]
    fn steps_fill_their_own_columns() {
        let steps = [step("trim", "", &[1], &[1]), step("email-lower", "", &[0], &[0])];
        let (cells, complaints) =
            apply(&steps, &[Cell::Text(" A@B.example "), Cell::Text(" x ")]).expect("valid steps");
        assert_eq!(cells, ["Text(\"a@b.example\")", "Text(\"x\")"]);
        assert!(complaints.is_empty());
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        for function in ["trim", "person-name", "phone-digits", "email-lower", "table", "join", "split"] {
            let settings = if function == "table" { r#"{"values":{}}"# } else { "" };
            let settings = if function == "split" { r#"{"separator":"-"}"# } else { settings };
            let steps = [step(function, settings, &[0], &[0])];
            let check = |cell: Cell<'_>, shown: &str, reasons: &[&str]| {
                let (cells, complaints) = apply(&steps, &[cell]).expect("valid step");
                assert_eq!(
                    (cells.as_slice(), complaints.as_slice()),
                    (
                        [shown.to_owned()].as_slice(),
                        &*reasons.iter().map(|reason| (*reason).to_owned()).collect::<Vec<_>>()
                    ),
                    "{function}"
                );
            };
            check(Cell::Absent, "Absent", &[]);
            check(Cell::Empty, "Empty", &[]);
            check(Cell::Raw("31-02"), "Absent", &["did-not-parse"]);
        }
    }

    #[test]
    fn wrong_steps_are_refused() {
        let check = |step: Step, message: &str| {
            let error = Transforms::init(&step).expect_err("a wrong step");
            assert!(error.contains(message), "{error}");
        };
        check(step("shout", "", &[0], &[0]), "no function `shout`");
        check(step("trim", "{\"colapse\":true}", &[0], &[0]), "colapse");
        check(step("trim", "", &[0, 1], &[0]), "reads 1 field, not 2");
        check(step("join", "", &[0], &[0, 1]), "gives 1 field, not 2");
        check(step("split", "", &[0], &[0]), "separator");
        assert!(apply(&[step("trim", "", &[3], &[0])], &[Cell::Empty]).is_err());
        assert!(apply(&[step("trim", "", &[0], &[1])], &[Cell::Empty]).is_err());
        let twice = [step("trim", "", &[0], &[0]), step("trim", "", &[0], &[0])];
        assert!(apply(&twice, &[Cell::Empty]).is_err());
    }

    #[test]
    fn other_kinds_pass_through_spelling_rules() {
        for function in ["trim", "person-name", "email-lower"] {
            let (cells, _) = apply(&[step(function, "", &[0], &[0])], &[Cell::Date(3)]).expect("valid step");
            assert_eq!(cells, ["Date(3)"]);
        }
        let (cells, _) = apply(&[step("phone-digits", "", &[0], &[0])], &[Cell::Integer(5_551)]).expect("valid step");
        assert_eq!(cells, ["Text(\"5551\")"]);
    }

    #[test]
    fn constants_fill_gaps_only() {
        let steps = [step("constant", "{\"value\":\"none given\"}", &[0], &[0])];
        let check = |cell: Cell<'_>, shown: &str| assert_eq!(apply(&steps, &[cell]).expect("valid step").0, [shown]);
        check(Cell::Empty, "Text(\"none given\")");
        check(Cell::Text("ACME"), "Text(\"ACME\")");
        check(Cell::Absent, "Absent");
        let (cells, _) =
            apply(&[step("constant", "{\"value\":\"x\"}", &[], &[0])], &[Cell::Absent]).expect("valid step");
        assert_eq!(cells, ["Text(\"x\")"]);
    }
}
