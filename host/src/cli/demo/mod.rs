//! `crmsync demo`: two sandbox CRMs as processes of their own, with organizations, contacts and leads; a real login on the consent page,
//! preview, approval, sync, people's edits, sync, and once more with nothing to do. Judged by a table of expected values that the sandbox keeps, never by the engine.

mod judge;
mod world;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crmsync_sandbox::people::{Counts, Module};
use crmsync_sandbox::scenario::Scenario;
use secrecy::SecretString;
use serde::Serialize;

use super::args::DemoOptions;
use super::connection::wait_for_callback;
use super::flow::{preview_text, run_text};
use super::output::Output;
use super::progress::Lines;
use super::table::Table;
use crate::app::{App, LOCAL_TENANT};
use crate::engine::{Preview, RunReport};
use crate::flow::{Document, Template};
use crate::service::{self, Failure, Login, NewConnection, RunRequest};
use world::{Calls, World};

/// The flow of the demo.
const FLOW: &str = "demo";
/// The connections of the demo, left first; the sandbox CRMs have the same names.
const SIDES: [&str; 2] = ["zoho", "vtiger"];
/// The modules that this demo keeps in step. The product finds the order of their references by itself.
const MODULES: [Module; 3] = [Module::Contacts, Module::Accounts, Module::Leads];
/// Who owns records that nobody else can own: a user whom both sandboxes have.
const FALLBACK_OWNER: &str = "office@acme.example";
/// Longest wait for the consent page to lead back to us.
const CONSENT_WAIT: Duration = Duration::from_secs(30);
/// An unanswered write is certain after this time in the sandboxes, in milliseconds.
const QUIESCE_MS: &str = "2000";

/// What the demo did, as one document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    converged: bool,
    exceptions: Vec<judge::Exception>,
    duplicates: u64,
    lost_updates: u64,
    replaced_unseen: u64,
    automations: u64,
    modules: Vec<ModuleReport>,
    api_calls: BTreeMap<&'static str, Calls>,
    no_op: NoOp,
    records_per_second: f64,
    peak_rss_mib: f64,
    seed: u64,
    /// What is not as it must be, in words; empty if all is well.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ModuleReport {
    name: String,
    left: u64,
    right: u64,
    linked: u64,
    created_left: u64,
    created_right: u64,
    updated_left: u64,
    updated_right: u64,
    conflicts: u64,
    waiting: u64,
    needs_attention: u64,
}

#[derive(Debug, Serialize)]
struct NoOp {
    api_calls: u64,
    writes: u64,
    cpu_ms: u64,
}

