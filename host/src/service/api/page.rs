//! The status page: read only, rendered here, with one style sheet of its own and no script. Names of flows, connections, modules and
//! fields are on it, and ids of records, but no customer's values.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};

use super::answers::moment;
use crate::app::LOCAL_TENANT;
use crate::engine::RunReport;
use crate::scheduler::{Standing, State as FlowState};
use crate::service::schedule::Watched;
use crate::service::serve::Service;
use crate::service::{self, Failure};
use crate::store::{ConnectionState, JournalQuery, JournalRow};

const FRAME: &str = include_str!("../../../console/page.html");
const STYLE: &str = include_str!("../../../console/console.css");
/// Lines of the sync log that are shown.
const LINES_MAX: usize = 20;

pub(super) async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

pub(super) async fn page(State(service): State<Arc<Service>>) -> Response {
    let body = match body(&service).await {
        Ok(body) => body,
        Err(failure) => format!("<p class=\"alarm\">{}</p>", escaped(&failure.message)),
    };
    let now = moment(service.app.now_ms()).unwrap_or_default();
    Html(FRAME.replace("{{now}}", &escaped(&now)).replace("{{body}}", &body)).into_response()
}

async fn body(service: &Service) -> Result<String, Failure> {
    let (app, now_ms) = (&service.app, service.app.now_ms());
    let watched = service.watched().await?;
    let mut html = String::from("<section><h2>Flows</h2>");
    if watched.is_empty() {
        html.push_str("<p class=\"quiet\">There is none yet: <code>crmsync flow apply FILE</code></p>");
    }
    let mut lines: Vec<(String, JournalRow)> = Vec::new();
    for (watched, standing) in &watched {
        let name = &watched.flow.name;
        let mut attention: BTreeMap<String, u64> = BTreeMap::new();
        for count in app.store().outcome_counts(LOCAL_TENANT, name).await? {
            if matches!(count.kind.as_str(), "needs-attention" | "failed") {
                *attention.entry(count.reason).or_default() += count.count;
            }
        }
        html.push_str(&card(service, watched, *standing, &attention, now_ms));
        let query = JournalQuery { most: LINES_MAX, ..JournalQuery::default() };
        let newest = app.store().journal(LOCAL_TENANT, name, query).await?;
        lines.extend(newest.into_iter().map(|line| (name.clone(), line)));
    }
    html.push_str("</section>");
    html.push_str(&connections(service).await?);
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.id));
    lines.truncate(LINES_MAX);
    html.push_str(&log(&lines, now_ms));
    Ok(html)
}

/// One flow.
fn card(
    service: &Service,
    watched: &Watched,
    standing: Standing,
    attention: &BTreeMap<String, u64>,
    now_ms: i64,
) -> String {
    let last = watched.last_run();
    let report = last.as_ref().and_then(|run| serde_json::from_str::<RunReport>(&run.summary).ok());
    let [left, right] = &watched.flow.between;
    let mut html = format!(
        "<article class=\"flow {}\"><header><h3>{}</h3><span class=\"state\">{}</span></header><p class=\"quiet\">{} ⇄ {}, every {}</p>",
        standing.state.as_str(),
        escaped(&watched.flow.name),
        words(standing.state),
        escaped(left),
        escaped(right),
        span(watched.flow.every_ms)
    );
    let why = watched.why();
    if !why.is_empty() {
        html.push_str(&format!("<p class=\"why\">{}</p>", escaped(&why)));
    }
    if let Some(doing) = service.doing(&watched.flow.name).filter(|doing| !doing.is_empty()) {
        html.push_str(&format!("<p class=\"why\">{}</p>", escaped(&doing)));
    }
    html.push_str("<dl>");
    let mut fact = |name: &str, value: String| html.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    match &last {
        None => fact("Last run", "none yet".to_owned()),
        Some(run) => {
            let at_ms = if run.ended_at_ms > 0 { run.ended_at_ms } else { run.started_at_ms };
            fact("Last run", format!("{}, {}", escaped(&run.state), ago(now_ms - at_ms)));
        }
    }
    if let Some(at_ms) = standing.next_at_ms {
        let wait_ms = at_ms - now_ms;
        fact("Next run", if wait_ms <= 0 { "now".to_owned() } else { format!("in {}", span(wait_ms)) });
    }
    if let Some(report) = &report {
        let linked: u64 = report.pairs.iter().map(|pair| pair.linked).sum();
        let waiting: u64 = report.pairs.iter().map(|pair| pair.waiting).sum();
        fact("Records linked", linked.to_string());
        fact("Writes waiting", waiting.to_string());
    }
    fact("Need attention", attention.values().sum::<u64>().to_string());
    html.push_str("</dl>");
    if !attention.is_empty() {
        let reasons = attention.iter().map(|(reason, count)| format!("<li>{} <b>{count}</b></li>", escaped(reason)));
        html.push_str(&format!("<ul class=\"reasons\">{}</ul>", reasons.collect::<String>()));
    }
    for alarm in report.iter().flat_map(|report| &report.alarms) {
        html.push_str(&format!("<p class=\"alarm\">{}</p>", escaped(alarm)));
    }
    let failed =
        last.filter(|run| run.state == "failed").and_then(|run| serde_json::from_str::<String>(&run.summary).ok());
    if let Some(why) = failed {
        html.push_str(&format!("<p class=\"alarm\">{}</p>", escaped(&why)));
    }
    html.push_str("</article>");
    html
}

