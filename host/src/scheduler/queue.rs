//! Whose turn it is. Pure.

use serde::Serialize;

use super::timetable::{Flow, State, due_at_ms, standing};

/// Runs of one process that may go on at once.
pub const RUNS_MAX: usize = 16;
/// A flow that was due for so long gets the next free moment of its connections: others may not take one of them before it.
const PATIENCE_MS: i64 = 60_000;
/// But it keeps nobody from a connection while it waits for a run that has already taken so long: that may go on for hours.
const LONG_RUN_MS: i64 = 10 * 60_000;

/// Why a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It was due.
    Scheduled,
    /// Somebody asked for it.
    Asked,
}

/// A run that is going on in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The flow.
    pub flow: String,
    /// Its connections.
    pub between: [String; 2],
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since_ms: i64,
}

/// A run that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The flow.
    pub flow: String,
    /// Its connections.
    pub between: [String; 2],
    /// Why.
    pub cause: Cause,
}

/// The runs that are to begin now: who asked first, then who has been due for longest. A connection takes part in one scheduled run and
/// in one that somebody asked for at once.
pub fn next_turns(flows: &[Flow], running: &[Running], now_ms: i64) -> Vec<Turn> {
    let runs = |flow: &Flow| running.iter().any(|run| run.flow == flow.name);
    let mut due: Vec<(Cause, i64, &Flow)> = flows
        .iter()
        .filter(|flow| !runs(flow))
        .filter_map(|flow| {
            let at_ms = due_at_ms(flow).filter(|at_ms| *at_ms <= now_ms)?;
            let queued = standing(flow, false, now_ms).state == State::Queued;
            let cause = if flow.asked_at_ms > 0 { Cause::Asked } else { Cause::Scheduled };
            // A quota that is over is noticed at the next look; until then it says waiting.
            queued.then_some((cause, at_ms, flow))
        })
        .collect();
    due.sort_by_key(|(cause, at_ms, flow)| (*cause != Cause::Asked, *at_ms, flow.name.clone()));
    let mut going = running.to_vec();
    let mut kept: Vec<(Cause, String)> = Vec::new();
    let mut turns = Vec::new();
    for (cause, at_ms, flow) in due {
        if going.len() >= RUNS_MAX {
            break;
        }
        let in_the_way: Vec<&Running> = going
            .iter()
            .filter(|run| run.cause == cause && run.between.iter().any(|name| flow.between.contains(name)))
            .collect();
        if in_the_way.is_empty() && !kept.iter().any(|(lane, name)| *lane == cause && flow.between.contains(name)) {
            going.push(Running { flow: flow.name.clone(), between: flow.between.clone(), cause, since_ms: now_ms });
            turns.push(Turn { flow: flow.name.clone(), between: flow.between.clone(), cause });
        } else if now_ms - at_ms >= PATIENCE_MS && in_the_way.iter().all(|run| now_ms - run.since_ms < LONG_RUN_MS) {
            kept.extend(flow.between.iter().map(|name| (cause, name.clone())));
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::super::timetable::tests::flow;
    use super::super::timetable::{Blocked, End, LastRun};
    use super::*;

    /// A flow that has been due since a moment.
    fn due(name: &str, left: &str, right: &str, at_ms: i64) -> Flow {
        let last = LastRun { started_at_ms: at_ms - 60_000, ended_at_ms: at_ms - 50_000, end: End::Done };
        Flow { between: [left.to_owned(), right.to_owned()], last: Some(last), ..flow(name) }
    }

    fn asked(flow: Flow, at_ms: i64) -> Flow {
        Flow { asked_at_ms: at_ms, ..flow }
    }

    fn going(name: &str, left: &str, right: &str, since_ms: i64) -> Running {
        let between = [left.to_owned(), right.to_owned()];
        Running { flow: name.to_owned(), between, cause: Cause::Scheduled, since_ms }
    }

    fn check(what: &str, flows: &[Flow], running: &[Running], expected: &[&str]) {
        let turns = next_turns(flows, running, 1_000_000);
        let names: Vec<String> = turns
            .iter()
            .map(|turn| if turn.cause == Cause::Asked { format!("{}!", turn.flow) } else { turn.flow.clone() })
            .collect();
        assert_eq!(names, expected, "{what}");
    }

    #[test]
    fn turns_are_taken_by_connection() {
        let apart = [due("x", "a", "b", 900_000), due("y", "c", "d", 950_000)];
        check("nothing shared", &apart, &[], &["x", "y"]);
        let shared = [due("x", "a", "b", 990_000), due("y", "b", "c", 980_000)];
        check("who is due for longer", &shared, &[], &["y"]);
        check("a slow run elsewhere", &shared, &[going("slow", "d", "e", 0)], &["y"]);
        check("one connection is busy", &shared, &[going("slow", "c", "e", 0)], &["x"]);
        check("it runs already", &[due("x", "a", "b", 0)], &[going("x", "a", "b", 0)], &[]);
        check("not due yet", &[due("x", "a", "b", 1_000_001)], &[], &[]);
    }

    #[test]
    fn people_go_first_and_beside_scheduled_runs() {
        let flows = [due("x", "a", "b", 100_000), asked(due("y", "b", "c", 2_000_000), 999_000)];
        check("both at once", &flows, &[], &["y!", "x"]);
        check("beside a scheduled run", &flows[1..], &[going("slow", "b", "c", 0)], &["y!"]);
        let two = [asked(due("x", "a", "b", 0), 999_000), asked(due("y", "b", "c", 0), 998_000)];
        check("two people take turns", &two, &[], &["y!"]);
        check("but not twice at once", &[asked(due("x", "a", "b", 0), 1)], &[going("x", "a", "b", 0)], &[]);
    }

    #[test]
    fn who_waits_for_long_gets_the_next_free_moment() {
        let flows = [due("long", "a", "b", 900_000), due("young", "b", "c", 999_000)];
        check("kept for it", &flows, &[going("r", "a", "d", 999_000)], &[]);
        check("not behind a run of hours", &flows, &[going("r", "a", "d", 100_000)], &["young"]);
        let young = [due("late", "a", "b", 990_000), due("young", "b", "c", 999_000)];
        check("not before it has waited", &young, &[going("r", "a", "d", 999_000)], &["young"]);
    }

    #[test]
    fn what_may_not_run_takes_nobodys_turn() {
        let blocked = Flow { blocked: Some(Blocked::NotApproved), ..due("x", "a", "b", 0) };
        let paused = Flow { paused_at_ms: 1, ..due("y", "a", "b", 0) };
        let quota = Flow { blocked: Some(Blocked::Quota("a".into(), 0)), ..due("z", "a", "b", 0) };
        check("only the good one", &[blocked, paused, quota, due("good", "a", "b", 999_999)], &[], &["good"]);
    }

    #[test]
    fn a_process_has_its_limit() {
        let flows: Vec<Flow> =
            (0..40).map(|n| due(&format!("f{n:02}"), &format!("l{n}"), &format!("r{n}"), 0)).collect();
        assert_eq!(next_turns(&flows, &[], 1_000_000).len(), RUNS_MAX);
    }
}
