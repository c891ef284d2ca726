//! What a seed stands for: the kind of world, and the events that happen in it. Each event draws from its own numbers, so that dropping
//! one leaves the others what they are.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_core::{DeletePolicy, FirstSync, Side};
use crmsync_sandbox::rng::Rng;

use crate::coverage::Step;
use crate::crm::Habits;
use crate::pulse::{Counted, End};

/// Events of each seed.
pub const EVENTS: usize = 240;
/// Points of a long run, about.
const POINTS: usize = 260;

/// Points of a step that a run does not come to often.
const RARE_POINTS: usize = 4;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A person does one thing.
    Act,
    /// Time goes by.
    Pass,
    /// A flow runs.
    Run { end: End, one_in: usize },
    /// Somebody changes the mapping.
    Mapping,
    /// An administrator changes a field.
    Schema,
    /// An administrator changes what the login may see.
    Sight,
    /// All cursors of a CRM expire.
    Expire,
    /// A CRM's token expires.
    LogOut,
}

/// What is taken out of a seed's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Only so many events; none for all.
    pub events: Option<usize>,
    /// Without these.
    pub without: BTreeSet<usize>,
    /// Only so many records to begin with.
    pub records: Option<usize>,
    /// Runs of these events are killed, or freeze, at this point and not where they would be.
    pub points: BTreeMap<usize, usize>,
}

/// The kind of one world.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) seed: u64,
    pub(crate) habits: Vec<Habits>,
    pub(crate) deletes: DeletePolicy,
    pub(crate) winner: Side,
    pub(crate) newest: bool,
    pub(crate) first_sync: FirstSync,
    /// Records to begin with.
    pub(crate) records: usize,
    /// The first sync is previewed and approved.
    pub(crate) approves: bool,
    /// Somebody types what breaks connectors.
    pub(crate) poison: bool,
    /// Runs wait for a CRM that asks for some time.
    pub(crate) waits: bool,
}

impl Kind {
    pub(crate) fn of(seed: u64) -> Kind {
        let mut rng = Rng::fork(seed, "kind");
        let mut skew_ms = || [0, 0, -90_000, 45_500, 120_000][rng.below(5)];
        let left = Habits {
            name: "left",
            strict: true,
            keyless: false,
            text_max: 1_000,
            trims: seed % 7 == 5,
            capitals: (seed % 5 == 4).then_some("Phone"),
            skew_ms: skew_ms(),
        };
        let right = Habits {
            name: "right",
            strict: false,
            keyless: seed % 3 == 2,
            text_max: 24,
            trims: seed.is_multiple_of(2),
            capitals: (seed % 5 == 2).then_some("Note"),
            skew_ms: skew_ms(),
        };
        let third = Habits { name: "third", keyless: false, skew_ms: skew_ms(), ..right.clone() };
        let mut habits = vec![left, right];
        if seed % 4 == 1 {
            habits.push(third);
        }
        let mut rng = Rng::fork(seed, "records");
        Kind {
            seed,
            habits,
            deletes: [DeletePolicy::Report, DeletePolicy::Recycle, DeletePolicy::Mark, DeletePolicy::Recycle]
                [(seed / 6) as usize % 4],
            // The right side cuts texts: it wins in every other world.
            winner: if seed.is_multiple_of(2) { Side::Left } else { Side::Right },
            newest: seed % 5 == 3,
            first_sync: [FirstSync::FillEmpty, FirstSync::FillEmpty, FirstSync::Winner, FirstSync::Ask]
                [(seed / 3) as usize % 4],
            records: 15 + rng.below(15),
            approves: seed % 3 != 1,
            poison: seed % 8 == 7,
            waits: seed % 6 == 3,
        }
    }

