//! Planted bugs. Each is one that somebody could make, at the place where it would be made, and the test suite has to find it: a suite that
//! does not bite proves nothing. They are switched on at run time, one at a time and for one thread, and only where the feature
//! `simulation` is on; elsewhere [`is_on`] is a constant.

macro_rules! sabotages {
    ($($(#[doc = $story:literal])+ $name:ident,)*) => {
        /// One planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Sabotage {
            $($(#[doc = $story])+ $name,)*
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Sabotage] = &[$(Sabotage::$name),*];

            /// Its name, for people and command lines.
            pub fn name(self) -> &'static str {
                match self {
                    $(Sabotage::$name => stringify!($name),)*
                }
            }

            /// What it does.
            pub fn story(self) -> &'static str {
                match self {
                    $(Sabotage::$name => concat!($($story),+).trim_ascii(),)*
                }
            }
        }
    };
}

sabotages! {
    /// An edit is held against the left side's base, whichever side it is on.
    OneBaseForBothSides,
    /// What a side still has to be told is forgotten when its write was withdrawn.
    ForgetDebts,
    /// The record that was saved last wins, whether it was edited or not.
    CompareTimes,
    /// A blank replaces a value in a first sync.
    BlankWins,
    /// A first sync that only fills blanks replaces values as well.
    FillReplaces,
    /// A write that changes nothing is sent.
    WriteWhatStands,
    /// The value that lost a conflict is not kept in the log.
    LoserIsForgotten,
    /// A mark stays in a record whose counterpart came back.
    MarkStays,
    /// A converted record is taken for one that simply left.
    ConvertedIsGone,
    /// A merged record is taken for a deleted one.
    MergedIsDeleted,
    /// A delete goes over an edit of the other side.
    DeleteAgainstEdit,
    /// Our own write coming back counts as an edit.
    EchoIsEdit,
    /// What the CRM made of our write counts as an edit.
    ReceiptIsForgotten,
    /// The receipt of any write tells what the CRM made of all that was ever sent.
    OneReceiptForAll,
    /// A side's own entries get lost when two lists are joined.
    UnionWithoutOwn,
    /// Records without an address have the same address.
    BlanksMatch,
    /// Names that contradict are no reason to doubt.
    MatchByMailAlone,
    /// One of several records of a key is taken.
    GuessAmongSeveral,
    /// Any number of records may leave at once.
    NoSafetyStop,
    /// A consent covers whatever is deleted afterwards.
    ConsentCoversAll,
    /// Attempts are not counted.
    RetryForEver,
    /// A write that nobody answered is simply sent again.
    RetryAfterCut,
    /// The cursor is saved before the records of its page.
    CursorMovesEarly,
    /// An expired cursor means that there is no news.
    ExpiredIsNoNews,
    /// A scan that says it is incomplete is believed to be whole.
    IncompleteIsWhole,
    /// What changed while the login did not see it is not looked for.
    HiddenIsSkipped,
    /// What is absent is deleted, whatever speaks against it.
    TrustAbsence,
    /// What a login sees may shrink without a word.
    IgnoreScope,
    /// All records may leave at once.
    AllMayLeave,
    /// What was absent once is gone.
    NoSecondLook,
    /// The outcome of a write is looked for while it can still be committed.
    SkipQuiesce,
    /// A record with our key that arrives by itself is somebody else's.
    ForgetArrivals,
    /// A first sync replaces what no preview listed.
    IgnoreListing,
    /// A first sync may grow after it was approved.
    IgnoreApproval,
    /// A first sync deletes.
    FirstSyncDeletes,
    /// A record is not read again before it is overwritten.
    WriteUnread,
    /// An update names no version that it is for.
    NoCondition,
    /// One record that breaks the connector stops the others.
    PoisonStopsAll,
    /// A record that breaks the connector ends the portion for those behind it.
    PoisonIsIdle,
    /// A create carries no key of ours.
    CreateWithoutKey,
    /// A field that was not read is empty.
    AbsentIsEmpty,
    /// A delete goes out although its reason came back.
    DeleteWhatCameBack,
    /// What a deleted record showed is not kept.
    NoPreImage,
    /// A row that was taken out of the mapping keeps its agreement.
    RowsAreRemembered,
    /// What one side shows is not kept while the other side's field cannot be read.
    HalfReadIsForgotten,
    /// A field that is away for a while loses its agreement.
    PauseForgets,
    /// Whoever held the lease once may commit.
    IgnoreTheFence,
    /// Nothing on disk says that a write has left.
    DropTheIntent,
    /// What was admitted and never answered counts as never sent.
    AdmittedIsUnsent,
    /// A write that arrived pays whatever is owed by now.
    ArrivalPaysDebts,
    /// A receipt pays no debt.
    DebtStays,
    /// A withdrawn write is not decided again.
    WithdrawnIsForgotten,
    /// What an earlier run planned and did not send is not decided again.
    UnsentIsForgotten,
    /// A create is repeated although its source was linked meanwhile.
    CreateWhatIsLinked,
    /// A record that is linked already is linked once more.
    LinkTwice,
    /// Two edits of one second are one.
    OneVersionASecond,
    /// What comes back from the bin is a new record.
    BackIsNew,
    /// A new mapping row waits until somebody edits.
    NewRowsAreIgnored,
    /// A create of an earlier run counts rows as sent that the mapping has lost.
    OldRowsAreSent,
    /// News of both sides are agreed on anew although one of them was not read.
    NewsAreAdoptedUnread,
    /// Nothing is read again for a row that is new to a link.
    NewRowsAreUnread,
    /// There is room for one mark in a link.
    OneMark,
    /// Nothing is saved about a converted record.
    ConvertedIsForgotten,
    /// A write that nobody answered leaves no line in the log.
    UnansweredIsUnlogged,
    /// A create whose record a login cannot see did not happen.
    UnseenIsUncreated,
    /// A copy of ours is not known again by the key in it.
    CopiesAreStrangers,
    /// A mark that nobody answered is there.
    DoubtedMarkStands,
    /// Who comes back as the other one leaves is deleted for that.
    CrossingIsDelete,
    /// What differed, and is replaced by an edit of the other side, is not kept in the log.
    DifferingIsForgotten,
    /// Where records differ is forgotten as both leave.
    DifferencesAreForgotten,
    /// A mark makes people forget where its record differs.
    MarkHidesDifferences,
    /// A staged record is looked up by its id, whosever it is.
    RecordOfAnybody,
    /// A call is repeated at once, whatever the CRM asks for.
    NoPatience,
    /// A write that has to wait is sent at once.
    SendEarly,
    /// The limiter counts calls, and lets them through.
    LimiterLetsThrough,
}

#[cfg(feature = "simulation")]
mod switch {
    use std::cell::Cell;

    use super::Sabotage;

    thread_local! {
        static PLANTED: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    /// Switches a bug on for this thread, or all off.
    pub fn plant(sabotage: Option<Sabotage>) {
        PLANTED.set(sabotage);
    }

    /// What is on in this thread: a thread that works for another one takes it over.
    pub fn planted() -> Option<Sabotage> {
        PLANTED.get()
    }

    /// Whether this bug is on.
    pub fn is_on(sabotage: Sabotage) -> bool {
        PLANTED.get() == Some(sabotage)
    }
}

#[cfg(not(feature = "simulation"))]
mod switch {
    use super::Sabotage;

    /// Nothing can be planted here.
    pub const fn plant(_sabotage: Option<Sabotage>) {}

    /// Nothing is planted here.
    pub const fn planted() -> Option<Sabotage> {
        None
    }

    /// No bug is on here.
    pub const fn is_on(_sabotage: Sabotage) -> bool {
        false
    }
}

pub use switch::{is_on, plant, planted};