pub(super) async fn run(options: DemoOptions, output: Output) -> Result<ExitCode, Failure> {
    let folder = world::Folder::make()?;
    let counts = Counts::of(options.records as usize);
    say(
        output,
        &format!(
            "starting two sandbox CRMs with {} contacts, {} organizations and {} leads each (seed {})",
            counts.contacts, counts.organizations, counts.leads, options.seed
        ),
    );
    let world = World::start(options.records, options.seed).await?;
    let app = App::open(folder.path().to_path_buf())?;
    connect(&app, &world, output).await?;
    let flow_file = Document::template(&Template {
        name: FLOW,
        between: SIDES,
        modules: &MODULES.map(|module| [module.name().to_owned(), module.name().to_owned()]),
        owner_fallback: [Some(FALLBACK_OWNER), Some(FALLBACK_OWNER)],
    });
    std::fs::write(folder.path().join("demo.toml"), &flow_file)
        .map_err(|error| Failure::environment("data.folder", error.to_string(), ""))?;
    service::apply(&app, LOCAL_TENANT, "demo.toml", &flow_file).await?;

    let progress = Arc::new(Lines::new());
    say(output, "preview: what would a first sync do?");
    let preview = service::preview(&app, LOCAL_TENANT, FLOW, progress.clone()).await?;
    progress.end();
    say(output, &preview_text(&preview));
    service::approve(&app, LOCAL_TENANT, FLOW).await?;
    say(output, "approved; first sync");

    let began = Instant::now();
    let first = sync(&app, &progress, output).await?;
    let took = began.elapsed();
    // The judge comes last, so that its memory is not taken for the engine's; what it needs from now is kept on disk.
    world.keep_state(&folder).await?;
    let first_events_end = world.events_end().await?;

    say(output, "the next morning people edit at both screens, delete and add records; sync again");
    world.sleep_over_night().await?;
    world.people_edit().await?;
    let second = sync(&app, &progress, output).await?;

    say(output, "another night, and a sync that reads once more what was written last");
    world.sleep_over_night().await?;
    let third = sync(&app, &progress, output).await?;

    say(output, "and once more, with nothing to do");
    let before = world.calls().await?;
    let cpu_before = world::usage();
    let last = sync(&app, &progress, output).await?;
    let cpu_after = world::usage();
    let after = world.calls().await?;

    let scenario = Scenario::of_all_modules(options.seed, counts);
    let mut problems = judge::first_state(&folder, &scenario)?.problems("after the first sync");
    let state = judge::last_state(&world, &scenario).await?;
    problems.extend(state.problems("after the edits"));
    let events = world.events().await?;
    let journal = service::log(&app, LOCAL_TENANT, FLOW, all_lines()).await?;
    let reports = [&first, &second, &third, &last];
    problems.extend(judge::add_up(&events, &reports, &journal));
    let no_op = NoOp {
        api_calls: SIDES.iter().map(|side| after[side].data() - before[side].data()).sum(),
        writes: SIDES.iter().map(|side| after[side].write - before[side].write).sum(),
        cpu_ms: cpu_after.cpu_ms - cpu_before.cpu_ms,
    };
    let replaced_unseen =
        judge::replaced_unseen(&events, first_events_end, &preview) + judge::edits_replaced(&events, &journal);
    let lost_updates = state.verdict.lost_updates;
    let pairs = last.pairs.len() as u64;
    let converged = problems.is_empty()
        && state.verdict.is_clean()
        && replaced_unseen == 0
        && no_op.writes == 0
        && no_op.api_calls <= 3 * pairs
        && world.automations().await? == 0;
    let report = Report {
        converged,
        exceptions: judge::exceptions(&state.verdict),
        duplicates: state.verdict.duplicates,
        lost_updates,
        replaced_unseen,
        automations: world.automations().await?,
        modules: modules(&reports),
        api_calls: after,
        no_op,
        records_per_second: MODULES.map(|module| counts.of_module(module)).iter().sum::<usize>() as f64 * 2.0
            / took.as_secs_f64(),
        peak_rss_mib: cpu_after.peak_rss_mib,
        seed: options.seed,
        problems,
    };
    output.answer(&report, table);
    if options.keep_open {
        keep_open(&world, &folder, output).await;
    }
    Ok(if report.converged { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Both connections, the way a person makes them.
async fn connect(app: &App, world: &World, output: Output) -> Result<(), Failure> {
    let [zoho, vtiger] = &world.sides;
    let settings =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let secret = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), SecretString::from(value))]);
    service::add(
        app,
        LOCAL_TENANT,
        NewConnection {
            name: SIDES[0].into(),
            plugin: SIDES[0].into(),
            settings: settings(&[("client_id", &zoho.login("client_id")), ("quiesce_ms", QUIESCE_MS)]),
            secrets: secret("client_secret", &zoho.login("client_secret")),
            origins: settings(&[("accounts", &zoho.url), ("api", &zoho.url)]),
            addresses: vec![zoho.address()],
        },
    )
    .await?;
    service::add(
        app,
        LOCAL_TENANT,
        NewConnection {
            name: SIDES[1].into(),
            plugin: SIDES[1].into(),
            settings: settings(&[
                ("base_url", &vtiger.url),
                ("username", &vtiger.login("username")),
                ("quiesce_ms", QUIESCE_MS),
            ]),
            secrets: secret("access_key", &vtiger.login("access_key")),
            origins: BTreeMap::new(),
            addresses: vec![vtiger.address()],
        },
    )
    .await?;
    say(output, "OAuth login at the first one's consent page");
    let listener = super::connection::listen(0).await?;
    let port = listener
        .local_addr()
        .map_err(|error| Failure::environment("connection.callback_port", error.to_string(), ""))?
        .port();
    let login = Login::begin(app, LOCAL_TENANT, SIDES[0], service::callback_address(port)).await?;
    let waiting = wait_for_callback(listener, &login, CONSENT_WAIT);
    let (parameters, pressed) = tokio::join!(waiting, world.press_accept(&login.url));
    pressed?;
    login.finish(&parameters?).await?;
    say(output, "challenge login at the second one");
    service::login_with_session(app, LOCAL_TENANT, SIDES[1]).await?;
    Ok(())
}

