//! The state of a flow, and when it is due. Pure.

use serde::Serialize;

/// First pause after a failed run; it doubles with each further failure.
const BACKOFF_MS_MIN: i64 = 15_000;
/// Longest pause after failed runs.
const BACKOFF_MS_MAX: i64 = 60 * 60_000;
/// Shortest pause between two runs of one flow, however long a run takes.
const PAUSE_MS_MIN: i64 = 1_000;
/// So many runs in a row may be cut off by the end of their process before restarts are slowed down, too.
const INTERRUPTIONS_FREE: u32 = 2;

/// What the scheduler knows of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Name.
    pub name: String,
    /// The two connections.
    pub between: [String; 2],
    /// Time between the starts of two runs, in milliseconds.
    pub every_ms: i64,
    /// When a person paused it, 0 while it runs by itself.
    pub paused_at_ms: i64,
    /// What keeps it from running, if anything does.
    pub blocked: Option<Blocked>,
    /// When somebody asked for a run, 0 if nobody did.
    pub asked_at_ms: i64,
    /// The last run.
    pub last: Option<LastRun>,
    /// How many of the newest runs failed, in a row.
    pub failures: u32,
    /// How many of the newest runs were cut off, in a row.
    pub interruptions: u32,
    /// Another process runs it now.
    pub elsewhere: bool,
}

/// What keeps a flow from running until a person, or time, changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocked {
    /// Its file cannot be read by this version, in words.
    File(String),
    /// This connection is not logged in.
    LoggedOut(String),
    /// Nobody approved what it would do now.
    NotApproved,
    /// The share of scheduled runs in this connection's day is used up; it goes on at the moment.
    Quota(String, i64),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did its work.
    Done,
    /// It failed.
    Failed,
    /// Its process ended first.
    CutOff,
}

/// The last run of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Start.
    pub started_at_ms: i64,
    /// End; of one that was cut off, its start.
    pub ended_at_ms: i64,
    /// How.
    pub end: End,
}

/// The state of a flow, for people and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A run is going on.
    Running,
    /// The next run has its time.
    Waiting,
    /// It is due, and waits for its turn on a connection.
    Queued,
    /// A person paused it.
    Paused,
    /// Nobody approved what it would do now.
    NeedsApproval,
    /// A connection has to be logged in.
    LoggedOut,
    /// The day's share of calls is used up.
    WaitingForQuota,
    /// The last run failed; the next one has its time.
    Failing,
    /// Its file cannot be read.
    Unusable,
}

impl State {
    /// The word for it in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Waiting => "waiting",
            State::Queued => "queued",
            State::Paused => "paused",
            State::NeedsApproval => "needs-approval",
            State::LoggedOut => "logged-out",
            State::WaitingForQuota => "waiting-for-quota",
            State::Failing => "failing",
            State::Unusable => "unusable",
        }
    }
}

/// How a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// State.
    pub state: State,
    /// When it runs next by itself; none while that depends on a person.
    pub next_at_ms: Option<i64>,
}

/// How a flow stands now. `running` says that a run of it is going on in this process.
pub fn standing(flow: &Flow, running: bool, now_ms: i64) -> Standing {
    let next_at_ms = due_at_ms(flow);
    if running || flow.elsewhere {
        return Standing { state: State::Running, next_at_ms: None };
    }
    let state = match &flow.blocked {
        _ if flow.paused_at_ms > 0 => State::Paused,
        Some(Blocked::File(_)) => State::Unusable,
        Some(Blocked::LoggedOut(_)) => State::LoggedOut,
        Some(Blocked::NotApproved) => State::NeedsApproval,
        _ if flow.asked_at_ms > 0 => State::Queued,
        Some(Blocked::Quota(..)) => State::WaitingForQuota,
        None if next_at_ms.is_some_and(|at_ms| at_ms <= now_ms) => State::Queued,
        None if flow.failures > 0 => State::Failing,
        None => State::Waiting,
    };
    Standing { state, next_at_ms }
}

/// When a flow runs next by itself; none while that depends on a person. Ticks that were missed are one tick.
pub fn due_at_ms(flow: &Flow) -> Option<i64> {
    let not_before_ms = match &flow.blocked {
        _ if flow.paused_at_ms > 0 => return None,
        Some(Blocked::File(_) | Blocked::LoggedOut(_) | Blocked::NotApproved) => return None,
        // Whoever asks may spend what is kept back for people.
        _ if flow.asked_at_ms > 0 => return Some(flow.asked_at_ms),
        Some(Blocked::Quota(_, until_ms)) => *until_ms,
        None => 0,
    };
    let Some(last) = flow.last else { return Some(not_before_ms) };
    let regular_ms = (last.started_at_ms + flow.every_ms).max(last.ended_at_ms + PAUSE_MS_MIN);
    let due_ms = match last.end {
        End::Done => regular_ms,
        End::Failed => regular_ms.max(last.ended_at_ms + backoff_ms(flow.failures)),
        // What was under way is found out and finished as soon as possible, unless the runs themselves end the process.
        End::CutOff if flow.interruptions <= INTERRUPTIONS_FREE => 0,
        End::CutOff => last.started_at_ms + backoff_ms(flow.interruptions - INTERRUPTIONS_FREE),
    };
    Some(due_ms.max(not_before_ms))
}

