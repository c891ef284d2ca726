//! What people and programs can ask for, once for all ways of asking: connections, logins, flows. The command line calls it now, an API
//! and a console will. It holds no rules of its own: it opens what is needed, calls the room that decides, and turns every failure into
//! an answer that says what to do ([`Failure`]).

mod api;
mod attention;
mod connections;
mod effort;
mod failure;
mod flows;
mod guide;
mod identity;
mod keys;
mod links;
mod listing;
mod login;
mod manual;
mod operator;
mod outlook;
mod prepare;
mod quota;
mod record;
mod resolved;
mod rights;
mod samples;
mod schedule;
mod serve;
mod setup;
mod story;
mod tally;
mod trial;
mod undo;
mod upkeep;

pub use attention::{
    Answered, Attention, Candidate, FieldShown, PointFilter, PointShown, RecordInNeed, Said,
    decide as decide_attention, list as list_attention, points as attention_points, retry as retry_attention,
    show as show_attention,
};
pub use connections::{NewConnection, Revoked, Withdrawn, add, change, fields, list, receivers, remove, users};
pub use failure::{Failure, Kind};
pub use flows::{
    Applied, Checked, FlowSummary, ModuleSummary, RunRequest, apply, approve, approve_deletes, between,
    check as check_flow, document, list as list_flows, log, outcomes, preview, remove as remove_flow, run, runs, set,
    show,
};
pub use guide::{AnswerWord, Guide, guide};
pub use identity::check;
pub use links::{link, unlink};
pub use listing::{ListingPage, listing, listing_pages};
pub use login::{CALLBACK_PORT, Login, callback_address, login_with_code, login_with_session, parse_callback, scopes};
pub use manual::read_manual;
pub use outlook::{CreateSafety, Outlook};
pub use prepare::{Prepared, prepare};
pub use quota::{BudgetChange, KindUsage, Quota, quotas, set_budget};
pub use record::find_record;
pub use rights::refused_rights;
pub use samples::{Sample, samples};
pub use schedule::{Timetable, ask_for_run, pause, resume, set_debug};
pub use serve::{ServeOptions, Served, run_when_free, running_at};
pub use setup::{ConnectorInfo, SettingInfo, Wish, connectors, draft, modules_between};
pub use story::{Story, StoryLine, in_words, story};
pub use trial::{Tried, tried};
pub use undo::{settle, undo};
pub use upkeep::{DEBUG_LINES_MAX, debug_lines, remove_old};
