//! The connector's place in a module's stream of changes.
//!
//! Format 1 is a JSON text. Zoho's change times have a resolution of one second, so a place is a second, and that second is always
//! read again; only if one second fills a whole page does a page token say where in it to go on.

use std::collections::BTreeMap;

use crmsync_plugin::{Cursor, Fault};
use serde::{Deserialize, Serialize};

use crate::convert::Shape;

/// Number of the format.
const FORMAT: u32 = 1;

/// Times that can be spelled: years 1 to 9999, in milliseconds since 1970.
const TIMES_MS: core::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_000;
/// Most records, passes or pages in a cursor.
const COUNT_MAX: u32 = 1 << 30;

/// A place, and what is needed to go on from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Everything that changed before this time has been listed; milliseconds since 1970. None: from the beginning.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(crate) since_ms: Option<i64>,
    /// Zoho's token for the next page of the second at `since_ms`.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) page_token: Option<String>,
    /// The second at `since_ms` has more records than a page, and is listed until that is sure to have shown them all.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(crate) big: Option<BigSecond>,
    /// From this time on the walk read what may not have been visible yet: it is read again afterwards; milliseconds since 1970.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsettled_since_ms: Option<i64>,
    /// Everything that was deleted before this time has been listed; milliseconds since 1970.
    #[serde(rename = "d")]
    pub(crate) deleted_since_ms: i64,
    /// A walk through the deleted records that is not at its end.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(crate) walk: Option<DeletedWalk>,
    /// The first walk from the beginning has not come to its end.
    #[serde(rename = "s", default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) scanning: bool,
    /// Shapes of the fields as they were last seen.
    #[serde(rename = "f", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) shapes: BTreeMap<String, Shape>,
}

/// A second with more records than a page, in the middle of being listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BigSecond {
    /// Records of the second that this pass has shown.
    #[serde(rename = "n")]
    pub(crate) shown: u32,
    /// Records that the pass before has shown.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u32>,
    /// Passes that have ended.
    #[serde(rename = "p", default)]
    pub(crate) passes: u32,
}

/// Where a walk through the deleted records goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletedWalk {
    /// Number of the next page.
    #[serde(rename = "n")]
    pub(crate) page: u32,
    /// What `deleted_since_ms` becomes at its end.
    #[serde(rename = "d")]
    pub(crate) then_since_ms: i64,
    /// When the last record of the pages before was deleted, as long as they came in the order of those times.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_ms: Option<i64>,
}

impl Place {
    /// The place that a cursor means.
    ///
    /// # Errors
    /// [`Fault::CursorExpired`] if the cursor is of another format, unreadable, or nothing that a walk can come to.
    pub(crate) fn of(cursor: &Cursor) -> Result<Place, Fault> {
        if cursor.format != FORMAT {
            return Err(Fault::CursorExpired);
        }
        let place: Option<Place> = serde_json::from_slice(&cursor.data).ok();
        place.filter(Place::is_plausible).ok_or(Fault::CursorExpired)
    }

    /// Whether all times have a spelling, pages are counted from 1, and all counts can grow.
    fn is_plausible(&self) -> bool {
        let walk = self.walk.as_ref();
        let times = [self.since_ms, self.unsettled_since_ms, walk.and_then(|walk| walk.last_ms)];
        let walked = walk.map(|walk| walk.then_since_ms);
        let mut times = times.into_iter().flatten().chain(walked).chain([self.deleted_since_ms]);
        let big = self.big.unwrap_or_default();
        let counts = [big.shown, big.before.unwrap_or(0), big.passes];
        times.all(|at_ms| TIMES_MS.contains(&at_ms))
            && counts.into_iter().all(|count| count <= COUNT_MAX)
            && walk.is_none_or(|walk| (1..=COUNT_MAX).contains(&walk.page))
    }

    /// The place as a cursor.
    pub(crate) fn into_cursor(self) -> Result<Cursor, Fault> {
        let data = serde_json::to_vec(&self).map_err(|error| Fault::other("cursor", error.to_string()))?;
        Ok(Cursor { format: FORMAT, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let shapes = BTreeMap::from([("Owner".to_owned(), Shape::Reference("Users".to_owned()))]);
        let place = Place { since_ms: Some(7_000), scanning: true, shapes, ..Place::default() };
        let cursor = place.clone().into_cursor().expect("JSON");
        assert_eq!(cursor.data, br#"{"t":7000,"d":0,"s":true,"f":{"Owner":{"r":"Users"}}}"#);
        assert_eq!(Place::of(&cursor), Ok(place));
    }

    #[test]
    fn unreadable_cursors_ask_for_a_scan() {
        let check = |format: u32, data: &[u8]| {
            assert_eq!(Place::of(&Cursor { format, data: data.to_vec() }), Err(Fault::CursorExpired));
        };
        check(2, b"{\"d\":0}");
        check(1, b"");
        check(1, b"{\"d\":\"soon\"}");
    }
}
