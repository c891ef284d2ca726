//! Metrics for Prometheus, in its text format. Counters begin with the process.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::app::LOCAL_TENANT;
use crate::engine::RunReport;
use crate::service::Failure;
use crate::service::serve::Service;
use crate::service::tally::{BOUNDS_MS, Counts};

pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    let text = text(&service).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn text(service: &Service) -> Result<String, Failure> {
    let mut page = Page::default();
    let counts = service.tally.counts();
    let runs = |result: &'static str, count: fn(&Counts) -> u64| {
        counts
            .iter()
            .map(move |(flow, counts)| (vec![("flow", flow.clone()), ("result", result.to_owned())], count(counts)))
    };
    let all: Vec<_> = runs("done", |counts| counts.done).chain(runs("failed", |counts| counts.failed)).collect();
    page.family("crmsync_runs_total", "counter", "Runs that ended, by result.", all);
    let alarms = counts.iter().map(|(flow, counts)| (vec![("flow", flow.clone())], counts.alarms)).collect();
    page.family("crmsync_alarms_total", "counter", "Alarms that runs raised.", alarms);
    let mut written = Vec::new();
    for (flow, counts) in &counts {
        for (operation, sides) in [("create", counts.created), ("update", counts.updated)] {
            for (side, count) in sides.into_iter().enumerate() {
                let labels = [
                    ("flow", flow.clone()),
                    ("connection", counts.between[side].clone()),
                    ("operation", operation.to_owned()),
                ];
                written.push((labels.to_vec(), count));
            }
        }
    }
    page.family("crmsync_records_written_total", "counter", "Records written, by connection and operation.", written);
    page.durations(&counts);
    let (mut due, mut linked, mut waiting, mut attention, mut states) = (vec![], vec![], vec![], vec![], vec![]);
    for (watched, standing) in service.watched().await? {
        let flow = || vec![("flow", watched.flow.name.clone())];
        if let Some(at_ms) = standing.next_at_ms {
            due.push((flow(), at_ms.max(0).unsigned_abs() / 1_000));
        }
        states.push(([flow(), vec![("state", standing.state.as_str().to_owned())]].concat(), 1));
        let done = watched.stored.runs.iter().find_map(|run| serde_json::from_str::<RunReport>(&run.summary).ok());
        if let Some(report) = done {
            linked.push((flow(), report.pairs.iter().map(|pair| pair.linked).sum()));
            waiting.push((flow(), report.pairs.iter().map(|pair| pair.waiting).sum()));
        }
        for count in service.app.store().outcome_counts(LOCAL_TENANT, &watched.flow.name).await? {
            if matches!(count.kind.as_str(), "needs-attention" | "failed") {
                let labels =
                    [flow(), vec![("module", count.left_module), ("reason", count.reason), ("field", count.field)]];
                attention.push((labels.concat(), count.count));
            }
        }
    }
    let mut calls = Vec::new();
    for (connection, counters) in service.app.call_counts().await {
        let name = connection.split_once('/').map_or(connection.as_str(), |(_, name)| name);
        for (kind, count) in [("read", counters.read), ("write", counters.write), ("login", counters.auth)] {
            calls.push((vec![("connection", name.to_owned()), ("kind", kind.to_owned())], count));
        }
    }
    page.family("crmsync_calls_total", "counter", "Calls to the CRMs, by connection and kind.", calls);
    let quotas = crate::service::quotas(&service.app, LOCAL_TENANT).await?;
    let of_day = |value: fn(&crate::service::Quota) -> Option<u64>| {
        let sample = |quota: &crate::service::Quota| {
            let labels = vec![("connection", quota.connection.clone()), ("unit", quota.unit.clone())];
            Some((labels, value(quota)?))
        };
        quotas.iter().filter_map(sample).collect::<Vec<Sample>>()
    };
    page.family("crmsync_budget_used", "gauge", "Units used within 24 hours.", of_day(|quota| Some(quota.used)));
    page.family("crmsync_budget_left", "gauge", "Units left of the day.", of_day(|quota| quota.left));
    let scheduled = of_day(|quota| quota.left_for_scheduled);
    page.family("crmsync_budget_left_for_scheduled", "gauge", "Units left for scheduled runs.", scheduled);
    page.family("crmsync_flow_state", "gauge", "1 for the state that a flow is in.", states);
    page.family("crmsync_next_run_timestamp_seconds", "gauge", "When a flow runs next by itself.", due);
    page.family("crmsync_records_linked", "gauge", "Links after the last run.", linked);
    page.family("crmsync_writes_waiting", "gauge", "Writes that wait after the last run.", waiting);
    page.family("crmsync_needs_attention", "gauge", "Records that need a person, by reason.", attention);
    Ok(page.text)
}

/// Labels with a value.
type Sample = (Vec<(&'static str, String)>, u64);

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: Vec<Sample>) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    fn durations(&mut self, counts: &std::collections::BTreeMap<String, Counts>) {
        const NAME: &str = "crmsync_run_duration_seconds";
        self.head(NAME, "histogram", "How long runs took.");
        for (flow, counts) in counts {
            let flow = || ("flow", flow.clone());
            let all = counts.durations[BOUNDS_MS.len()];
            for (bound_ms, count) in BOUNDS_MS.iter().zip(counts.durations) {
                let bound = format!("{}", *bound_ms as f64 / 1_000.0);
                self.sample(&format!("{NAME}_bucket"), &[flow(), ("le", bound)], count);
            }
            self.sample(&format!("{NAME}_bucket"), &[flow(), ("le", "+Inf".to_owned())], all);
            self.sample(&format!("{NAME}_sum"), &[flow()], counts.took_ms as f64 / 1_000.0);
            self.sample(&format!("{NAME}_count"), &[flow()], all);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _written = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&'static str, String)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
        let _written = writeln!(self.text, "{name}{{{}}} {value}", labels.join(","));
    }
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tally::Tally;

    #[test]
    fn durations_are_a_histogram() {
        let tally = Tally::default();
        for took_ms in [100, 2_000, 7_200_000] {
            tally.note("a\"b", None, took_ms);
        }
        let mut page = Page::default();
        page.durations(&tally.counts());
        for line in [
            "crmsync_run_duration_seconds_bucket{flow=\"a\\\"b\",le=\"0.25\"} 1",
            "crmsync_run_duration_seconds_bucket{flow=\"a\\\"b\",le=\"5\"} 2",
            "crmsync_run_duration_seconds_bucket{flow=\"a\\\"b\",le=\"3600\"} 2",
            "crmsync_run_duration_seconds_bucket{flow=\"a\\\"b\",le=\"+Inf\"} 3",
            "crmsync_run_duration_seconds_sum{flow=\"a\\\"b\"} 7202.1",
            "crmsync_run_duration_seconds_count{flow=\"a\\\"b\"} 3",
        ] {
            assert!(page.text.lines().any(|found| found == line), "{line}\n{}", page.text);
        }
    }
}