/// The pause after so many failures in a row.
pub fn backoff_ms(failures: u32) -> i64 {
    let doublings = failures.saturating_sub(1).min(20);
    (BACKOFF_MS_MIN << doublings).min(BACKOFF_MS_MAX)
}

/// Milliseconds until the next flow is due that is not due yet; none if there is none.
pub fn next_look_ms(flows: &[Flow], now_ms: i64) -> Option<i64> {
    flows.iter().filter_map(due_at_ms).map(|at_ms| at_ms - now_ms).filter(|wait_ms| *wait_ms > 0).min()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A flow every 60 s between `a` and `b`, approved, never run.
    pub(in crate::scheduler) fn flow(name: &str) -> Flow {
        Flow {
            name: name.to_owned(),
            between: ["a".to_owned(), "b".to_owned()],
            every_ms: 60_000,
            paused_at_ms: 0,
            blocked: None,
            asked_at_ms: 0,
            last: None,
            failures: 0,
            interruptions: 0,
            elsewhere: false,
        }
    }

    fn after(started_at_ms: i64, ended_at_ms: i64, end: End) -> Flow {
        let row = u32::from(end == End::Failed);
        let interruptions = u32::from(end == End::CutOff);
        Flow { last: Some(LastRun { started_at_ms, ended_at_ms, end }), failures: row, interruptions, ..flow("f") }
    }

    fn check(what: &str, flow: Flow, now_ms: i64, state: State, next_at_ms: Option<i64>) {
        assert_eq!(standing(&flow, false, now_ms), Standing { state, next_at_ms }, "{what}");
    }

    #[test]
    fn when_a_flow_is_due() {
        use State::{Failing, Queued, Waiting};
        check("never run", flow("f"), 5, Queued, Some(0));
        check("ran", after(1_000, 3_000, End::Done), 4_000, Waiting, Some(61_000));
        check("a run longer than its pause", after(1_000, 90_000, End::Done), 90_000, Waiting, Some(91_000));
        // A host that was off for a day has missed many ticks and runs once.
        check("missed ticks", after(1_000, 3_000, End::Done), 86_400_000, Queued, Some(61_000));
        check("failed once", after(0, 50_000, End::Failed), 50_000, Failing, Some(65_000));
        let failing = Flow { failures: 4, ..after(0, 50_000, End::Failed) };
        check("failed again", failing, 50_000, Failing, Some(50_000 + 120_000));
        let failing = Flow { failures: 99, ..after(0, 50_000, End::Failed) };
        check("failed for long", failing, 50_000, Failing, Some(50_000 + 3_600_000));
        check("cut off", after(7_000, 7_000, End::CutOff), 8_000, Queued, Some(0));
        let again = Flow { interruptions: 3, ..after(7_000, 7_000, End::CutOff) };
        check("cut off again and again", again, 8_000, Waiting, Some(22_000));
    }

    #[test]
    fn what_keeps_a_flow_from_running() {
        let ran = || after(1_000, 3_000, End::Done);
        let paused = |flow| Flow { paused_at_ms: 9, ..flow };
        let blocked = |blocked| Flow { blocked: Some(blocked), ..ran() };
        check("paused", paused(ran()), 99_000, State::Paused, None);
        check("paused, and asked for before", Flow { asked_at_ms: 4, ..paused(ran()) }, 99_000, State::Paused, None);
        check("not approved", blocked(Blocked::NotApproved), 99_000, State::NeedsApproval, None);
        let asked = Flow { asked_at_ms: 98_000, ..blocked(Blocked::NotApproved) };
        check("asked for, not approved", asked, 99_000, State::NeedsApproval, None);
        check("logged out", blocked(Blocked::LoggedOut("a".into())), 99_000, State::LoggedOut, None);
        check("bad file", blocked(Blocked::File("line 1".into())), 99_000, State::Unusable, None);
        let quota = || blocked(Blocked::Quota("a".into(), 500_000));
        check("quota", quota(), 99_000, State::WaitingForQuota, Some(500_000));
        check("a person asks", Flow { asked_at_ms: 98_000, ..quota() }, 99_000, State::Queued, Some(98_000));
        let elsewhere = Flow { elsewhere: true, ..ran() };
        check("another process runs it", elsewhere, 99_000, State::Running, None);
    }

    #[test]
    fn a_person_does_not_wait_for_a_pause_after_failures() {
        let failing = Flow { failures: 9, asked_at_ms: 60_000, ..after(0, 50_000, End::Failed) };
        check("asked", failing, 60_001, State::Queued, Some(60_000));
    }

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<i64> = (1..=10).map(|failures| backoff_ms(failures) / 1_000).collect();
        assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(backoff_ms(u32::MAX), BACKOFF_MS_MAX);
    }

    #[test]
    fn the_next_look_is_at_the_next_flow() {
        let flows = [after(1_000, 3_000, End::Done), flow("due"), Flow { paused_at_ms: 1, ..flow("paused") }];
        assert_eq!(next_look_ms(&flows, 4_000), Some(57_000));
        assert_eq!(next_look_ms(&flows[1..], 4_000), None);
    }
}
