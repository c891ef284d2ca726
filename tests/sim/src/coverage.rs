//! Which trouble has met which step of a run.

use std::collections::BTreeMap;
use std::fmt;

use crate::faults::FaultKind;

/// One step of a run: remote calls by themselves, steps of the store by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    Recover,
    Pull,
    Stage,
    Match,
    Decide,
    Outbox,
    Fetch,
    Admit,
    Push,
    Settle,
    Find,
    Check,
    Count,
    Sweep,
    Lease,
    Report,
}

impl Step {
    pub(crate) const ALL: &[Step] = &[
        Step::Recover,
        Step::Pull,
        Step::Stage,
        Step::Match,
        Step::Decide,
        Step::Outbox,
        Step::Fetch,
        Step::Admit,
        Step::Push,
        Step::Settle,
        Step::Find,
        Step::Check,
        Step::Count,
        Step::Sweep,
        Step::Lease,
        Step::Report,
    ];

    /// Steps that a run does not come to often: a point among all points seldom meets them.
    pub(crate) const RARE: &[Step] = &[
        Step::Find,
        Step::Find,
        Step::Find,
        Step::Check,
        Step::Count,
        Step::Sweep,
        Step::Recover,
        Step::Match,
        Step::Report,
    ];

    /// The step that a remote call or a step of the store, by its name, is part of.
    pub(crate) fn of(name: &str) -> Step {
        match name {
            "recover_intents" | "touch_left_out" | "touch_referenced" | "unknown_intents" | "arrived_creates"
            | "doubtful_creates" | "unlinked_since" => Step::Recover,
            "pull" => Step::Pull,
            "cursor" | "stage_page" | "reset_cursor" => Step::Stage,
            "unseen_records" | "adopt_mapping" | "match_staged" | "rekey" | "refresh_pairings" => Step::Match,
            "next_units" | "linked_to" | "referenced" | "commit_decisions" | "not_listed" => Step::Decide,
            "due_intents" | "partnered_records" | "next_due_ms" | "staged_records" | "inbox_record" => Step::Outbox,
            "fetch" => Step::Fetch,
            "admit_intents" => Step::Admit,
            "push" => Step::Push,
            "settle_intents" => Step::Settle,
            "find" => Step::Find,
            "check" => Step::Check,
            "count" => Step::Count,
            "stage_held_removals"
            | "removal_count"
            | "asked_count"
            | "unmarked_linked"
            | "known_records"
            | "held_of"
            | "hold_removals"
            | "release_removals"
            | "survivors"
            | "marked_and_back"
            | "known_ids"
            | "set_swept" => Step::Sweep,
            "renew_lease" => Step::Lease,
            _ => Step::Report,
        }
    }

    pub(crate) fn is_remote(self) -> bool {
        matches!(self, Step::Pull | Step::Fetch | Step::Push | Step::Find | Step::Check | Step::Count)
    }

    fn name(self) -> &'static str {
        match self {
            Step::Recover => "recover",
            Step::Pull => "pull",
            Step::Stage => "stage",
            Step::Match => "match",
            Step::Decide => "commit",
            Step::Outbox => "outbox",
            Step::Fetch => "fetch",
            Step::Admit => "admit",
            Step::Push => "push",
            Step::Settle => "settle",
            Step::Find => "find",
            Step::Check => "check",
            Step::Count => "count",
            Step::Sweep => "sweep",
            Step::Lease => "lease",
            Step::Report => "report",
        }
    }
}

/// How often each trouble met each step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(FaultKind, Step), u64>);

impl Coverage {
    pub(crate) fn hit(&mut self, kind: FaultKind, step: Step) {
        *self.0.entry((kind, step)).or_default() += 1;
    }

    /// Adds what another world saw.
    pub fn add(&mut self, other: &Coverage) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    /// Cells that were met, and cells that can be.
    pub fn cells(&self) -> (usize, usize) {
        let possible = FaultKind::ALL.iter().flat_map(|&kind| {
            Step::ALL.iter().filter(move |&&step| kind.can_happen_in(step)).map(move |&step| (kind, step))
        });
        let possible: Vec<_> = possible.collect();
        (possible.iter().filter(|cell| self.0.contains_key(*cell)).count(), possible.len())
    }

    /// Cells that can be met and were not, for people.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for &kind in FaultKind::ALL {
            for &step in Step::ALL {
                if kind.can_happen_in(step) && !self.0.contains_key(&(kind, step)) {
                    missing.push(format!("{} in {}", kind.name(), step.name()));
                }
            }
        }
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18}", "trouble, met in")?;
        for step in Step::ALL {
            write!(f, "{:>8}", step.name())?;
        }
        for &kind in FaultKind::ALL {
            write!(f, "\n{:<18}", kind.name())?;
            for &step in Step::ALL {
                match self.0.get(&(kind, step)) {
                    Some(count) => write!(f, "{count:>8}")?,
                    None if kind.can_happen_in(step) => write!(f, "{:>8}", "MISSED")?,
                    None => write!(f, "{:>8}", "-")?,
                }
            }
        }
        let reasons = FaultKind::ALL
            .iter()
            .filter_map(|kind| Some((kind, Step::ALL.iter().find_map(|&step| kind.why_never(step))?)));
        for (kind, why) in reasons {
            write!(f, "\n- of {}: {why}", kind.name())?;
        }
        for missed in self.missing() {
            write!(f, "\nMISSED: {missed}")?;
        }
        Ok(())
    }
}
