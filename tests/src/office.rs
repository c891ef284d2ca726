//! An hour in the office: the service runs by itself, people edit at both screens, and now and then its process is killed or stopped.
//! How long does an edit take to the other screen, what does it cost, and is anything lost?

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use crmsync_sandbox::people::Side;
use crmsync_sandbox::rng::Rng;
use serde::Serialize;

use crate::Outcome;
use crate::crms::{Crms, SIDES, field_name, name};
use crate::product::Product;
use crate::served::Service;
use crate::workplace::{FLOW, Workplace};

/// A field that people edit here, by its Zoho name.
const FIELD: &str = "Department";
/// Pause between two looks at the other screen.
const LOOK: Duration = Duration::from_millis(250);
/// An edit has arrived in time within the interval and this.
const GRACE: Duration = Duration::from_secs(5);
/// An edit that has not arrived after so many intervals is lost.
const LOST_AFTER_INTERVALS: u32 = 6;
/// The first sync has so long.
const FIRST_SYNC: Duration = Duration::from_secs(300);
/// An unanswered write of these CRMs is certain after this time.
const QUIESCE_MS: u64 = 2_000;

/// What is asked for.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How long people work
    #[arg(long, default_value_t = 60)]
    pub minutes: u32,
    /// How often the flow runs, in seconds
    #[arg(long = "every", default_value_t = 30)]
    pub every_s: u32,
    /// Contacts on each side
    #[arg(long, default_value_t = 200)]
    pub records: usize,
    /// Seconds between two edits, about
    #[arg(long, default_value_t = 4)]
    pub pause_s: u32,
    /// Decides people, names and edits
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What happened.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Seconds between two runs.
    pub every_s: u32,
    /// Seconds that people worked.
    pub took_s: u64,
    /// Edits made.
    pub edits: usize,
    /// Edits that never came to the other side.
    pub lost: Vec<String>,
    /// Records too many on a side.
    pub duplicates: usize,
    /// Half of all edits arrived within so many milliseconds.
    pub p50_ms: u128,
    /// 95 of 100 edits.
    pub p95_ms: u128,
    /// All edits.
    pub max_ms: u128,
    /// Calls for records of both sides after the first sync.
    pub calls: [u64; 2],
    /// The same, if a whole day went on like this.
    pub calls_a_day: [u64; 2],
    /// What `quota` says that a day may cost, where there is a limit.
    pub per_day: [Option<u64>; 2],
    /// kill -9 and stops in between.
    pub killed: u32,
    /// Stops with SIGTERM; each ended with exit code 0.
    pub stopped: u32,
}

impl Report {
    /// Whether it is as promised: in time, nothing lost or doubled, at most half of a day's budget.
    pub fn is_clean(&self) -> bool {
        let in_time = self.p95_ms <= (Duration::from_secs(self.every_s.into()) + GRACE).as_millis();
        let cheap =
            self.calls_a_day.iter().zip(self.per_day).all(|(calls, day)| day.is_none_or(|day| *calls * 2 <= day));
        self.edits > 0 && self.lost.is_empty() && self.duplicates == 0 && in_time && cheap
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} edits in {} s, a run every {} s", self.edits, self.took_s, self.every_s)?;
        writeln!(
            f,
            "on the other side after: half {} ms, 95 % {} ms, all {} ms",
            self.p50_ms, self.p95_ms, self.max_ms
        )?;
        for (side, calls) in SIDES.into_iter().enumerate() {
            let of = self.per_day[side].map_or_else(|| "no limit".to_owned(), |day| format!("{day} allowed"));
            writeln!(f, "{}: {} calls, {} a day, {of}", name(calls), self.calls[side], self.calls_a_day[side])?;
        }
        writeln!(
            f,
            "killed {}, stopped {}, lost {}, duplicates {}",
            self.killed,
            self.stopped,
            self.lost.len(),
            self.duplicates
        )?;
        for lost in &self.lost {
            writeln!(f, "  lost: {lost}")?;
        }
        write!(f, "{}", if self.is_clean() { "As promised." } else { "NOT as promised." })
    }
}

/// An edit that has not been seen on the other side yet.
struct Underway {
    side: Side,
    id: String,
    value: String,
    since: Instant,
}

