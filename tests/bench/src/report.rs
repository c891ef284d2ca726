//! The result, as a document and as text.

use std::fmt::Write as _;

use serde::Serialize;

use super::measure::Comparison;
use super::parsing::Parsing;
use super::reading::Reading;
use super::starting::Starting;
use super::transforming::Transforming;

/// Everything that was measured. Costs are microseconds: for each record, for each instance.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// No full read took more calls than it may.
    pub(super) ok: bool,
    pub(super) records: usize,
    pub(super) repetitions: usize,
    pub(super) reading: Sides<Reading>,
    pub(super) transforming: Transforming,
    pub(super) starting: Starting,
    pub(super) parsing: Sides<Parsing>,
}

/// The same for both CRMs.
#[derive(Debug, Serialize)]
pub(super) struct Sides<T> {
    pub(super) zoho: T,
    pub(super) vtiger: T,
}

impl Report {
    /// The result for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} contacts, medians of {} turns, µs a record\n\n{:<34}{:>9}{:>9}{:>7}{:>12}{:>9}{:>7}\n",
            self.records, self.repetitions, "", "wall", "native", "ratio", "processor", "native", "ratio"
        );
        let Sides { zoho, vtiger } = &self.reading;
        let transforming = &self.transforming;
        for (name, cost) in [
            ("read Zoho".to_owned(), &zoho.cost),
            ("read Vtiger".to_owned(), &vtiger.cost),
            (format!("transform, {} functions", transforming.functions), &transforming.batch),
            ("parse a page of Zoho".to_owned(), &self.parsing.zoho.cost),
            ("parse a page of Vtiger".to_owned(), &self.parsing.vtiger.cost),
        ] {
            line(&mut text, &name, cost);
        }
        // Writing to a string cannot fail; neither can the lines below.
        let _ = writeln!(
            text,
            "\ntransform from the engine's values to the engine's values: {:.2} µs a record",
            transforming.engine.cpu_us
        );
        let starting = &self.starting;
        let _ = writeln!(
            text,
            "start an instance: transform {:.1} µs with an empty batch, Zoho {:.1} µs, Vtiger {:.1} µs",
            starting.transform.cpu_us, starting.zoho.start_us, starting.vtiger.start_us
        );
        for (name, reading) in [("Zoho", zoho), ("Vtiger", vtiger)] {
            let calls = &reading.calls;
            let _ = writeln!(
                text,
                "calls to read all of {name}: {} lists ({:.1} for 1,000 records; at most {}), {} in all",
                calls.list, calls.list_per_1000, calls.list_max, calls.all
            );
        }
        text.push_str(if self.ok {
            "Reads take as few calls as they may."
        } else {
            "A READ TAKES MORE CALLS THAN IT MAY."
        });
        text
    }
}

fn line(text: &mut String, name: &str, cost: &Comparison) {
    let Comparison { crmsync, native, wall_ratio, cpu_ratio } = cost;
    let _ = writeln!(
        text,
        "{name:<34}{:>9.2}{:>9.2}{wall_ratio:>7.2}{:>12.2}{:>9.2}{cpu_ratio:>7.2}",
        crmsync.wall_us, native.wall_us, crmsync.cpu_us, native.cpu_us
    );
}
