//! A trial run: a few records of each kind are written, so that people can look at them in both CRMs; the rest stays staged.

use crmsync_core::Side;
use crmsync_core::decide::Operation;

use super::plan::Decided;

/// Created on the left, created on the right, changed.
const KINDS: usize = 3;

/// What a trial may still write.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Records or pairs of the whole run.
    left: usize,
    /// Module pairs that have not had their turn.
    pairs: usize,
    /// Records or pairs of the module pair whose turn it is.
    share: usize,
    /// Of these, how many of each kind before the others have had theirs.
    kinds: [usize; KINDS],
}

impl Trial {
    pub(super) fn new(records: usize, pairs: usize) -> Trial {
        Trial { left: records, pairs, share: 0, kinds: [0; KINDS] }
    }

    /// The next module pair gets its share, each kind an equal part of it.
    pub(super) fn begin_pair(&mut self) {
        self.share = self.left.div_ceil(self.pairs.max(1));
        self.pairs = self.pairs.saturating_sub(1);
        self.kinds = [self.share.div_ceil(KINDS); KINDS];
    }

    /// What some kinds did not use is for all.
    pub(super) fn lift_kinds(&mut self) {
        self.kinds = [self.share; KINDS];
    }

    /// Nothing more is written in this module pair.
    pub(super) fn is_over(&self) -> bool {
        self.share == 0
    }

    /// Whether this unit belongs to the trial; then it counts.
    pub(super) fn takes(&mut self, unit: &Decided) -> bool {
        let Some(write) = unit.decision.writes.first() else { return false };
        let kind = match (write.operation, write.side) {
            (Operation::Create, Side::Left) => 0,
            (Operation::Create, Side::Right) => 1,
            (Operation::Update, _) => 2,
            // A trial shows what a sync writes; nothing is deleted for a try.
            (Operation::Mark | Operation::Unmark | Operation::Delete, _) => return false,
        };
        let takes = self.share > 0 && self.kinds[kind] > 0;
        if takes {
            self.share -= 1;
            self.left -= 1;
            self.kinds[kind] -= 1;
        }
        takes
    }
}