/// People work for a while.
///
/// # Errors
/// Something of the surroundings does not work: a process that does not start, a sandbox that does not answer.
pub async fn run(product: &Product, options: &Options) -> Outcome<Report> {
    let crms = Crms::processes(product, options.records, options.seed).await?;
    let workplace = Workplace::open(crms, QUIESCE_MS).await?;
    workplace.preview_and_approve().await?;
    let every = options.every_s.to_string();
    let serve = || async { Service::start(product, &workplace.data(), &["--every", &every]).await };
    let mut service = Some(serve().await?);
    if let Some(service) = &service {
        service.until(FLOW, FIRST_SYNC, |flow| !flow["first_sync_at"].is_null()).await?;
    }
    let pairs = linked(&workplace).await?;
    let sizes = sizes(&workplace).await?;
    let before = workplace.crms.counts().await?;
    let mut report = Report { every_s: options.every_s, ..Report::default() };
    let (began, length) = (Instant::now(), Duration::from_secs(u64::from(options.minutes) * 60));
    let mut rng = Rng::new(options.seed);
    let mut underway: HashMap<usize, Underway> = HashMap::new();
    let mut latencies: Vec<Duration> = Vec::new();
    let mut next_edit = Duration::ZERO;
    let lost_after = Duration::from_secs(u64::from(options.every_s)) * LOST_AFTER_INTERVALS + GRACE;
    while began.elapsed() < length || !underway.is_empty() {
        if began.elapsed() < length && began.elapsed() >= next_edit {
            let pair = rng.below(pairs.len().max(1));
            if let Entry::Vacant(free) = underway.entry(pair) {
                let side = SIDES[rng.below(2)];
                let other = SIDES[1 - side as usize];
                let value = format!("Office {}", report.edits);
                workplace
                    .crms
                    .edit(side, &pairs[pair][side as usize], &BTreeMap::from([(FIELD, value.clone())]))
                    .await?;
                let id = pairs[pair][other as usize].clone();
                free.insert(Underway { side: other, id, value, since: Instant::now() });
                report.edits += 1;
            }
            let pause_ms = options.pause_s.max(1) as usize * 2_000;
            next_edit = began.elapsed() + Duration::from_millis(rng.below(pause_ms) as u64 + 1);
        }
        if report.killed == 0 && began.elapsed() >= length / 3 && !underway.is_empty() {
            if let Some(service) = service.take() {
                service.kill().await?;
            }
            report.killed += 1;
            service = Some(serve().await?);
        }
        if report.stopped == 0 && began.elapsed() >= length * 2 / 3 && !underway.is_empty() {
            if let Some(service) = service.take() {
                let code = service.stop(libc::SIGTERM).await?;
                if code != 0 {
                    return Err(format!("a stopped service ends with {code}"));
                }
            }
            report.stopped += 1;
            service = Some(serve().await?);
        }
        tokio::time::sleep(LOOK).await;
        look(&workplace, &mut underway, &mut latencies).await?;
        underway.retain(|_, edit| {
            let lost = edit.since.elapsed() > lost_after;
            if lost {
                report.lost.push(format!("{} in {} at {}", edit.value, edit.id, name(edit.side)));
            }
            !lost
        });
    }
    let after = workplace.crms.counts().await?;
    let took = began.elapsed();
    report.took_s = took.as_secs();
    for side in 0..2 {
        report.calls[side] = after[side].read + after[side].write - before[side].read - before[side].write;
        report.calls_a_day[side] = (report.calls[side] as f64 * 86_400.0 / took.as_secs_f64()) as u64;
    }
    report.per_day = budgets(product, &workplace).await?;
    let sizes_now = self::sizes(&workplace).await?;
    report.duplicates = sizes_now.iter().zip(sizes).map(|(now, then)| now.saturating_sub(then)).sum();
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get((latencies.len() * percent / 100).min(latencies.len().saturating_sub(1)));
    [report.p50_ms, report.p95_ms, report.max_ms] =
        [50, 95, 100].map(|percent| at(percent).map_or(0, |latency| latency.as_millis()));
    if let Some(service) = service {
        service.stop(libc::SIGTERM).await?;
    }
    Ok(report)
}

/// Which edits are on the other screen now?
async fn look(
    workplace: &Workplace,
    underway: &mut HashMap<usize, Underway>,
    latencies: &mut Vec<Duration>,
) -> Outcome<()> {
    for side in SIDES {
        if underway.values().all(|edit| edit.side != side) {
            continue;
        }
        let records = workplace.crms.records(side).await?;
        let shown: HashMap<&str, &str> = records
            .iter()
            .filter_map(|record| Some((record["id"].as_str()?, record[field_name(side, FIELD)].as_str()?)))
            .collect();
        underway.retain(|_, edit| {
            let arrived = edit.side == side && shown.get(edit.id.as_str()) == Some(&edit.value.as_str());
            if arrived {
                latencies.push(edit.since.elapsed());
            }
            !arrived
        });
    }
    Ok(())
}

async fn linked(workplace: &Workplace) -> Outcome<Vec<[String; 2]>> {
    let lines = workplace.log().await?.into_iter();
    let lines = lines.filter(|line| ["linked", "created"].contains(&line.action.as_str()));
    Ok(lines
        .filter(|line| !line.left_id.is_empty() && !line.right_id.is_empty())
        .map(|line| [line.left_id, line.right_id])
        .collect())
}

async fn sizes(workplace: &Workplace) -> Outcome<[usize; 2]> {
    Ok([workplace.crms.records(Side::Zoho).await?.len(), workplace.crms.records(Side::Vtiger).await?.len()])
}

async fn budgets(product: &Product, workplace: &Workplace) -> Outcome<[Option<u64>; 2]> {
    let answer = product.ask(&workplace.data(), &["quota", "--json"]).await?.json();
    let rows = answer.as_array().ok_or("`quota` gives no list")?;
    Ok(SIDES
        .map(|side| rows.iter().find(|row| row["connection"] == name(side)).and_then(|row| row["per_day"].as_u64())))
}
