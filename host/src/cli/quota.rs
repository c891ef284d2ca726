//! `crmsync quota`: what each connection may still call.

use super::args::QuotaArguments;
use super::output::{Output, moment};
use super::table::Table;
use crate::app::{App, LOCAL_TENANT};
use crate::service::{self, BudgetChange, Failure, Quota};

pub(super) async fn run(app: &App, arguments: QuotaArguments, output: Output) -> Result<(), Failure> {
    if let Some(name) = &arguments.connection {
        let change = BudgetChange {
            edition: arguments.edition,
            per_minute: arguments.per_minute,
            per_day: arguments.per_day,
            reserve_percent: arguments.reserve_percent,
            reset: arguments.reset,
        };
        service::set_budget(app, LOCAL_TENANT, name, change).await?;
    }
    let mut quotas = service::quotas(app, LOCAL_TENANT).await?;
    quotas.retain(|quota| arguments.connection.as_ref().is_none_or(|name| *name == quota.connection));
    output.answer(&quotas, |quotas| text(quotas));
    Ok(())
}

fn text(quotas: &[Quota]) -> String {
    let mut table =
        Table::new(&["CONNECTION", "EDITION", "USED", "OF A DAY", "LEFT", "FOR SCHEDULED RUNS", "A MINUTE"])
            .numbers(2)
            .numbers(3)
            .numbers(4)
            .numbers(5)
            .numbers(6);
    let or_free = |number: Option<u64>| number.map_or_else(|| "no limit".to_owned(), |number| number.to_string());
    for quota in quotas {
        let edition = if quota.edition.is_empty() { "not known" } else { &quota.edition };
        let used = format!("{} {}", quota.used, quota.unit);
        let for_scheduled = match quota.scheduled_go_on_at_ms {
            Some(at_ms) => format!("none before {}", moment(at_ms)),
            None => or_free(quota.left_for_scheduled),
        };
        table.row([
            &quota.connection,
            edition,
            &used,
            &or_free(quota.per_day),
            &or_free(quota.left),
            &for_scheduled,
            &or_free(quota.per_minute.map(u64::from)),
        ]);
    }
    let mut text = table.text(None);
    for quota in quotas {
        for kind in &quota.by_kind {
            let who = if kind.lane == "background" { "scheduled" } else { "people" };
            text.push_str(&format!("{}: {} {} calls, {who}\n", quota.connection, kind.calls, kind.kind));
        }
    }
    text
}
