//! What can go wrong, and where.

use crate::coverage::Step;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// The host is killed.
    Crash,
    /// The host stops, another one takes over, and the first one goes on with its old fencing token.
    Freeze,
    /// A server error.
    ServerError,
    /// The CRM asks to wait.
    RateLimit,
    /// The token has expired and cannot be renewed now.
    LoggedOut,
    /// The connector breaks down.
    Breakdown,
    /// The place in the stream of changes is no longer known.
    CursorExpired,
    /// A record twice in one page, or a page twice.
    Duplicated,
    /// A page as the CRM was some seconds ago.
    Stale,
    /// A page in another order.
    Reordered,
    /// A whole read says that it was not whole.
    Incomplete,
    /// A record is not found once, and is there.
    Flicker,
    /// The request never arrived, and nobody knows.
    Lost,
    /// It was carried out, and the answer was cut.
    Cut,
    /// It is carried out when everybody has gone.
    Late,
    /// The connector does not get to it.
    NotSent,
    /// No connection: nothing has left.
    NoLine,
    /// People work while the call is under way.
    People,
}

impl FaultKind {
    pub(crate) const ALL: &[FaultKind] = &[
        FaultKind::Crash,
        FaultKind::Freeze,
        FaultKind::ServerError,
        FaultKind::RateLimit,
        FaultKind::LoggedOut,
        FaultKind::Breakdown,
        FaultKind::CursorExpired,
        FaultKind::Duplicated,
        FaultKind::Stale,
        FaultKind::Reordered,
        FaultKind::Incomplete,
        FaultKind::Flicker,
        FaultKind::Lost,
        FaultKind::Cut,
        FaultKind::Late,
        FaultKind::NotSent,
        FaultKind::NoLine,
        FaultKind::People,
    ];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FaultKind::Crash => "crash",
            FaultKind::Freeze => "zombie",
            FaultKind::ServerError => "server error",
            FaultKind::RateLimit => "rate limit",
            FaultKind::LoggedOut => "token expired",
            FaultKind::Breakdown => "connector breaks",
            FaultKind::CursorExpired => "cursor expired",
            FaultKind::Duplicated => "duplicated page",
            FaultKind::Stale => "stale page",
            FaultKind::Reordered => "reordered page",
            FaultKind::Incomplete => "incomplete scan",
            FaultKind::Flicker => "absent once",
            FaultKind::Lost => "lost request",
            FaultKind::Cut => "cut answer",
            FaultKind::Late => "late commit",
            FaultKind::NotSent => "not sent",
            FaultKind::NoLine => "no connection",
            FaultKind::People => "people meanwhile",
        }
    }

    /// Why it can never happen in this step; none if it can.
    pub(crate) fn why_never(self, step: Step) -> Option<&'static str> {
        let (happens, why) = match self {
            FaultKind::Crash | FaultKind::Freeze => (true, ""),
            FaultKind::ServerError | FaultKind::RateLimit | FaultKind::LoggedOut | FaultKind::Breakdown => {
                (step.is_remote(), "only calls to a CRM fail so; a step of the store is on the host's own disk")
            }
            FaultKind::CursorExpired
            | FaultKind::Duplicated
            | FaultKind::Stale
            | FaultKind::Reordered
            | FaultKind::Incomplete => (step == Step::Pull, "only a listing has pages and a cursor"),
            FaultKind::Flicker => (step == Step::Fetch, "only a read by id says that a record is absent"),
            FaultKind::Lost | FaultKind::Cut | FaultKind::Late | FaultKind::NotSent | FaultKind::NoLine => (
                step == Step::Push,
                "only a write can have been carried out or not; a read that is lost is an error like others",
            ),
            FaultKind::People => (
                matches!(step, Step::Pull | Step::Fetch | Step::Push),
                "only these calls deal with records; people at another moment are people between two of them",
            ),
        };
        (!happens).then_some(why)
    }

    pub(crate) fn can_happen_in(self, step: Step) -> bool {
        self.why_never(step).is_none()
    }
}
