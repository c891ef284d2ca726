//! `crmsync attention …`, `crmsync link` and `crmsync unlink`.

use super::args::{AttentionCommand, AttentionFilter, LinkOptions, UnlinkOptions};
use super::output::{Output, moment};
use super::table::{Table, neutral};
use crate::app::{App, LOCAL_TENANT};
use crate::service::{self, AnswerWord, Answered, Attention, Failure, PointFilter, PointShown, RecordInNeed, Said};

/// Records that are named before an answer to many of them.
const SAMPLE: usize = 5;

pub(super) async fn run(app: &App, command: AttentionCommand, output: Output) -> Result<(), Failure> {
    match command {
        AttentionCommand::List { flow, filter } => {
            let list = service::list_attention(app, LOCAL_TENANT, flow.as_deref(), &filter.into()).await?;
            output.answer(&list, |list| list_text(list));
        }
        AttentionCommand::Show { flow, record } => {
            let need = service::show_attention(app, LOCAL_TENANT, &flow, &record).await?;
            output.answer(&need, |need| show_text(need, &flow));
        }
        AttentionCommand::Decide { flow, answer, with, filter, yes } => {
            let filter = filter.into();
            ask_before_many(app, &flow, &filter, answer.as_str(), yes).await?;
            let said = Said { word: answer, with };
            let answered = service::decide_attention(app, LOCAL_TENANT, &flow, &filter, &said).await?;
            output.answer(&answered, |answered| answered_text(answered, &flow));
            if answered.done == 0 {
                return Err(Failure::failed("attention.refused", "nothing was answered", ""));
            }
        }
        AttentionCommand::Retry { flow, filter } => {
            let records = service::retry_attention(app, LOCAL_TENANT, &flow, &filter.into()).await?;
            output.answer(&serde_json::json!({ "records": records }), |_| {
                format!("{records} record(s) are decided again in the next run: crmsync flow run {flow}")
            });
        }
    }
    Ok(())
}

pub(super) async fn link(app: &App, options: LinkOptions, output: Output) -> Result<(), Failure> {
    let LinkOptions { flow, left, right, module } = options;
    service::link(app, LOCAL_TENANT, &flow, module.as_deref(), [left.clone(), right.clone()]).await?;
    output.answer(&serde_json::json!({ "linked": [left, right] }), |_| {
        format!(
            "linked {left} and {right}. The next run treats them like matched records of a first sync: crmsync flow run {flow}"
        )
    });
    Ok(())
}

pub(super) async fn unlink(app: &App, options: UnlinkOptions, output: Output) -> Result<(), Failure> {
    let UnlinkOptions { flow, record } = options;
    let [left, right] = service::unlink(app, LOCAL_TENANT, &flow, &record).await?;
    output.answer(&serde_json::json!({ "unlinked": [left, right] }), |_| {
        format!(
            "unlinked {left} and {right}. Both stay as they are and are left alone; to go on with one of them:\n  \
             crmsync link {flow} LEFT RIGHT, or crmsync attention decide {flow} new --record {left}"
        )
    });
    Ok(())
}

impl From<AttentionFilter> for PointFilter {
    fn from(filter: AttentionFilter) -> PointFilter {
        PointFilter {
            reason: filter.reason.unwrap_or_default(),
            module: filter.module.unwrap_or_default(),
            field: filter.field.unwrap_or_default(),
            value: filter.value.unwrap_or_default(),
            record: filter.record.unwrap_or_default(),
            all: filter.all,
        }
    }
}

/// An answer to more than one record is given with open eyes.
async fn ask_before_many(app: &App, flow: &str, filter: &PointFilter, word: &str, yes: bool) -> Result<(), Failure> {
    if yes || !filter.record.is_empty() || filter.is_open() {
        return Ok(());
    }
    let points = service::attention_points(app, LOCAL_TENANT, flow, filter, 0, usize::MAX >> 1).await?;
    if points.len() < 2 {
        return Ok(());
    }
    let named = points.iter().take(SAMPLE).map(|point| match (point.left.is_empty(), point.right.is_empty()) {
        (false, false) => format!("{} = {}", point.left, point.right),
        (false, true) => point.left.clone(),
        _ => point.right.clone(),
    });
    let named: Vec<String> = named.collect();
    let more = points.len().saturating_sub(SAMPLE);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Failure::input(
        "attention.many",
        format!("`{word}` would answer {} points: {}{more}", points.len(), named.join(", ")),
        "add --yes to answer all of them, or --record for one",
    ))
}

