//! Makes a failure small by living through it again and again: fewer events, fewer records, an earlier kill.

use crate::hunt::{Verdict, live};
use crate::plan::Cut;

/// So often a failing seed is tried again at most.
const TRIES_MAX: usize = 120;

/// The code of a violation: what it says before its first colon.
fn code(violation: &str) -> &str {
    violation.split(':').next().unwrap_or_default()
}

/// The smallest cut of a failing seed that was found, and what it comes to.
pub(crate) fn shrink(found: &Verdict, cut: &Cut) -> (Cut, Verdict) {
    let wanted = found.violations.first().map(|violation| code(violation).to_owned()).unwrap_or_default();
    let mut shrinking = Shrinking { tries: 0, wanted, best: (cut.clone(), found.clone()) };
    let all = found.events;
    // Half of the events, a quarter of what is left, and so on, from the end.
    let mut step = all / 2;
    while step > 0 {
        let events = shrinking.events();
        if events <= step || !shrinking.holds(|cut| cut.events = Some(events - step)) {
            step /= 2;
        }
    }
    let mut chunk = (shrinking.events() / 2).max(1);
    loop {
        let mut at = shrinking.events();
        while at > 0 {
            let from = at.saturating_sub(chunk);
            if (from..at).any(|event| !shrinking.best.0.without.contains(&event)) {
                shrinking.holds(|cut| cut.without.extend(from..at));
            }
            at = from;
        }
        if chunk == 1 || shrinking.is_tired() {
            break;
        }
        chunk /= 2;
    }
    for records in [0, 1, 2, 4, 8] {
        if shrinking.holds(|cut| cut.records = Some(records)) {
            break;
        }
    }
    for event in 0..shrinking.events() {
        for point in [0, 1, 2, 4, 8, 16, 32, 64, 128] {
            let is_left =
                !shrinking.best.0.without.contains(&event) && crate::plan::stops(found.seed, event) > Some(point);
            if is_left && shrinking.holds(|cut| cut.points.extend([(event, point)])) {
                break;
            }
        }
    }
    shrinking.best
}

struct Shrinking {
    tries: usize,
    /// The code of what was found first: what is cut must not turn it into something else.
    wanted: String,
    best: (Cut, Verdict),
}

impl Shrinking {
    fn events(&self) -> usize {
        self.best.0.events.unwrap_or(self.best.1.events)
    }

    fn is_tired(&self) -> bool {
        self.tries >= TRIES_MAX
    }

    /// Whether it still fails, in the same way, when more is cut; then that is the new best.
    fn holds(&mut self, more: impl FnOnce(&mut Cut)) -> bool {
        if self.is_tired() {
            return false;
        }
        self.tries += 1;
        let mut cut = self.best.0.clone();
        more(&mut cut);
        let verdict = live(self.best.1.seed, &cut, false);
        let same = verdict.violations.iter().any(|violation| code(violation) == self.wanted);
        if same {
            self.best = (cut, verdict);
        }
        same
    }
}
