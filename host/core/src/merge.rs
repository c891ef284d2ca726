//! Two sides, each held against its own base.

use crate::decide::RowView;
use crate::mapping::MappingRow;
use crate::normalise::same;
use crate::record::Side;

/// What a three-way merge says about one mapping row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// No base yet: the first sync's rule decides (S5), or the row was not read on one side.
    First,
    /// Both sides show what they showed last, or the same edit was made on both.
    Settled,
    /// Only this side changed, or is still owed to the other one.
    Take(Side),
    /// Both changed, to different values.
    Conflict,
}

/// Merges one row.
///
/// Bases of another row hash are an agreement about something else (S12): the row is adopted like one of a first sync. What one side
/// showed last stays true all the same, so that an edit of one side alone, or a debt, is carried on and not swallowed by the adoption.
pub fn merge_row(row: &MappingRow, view: &RowView) -> Merged {
    let (left, right) = (view.has_news(Side::Left), view.has_news(Side::Right));
    let based = |hash: Option<u64>| {
        Side::BOTH.iter().all(|&side| {
            let field = view.side(side);
            field.base.as_ref().is_some_and(|base| {
                hash.is_none_or(|hash| base.row_hash == hash) && base.values.len() == field.shown.len()
            })
        })
    };
    if !based(Some(row.hash)) {
        return match (left, right) {
            (true, false) if based(None) => Merged::Take(Side::Left),
            (false, true) if based(None) => Merged::Take(Side::Right),
            _ => Merged::First,
        };
    }
    match (left, right) {
        (false, false) => Merged::Settled,
        (true, false) => Merged::Take(Side::Left),
        (false, true) => Merged::Take(Side::Right),
        (true, true) if agrees(row, view) => Merged::Settled,
        (true, true) => Merged::Conflict,
    }
}

/// Whether both sides mean the same: as they stand, or one carried over to the other. So a spelling that only a transform
/// would change, or a many-to-one table, is no difference.
pub fn agrees(row: &MappingRow, view: &RowView) -> bool {
    same(&view.left.shown, &view.right.shown, row.sameness)
        || Side::BOTH.iter().any(|&from| {
            view.side(from)
                .carried
                .values()
                .is_some_and(|carried| same(carried, &view.side(from.other()).shown, row.sameness))
        })
}