async fn connections(service: &Service) -> Result<String, Failure> {
    let rows = service::list(&service.app, LOCAL_TENANT).await?;
    let mut html = String::from(
        "<section><h2>Connections</h2><div class=\"scroll\"><table><thead><tr><th>Name</th><th>Plugin</th><th>State</th>\
         <th>Organisation</th><th>Used in 24 h</th><th>Left</th><th>Left for scheduled runs</th></tr></thead><tbody>",
    );
    let quotas = service::quotas(&service.app, LOCAL_TENANT).await?;
    for row in rows {
        let (class, state) = match row.state {
            ConnectionState::Ready => ("good", "logged in"),
            ConnectionState::New => ("bad", "never logged in"),
            ConnectionState::LoggedOut => ("bad", "logged out"),
        };
        html.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{state}</td><td>{}</td>{}</tr>",
            escaped(&row.name),
            escaped(&row.plugin),
            escaped(&row.org_name),
            quotas.iter().find(|quota| quota.connection == row.name).map(usage).unwrap_or_default()
        ));
    }
    html.push_str("</tbody></table></div></section>");
    Ok(html)
}

/// The cells of a connection's budget.
fn usage(quota: &service::Quota) -> String {
    let or_free = |left: Option<u64>| left.map_or_else(|| "no limit".to_owned(), |left| left.to_string());
    let of_day = quota.per_day.map(|day| format!(" of {day}")).unwrap_or_default();
    format!(
        "<td>{}{of_day} {}</td><td>{}</td><td>{}</td>",
        quota.used,
        escaped(&quota.unit),
        or_free(quota.left),
        or_free(quota.left_for_scheduled)
    )
}

/// The newest lines: what happened to which record and field, not to which value.
fn log(lines: &[(String, JournalRow)], now_ms: i64) -> String {
    let mut html = String::from(
        "<section><h2>Sync log</h2><div class=\"scroll\"><table><thead><tr><th>When</th><th>Flow</th><th>What</th>\
         <th>Module</th><th>Records</th><th>Field</th><th>Reason</th></tr></thead><tbody>",
    );
    for (flow, line) in lines {
        let module = if line.side == "right" { &line.right_module } else { &line.left_module };
        let ids: Vec<&str> =
            [&line.left_id, &line.right_id].into_iter().map(String::as_str).filter(|id| !id.is_empty()).collect();
        let cells = [flow, &line.action, module, &ids.join(" ⇄ "), &line.field, &line.reason];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        html.push_str(&format!("<tr><td>{}</td>{cells}</tr>", ago(now_ms - line.at_ms)));
    }
    html.push_str("</tbody></table></div></section>");
    html
}

fn words(state: FlowState) -> &'static str {
    match state {
        FlowState::Running => "running",
        FlowState::Waiting => "waiting for its next run",
        FlowState::Queued => "waiting for its turn",
        FlowState::Paused => "paused",
        FlowState::NeedsApproval => "needs approval",
        FlowState::LoggedOut => "logged out",
        FlowState::WaitingForQuota => "waiting for quota",
        FlowState::Failing => "failed, will try again",
        FlowState::Unusable => "cannot run",
    }
}

/// A length of time, in its largest unit.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn ago(ms: i64) -> String {
    format!("{} ago", span(ms))
}

/// Text that is only text in a page.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<b onclick='x'>\"&</b>"), "&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;&lt;/b&gt;");
    }

    #[test]
    fn times_are_short() {
        let shown = [0, 59_999, 150_000, 9_000_000, 900_000_000].map(span);
        assert_eq!(shown, ["0 s", "59 s", "2 min", "2 h", "10 days"]);
    }

    #[test]
    fn the_page_loads_its_own_style_sheet_and_nothing_else() {
        for part in ["<script", "http:", "https:", "@import", "url(", "style=", "<form"] {
            assert!(!FRAME.contains(part) && !STYLE.contains(part), "{part}");
        }
        assert!(FRAME.contains("{{body}}") && FRAME.contains("{{now}}") && FRAME.contains("/console.css"));
    }
}