fn list_text(list: &[Attention]) -> String {
    if list.is_empty() {
        return "Nothing needs a person. With --all: everything that is not simply in step.".to_owned();
    }
    let mut table = Table::new(&["FLOW", "MODULE", "COUNT", "REASON", "FIELD", "VALUE", "SINCE"]).numbers(2);
    for attention in list {
        let group = &attention.group;
        let module = if group.left_module == group.right_module {
            group.left_module.clone()
        } else {
            format!("{} = {}", group.left_module, group.right_module)
        };
        table.row([
            &attention.flow,
            &module,
            &group.count.to_string(),
            &group.reason,
            &group.field,
            &group.value,
            &moment(group.since_ms),
        ]);
    }
    let mut text = table.text(None);
    let mut told: Vec<&str> = Vec::new();
    for attention in list.iter().filter(|attention| !attention.meaning.is_empty()) {
        if told.contains(&attention.group.reason.as_str()) {
            continue;
        }
        told.push(&attention.group.reason);
        text.push_str(&format!("\n{}: {}.\n  fix: {}\n", attention.group.reason, attention.meaning, attention.fix));
    }
    let flow = &list[0].flow;
    text.push_str(&format!(
        "\nThe records of a reason: crmsync flow outcomes {flow}. One of them: crmsync attention show {flow} RECORD"
    ));
    text
}

fn show_text(need: &RecordInNeed, flow: &str) -> String {
    let [left, right] = &need.between;
    let name = |connection: &str, module: &str, id: &str| {
        if id.is_empty() { format!("{connection}: none") } else { format!("{connection}: {module} {id}") }
    };
    let mut text =
        format!("{}\n{}\n", name(left, &need.left_module, &need.left), name(right, &need.right_module, &need.right));
    text.push_str(&points_text(&need.points));
    let mut titles = vec!["FIELD".to_owned(), left.clone(), right.clone()];
    titles.extend(need.candidates.iter().map(|candidate| format!("? {}", candidate.record)));
    if need.candidates.is_empty() {
        let mut table = Table::new(&titles.iter().map(String::as_str).collect::<Vec<_>>());
        for field in &need.values {
            table.row([&field.field, &field.left, &field.right]);
        }
        text.push_str(&format!("\n{}", table.text(Some(width()))));
    } else {
        text.push_str("\nwhat it shows:\n");
        let mut table = Table::new(&["FIELD", "VALUE"]);
        for field in &need.values {
            table.row([&field.field, if field.left.is_empty() { &field.right } else { &field.left }]);
        }
        text.push_str(&table.text(Some(width())));
        for candidate in &need.candidates {
            text.push_str(&format!("\ncandidate {}:\n", neutral(&candidate.record)));
            let mut table = Table::new(&["FIELD", "VALUE"]);
            for (field, value) in &candidate.values {
                table.row([field, value]);
            }
            text.push_str(&table.text(Some(width())));
        }
    }
    let record = if need.left.is_empty() { &need.right } else { &need.left };
    let answers = need.points.iter().flat_map(|shown| &shown.answers).map(|answer| typed(*answer, left, right));
    let mut answers: Vec<String> = answers.collect();
    answers.sort();
    answers.dedup();
    for answer in answers {
        text.push_str(&format!("\ncrmsync attention decide {flow} {answer} --record {record}"));
    }
    text
}

/// Points with their explanations, as people read them.
pub(super) fn points_text(points: &[PointShown]) -> String {
    let mut text = String::new();
    for shown in points {
        let point = &shown.point;
        let field = if point.field.is_empty() { String::new() } else { format!(" in {}", point.field) };
        let detail = if point.detail.is_empty() { String::new() } else { format!(" ({})", point.detail) };
        text.push_str(&neutral(&format!("{}{field}: {}{detail}", point.reason, shown.meaning)));
        text.push_str(&format!("\n  fix: {}\n", shown.fix));
    }
    text
}

fn typed(answer: AnswerWord, left: &str, right: &str) -> String {
    match answer {
        AnswerWord::Link => "link ID".to_owned(),
        AnswerWord::Take => format!("take {left}|{right}"),
        other => other.as_str().to_owned(),
    }
}

fn answered_text(answered: &Answered, flow: &str) -> String {
    let mut text = format!("answered {}", answered.done);
    if answered.refused_count > 0 {
        text.push_str(&format!(", not answered {}", answered.refused_count));
        for refused in &answered.refused {
            text.push_str(&format!("\n  {}", neutral(refused)));
        }
    }
    if answered.done > 0 {
        text.push_str(&format!("\nThe next run carries it out: crmsync flow run {flow}"));
    }
    text
}

fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(160)
}