async fn sync(app: &App, progress: &Arc<Lines>, output: Output) -> Result<RunReport, Failure> {
    let report = service::run(app, LOCAL_TENANT, FLOW, RunRequest::default(), progress.clone()).await;
    progress.end();
    let report = report?;
    say(output, &run_text(&report));
    Ok(report)
}

fn all_lines() -> crate::store::JournalQuery {
    crate::store::JournalQuery { most: usize::MAX, ..crate::store::JournalQuery::default() }
}

fn modules(reports: &[&RunReport; 4]) -> Vec<ModuleReport> {
    let last = reports[3];
    let total = |index: usize, count: fn(&crate::engine::PairReport) -> u64| {
        reports.iter().map(|report| count(&report.pairs[index])).sum()
    };
    let module = |(index, pair): (usize, &crate::engine::PairReport)| ModuleReport {
        name: pair.name.clone(),
        left: pair.left,
        right: pair.right,
        linked: pair.linked,
        created_left: total(index, |pair| pair.created_left),
        created_right: total(index, |pair| pair.created_right),
        updated_left: total(index, |pair| pair.updated_left),
        updated_right: total(index, |pair| pair.updated_right),
        conflicts: total(index, |pair| pair.conflicts),
        waiting: pair.waiting,
        needs_attention: pair.needs_attention.values().sum(),
    };
    last.pairs.iter().enumerate().map(module).collect()
}

fn table(report: &Report) -> String {
    let mut table = Table::new(&["MODULE", "", SIDES[0], SIDES[1]]).numbers(2).numbers(3);
    for module in &report.modules {
        table.row([module.name.as_str(), "records", &module.left.to_string(), &module.right.to_string()]);
        table.row(["", "created by crmsync", &module.created_left.to_string(), &module.created_right.to_string()]);
        table.row(["", "changed by crmsync", &module.updated_left.to_string(), &module.updated_right.to_string()]);
    }
    for (name, pick) in [
        ("read", (|calls| calls.read) as fn(&Calls) -> u64),
        ("write", |calls| calls.write),
        ("login", |calls| calls.auth),
        ("metadata", |calls| calls.metadata),
    ] {
        table.row([
            "API calls",
            name,
            &pick(&report.api_calls[SIDES[0]]).to_string(),
            &pick(&report.api_calls[SIDES[1]]).to_string(),
        ]);
    }
    let mut text = table.text(None);
    for module in &report.modules {
        text.push_str(&format!(
            "{}: linked {}, both changed {}, waiting {}, need attention {}\n",
            module.name, module.linked, module.conflicts, module.waiting, module.needs_attention
        ));
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for exception in &report.exceptions {
        *reasons.entry(exception.reason).or_default() += 1;
    }
    let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    text.push_str(&format!("differ for a listed reason: {}\n", reasons.join(", ")));
    text.push_str(&format!(
        "duplicates {}, lost updates {}, replaced unseen {}, automations started {}\n",
        report.duplicates, report.lost_updates, report.replaced_unseen, report.automations
    ));
    text.push_str(&format!(
        "with nothing to do: {} data calls, {} writes, {} ms CPU\n",
        report.no_op.api_calls, report.no_op.writes, report.no_op.cpu_ms
    ));
    text.push_str(&format!(
        "first sync {:.0} records/s, peak memory {:.0} MiB, seed {}\n",
        report.records_per_second, report.peak_rss_mib, report.seed
    ));
    for problem in &report.problems {
        text.push_str(&format!("NOT AS EXPECTED: {problem}\n"));
    }
    text.push_str(if report.converged {
        "Both CRMs hold exactly what they must."
    } else {
        "The CRMs do not hold what they must: please report this with the seed."
    });
    text
}

async fn keep_open(world: &World, folder: &world::Folder, output: Output) {
    output.note(&format!("\n{}: {}\n{}: {}", SIDES[0], world.sides[0].url, SIDES[1], world.sides[1].url));
    output.note(&format!("look around: crmsync --data {} log {FLOW}", folder.path().display()));
    output.note("Ctrl-C ends it.");
    // If signals cannot be waited for, there is nothing to keep open for.
    let _asked = tokio::signal::ctrl_c().await;
}

fn say(output: Output, text: &str) {
    if !output.json {
        output.note(text);
    }
}