    /// The event with this number.
    pub(crate) fn event(&self, number: usize) -> Event {
        let mut rng = Rng::fork(self.seed, &format!("event {number}"));
        match rng.below(100) {
            0..56 => Event::Act,
            56..66 => Event::Pass,
            66..88 => {
                let points = if self.counted(number) == Counted::All { POINTS } else { RARE_POINTS };
                let end = match rng.below(10) {
                    0..5 => End::Killed(rng.below(points)),
                    5 | 6 => End::Frozen(rng.below(points)),
                    _ => End::Whole,
                };
                Event::Run { end, one_in: 2 + rng.below(40) }
            }
            88..91 => Event::Mapping,
            91..94 => Event::Schema,
            94..96 => Event::Sight,
            96..98 => Event::Expire,
            _ => Event::LogOut,
        }
    }

    /// What the point is counted by at which the run of this event is killed, or freezes.
    pub(crate) fn counted(&self, number: usize) -> Counted {
        let mut rng = self.chance(number, "counted");
        if rng.chance(20) { Counted::In(*rng.pick(Step::RARE)) } else { Counted::All }
    }

    /// Chance for what an event does.
    pub(crate) fn chance(&self, number: usize, what: &str) -> Rng {
        Rng::fork(self.seed, &format!("{what} {number}"))
    }
}

/// The point at which the run of this event is killed or freezes, if it is one that does.
pub(crate) fn stops(seed: u64, number: usize) -> Option<usize> {
    match Kind::of(seed).event(number) {
        Event::Run { end: End::Killed(point) | End::Frozen(point), .. } => Some(point),
        _ => None,
    }
}

impl Cut {
    /// The words after `--replay` that stand for this cut.
    pub fn words(&self) -> String {
        let mut words = String::new();
        if let Some(events) = self.events {
            words.push_str(&format!(" --events {events}"));
        }
        let happens = |event: &usize| self.events.is_none_or(|events| *event < events);
        let without: Vec<usize> = self.without.iter().copied().filter(happens).collect();
        if !without.is_empty() {
            words.push_str(&format!(" --without {}", ranges(&without)));
        }
        if let Some(records) = self.records {
            words.push_str(&format!(" --records {records}"));
        }
        if !self.points.is_empty() {
            let points: Vec<String> = self.points.iter().map(|(event, point)| format!("{event}={point}")).collect();
            words.push_str(&format!(" --points {}", points.join(",")));
        }
        words
    }
}

/// Numbers in order, as `1-3,7`.
fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let spelled = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    spelled.collect::<Vec<_>>().join(",")
}

/// The numbers of `1-3,7`.
///
/// # Errors
/// Something in it is no number.
pub fn parse_ranges(text: &str) -> Result<BTreeSet<usize>, String> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is no number"));
    let mut numbers = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(number(first)?..=number(last)?);
    }
    Ok(numbers)
}

/// The points of `12=3,40=0`: by event.
///
/// # Errors
/// Something in it is no pair of numbers.
pub fn parse_points(text: &str) -> Result<BTreeMap<usize, usize>, String> {
    let pairs = text.split(',').filter(|part| !part.is_empty()).map(|part| {
        let pair = part.split_once('=').and_then(|(event, point)| Some((event.parse().ok()?, point.parse().ok()?)));
        pair.ok_or_else(|| format!("`{part}` is no `event=point`"))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_spelled_as_they_are_read() {
        let numbers = [0, 1, 2, 5, 7, 8];
        assert_eq!(ranges(&numbers), "0-2,5,7-8");
        assert_eq!(parse_ranges("0-2,5,7-8"), Ok(numbers.into_iter().collect()));
        assert!(parse_ranges("x").is_err() && parse_points("3").is_err());
        let cut = Cut { events: Some(7), without: [1, 2, 9].into(), records: Some(3), points: [(4, 0)].into() };
        assert_eq!(cut.words(), " --events 7 --without 1-2 --records 3 --points 4=0");
        assert_eq!(Cut { without: [1, 2, 9].into(), ..Cut::default() }.words(), " --without 1-2,9");
    }
}
