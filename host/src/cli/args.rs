//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::service::AnswerWord;

/// Keep two CRMs in step without losing, doubling or overwriting anything.
#[derive(Debug, Parser)]
#[command(name = "crmsync", version, max_term_width = 120, after_help = "Try it: crmsync demo")]
pub(super) struct Arguments {
    /// Folder of the database and its key
    #[arg(long, global = true, env = "CRMSYNC_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show everything with two sandbox CRMs: login, preview, approval, sync, edits, sync again
    Demo(DemoOptions),
    /// Run a sandbox CRM until it is stopped
    Sandbox(SandboxOptions),
    /// Ask what is needed, write the first flow file, apply and preview it
    #[command(
        after_help = "On a terminal it asks. Elsewhere: crmsync setup --name sales --between zoho,vtiger --winner zoho --module Contacts"
    )]
    Setup(SetupOptions),
    /// Let flows run by themselves, until it is stopped; with a status page and an API on this machine
    Serve(ServeArguments),
    /// Show what each connection may call and has called, or set it
    #[command(after_help = "Example: crmsync quota zoho --edition professional --reserve 40")]
    Quota(QuotaArguments),
    /// Add, log in and look into connections to CRMs
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Check, apply, preview, approve and run flows
    #[command(subcommand)]
    Flow(FlowCommand),
    /// Show what was written, where and why
    #[command(after_help = "Example: crmsync log sales --record 12x345")]
    Log(LogOptions),
    /// List, show and answer what needs a person
    #[command(subcommand)]
    Attention(AttentionCommand),
    /// Say that two records are the same
    #[command(after_help = "Example: crmsync link sales 5725767000000524157 12x240 --module Contacts")]
    Link(LinkOptions),
    /// Say that two linked records are not the same
    #[command(after_help = "Example: crmsync unlink sales 12x240")]
    Unlink(UnlinkOptions),
}

#[derive(Debug, Subcommand)]
pub(super) enum AttentionCommand {
    /// List what needs a person, by reason
    #[command(after_help = "Example: crmsync attention list sales --all")]
    List {
        /// The flow; all flows if left out
        flow: Option<String>,
        #[command(flatten)]
        filter: AttentionFilter,
    },
    /// Show all that is known of one record, and which answers fit
    #[command(after_help = "Example: crmsync attention show sales 12x240")]
    Show { flow: String, record: String },
    /// Answer for one record, or for all of a reason
    #[command(
        after_help = "Examples: crmsync attention decide sales link 12x240 --record 5725767000000524157\n          \
        crmsync attention decide sales take zoho --reason differs --field Phone --yes"
    )]
    Decide {
        flow: String,
        /// The answer
        #[arg(value_parser = answer_words())]
        answer: AnswerWord,
        /// The record of `link`, the connection of `take`
        with: Option<String>,
        #[command(flatten)]
        filter: AttentionFilter,
        /// Answer for more than one record
        #[arg(long)]
        yes: bool,
    },
    /// Try records again in the next run, after their cause was mended
    #[command(after_help = "Example: crmsync attention retry sales --reason refused-by-crm")]
    Retry {
        flow: String,
        #[command(flatten)]
        filter: AttentionFilter,
    },
}

/// Which open points are meant.
#[derive(Clone, Debug, Args)]
pub(super) struct AttentionFilter {
    /// Only this reason
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// Only this module
    #[arg(long)]
    pub(super) module: Option<String>,
    /// Only this field, by its API name on either side
    #[arg(long)]
    pub(super) field: Option<String>,
    /// Only where this value was left out
    #[arg(long)]
    pub(super) value: Option<String>,
    /// Only this record, by its id on either side; CONNECTION:ID or CONNECTION:MODULE/ID where several have it
    #[arg(long)]
    pub(super) record: Option<String>,
    /// Also what waits for nobody: fields left out, differences, removals, records that are not synced
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct LinkOptions {
    /// The flow
    pub(super) flow: String,
    /// Record of the flow's first connection
    pub(super) left: String,
    /// Record of the second one
    pub(super) right: String,
    /// Their module, if the flow has several
    #[arg(long)]
    pub(super) module: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct UnlinkOptions {
    /// The flow
    pub(super) flow: String,
    /// The record, by its id on either side; CONNECTION:ID or CONNECTION:MODULE/ID where several have it
    pub(super) record: String,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: crmsync serve --data /var/lib/crmsync")]
pub(super) struct ServeArguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8780", value_name = "ADDRESS:PORT")]
    pub(super) listen: SocketAddr,
    /// Listen also where other machines reach it. There is no user management yet: everybody there sees the status page
    #[arg(long)]
    pub(super) allow_remote: bool,
    /// Operator only: all flows run every so many seconds, whatever their files say
    #[arg(long = "every", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub(super) every_s: Option<u32>,
    /// How many seconds runs that are going on may take to end once it is stopped
    #[arg(long = "grace", value_name = "SECONDS", default_value_t = 20)]
    pub(super) grace_s: u32,
}

#[derive(Clone, Debug, Args)]
pub(super) struct QuotaArguments {
    /// Only this connection; needed to set something
    pub(super) connection: Option<String>,
    /// Operator only: the CRM's edition, where it does not say so itself; "" for what it says
    #[arg(long, requires = "connection")]
    pub(super) edition: Option<String>,
    /// Operator only: calls in any minute, 0 for no limit
    #[arg(long, requires = "connection", value_name = "CALLS")]
    pub(super) per_minute: Option<u32>,
    /// Operator only: calls, or credits where the CRM counts those, in any 24 hours; 0 for no limit
    #[arg(long, requires = "connection", value_name = "UNITS")]
    pub(super) per_day: Option<u64>,
    /// Operator only: percent of the day that scheduled runs leave to people and other programs (30)
    #[arg(long = "reserve", requires = "connection", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) reserve_percent: Option<u8>,
    /// Operator only: forget what was set, and go by the edition again
    #[arg(long, requires = "connection")]
    pub(super) reset: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: crmsync demo --records 2000 --seed 7 --json")]
pub(super) struct DemoOptions {
    /// Contacts on each side to begin with; organizations and leads follow, two of each for five contacts
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(super) records: u32,
    /// Decides every name, value and edit
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Leave the sandbox CRMs and the data folder as they are, for looking around, until Ctrl-C
    #[arg(long)]
    pub(super) keep_open: bool,
}

/// The CRMs that can be simulated.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SandboxKind {
    Zoho,
    Vtiger,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: crmsync sandbox zoho --listen 127.0.0.1:8081 --records 500 --seed 1")]
pub(super) struct SandboxOptions {
    /// Which CRM
    #[arg(value_enum)]
    pub(super) kind: SandboxKind,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub(super) listen: SocketAddr,
    /// Contacts to begin with
    #[arg(long, default_value_t = 500)]
    pub(super) records: usize,
    /// Organizations to begin with, instead of two for five contacts
    #[arg(long, value_name = "NUMBER")]
    pub(super) organizations: Option<usize>,
    /// Leads to begin with, instead of two for five contacts
    #[arg(long, value_name = "NUMBER")]
    pub(super) leads: Option<usize>,
    /// Families whose members share an e-mail address across both CRMs, instead of a few within one
    #[arg(long, value_name = "NUMBER")]
    pub(super) families: Option<usize>,
    /// Contacts that are twice in the other CRM, so that nobody can tell which is which, instead of three for 500
    #[arg(long, value_name = "NUMBER")]
    pub(super) doubles: Option<usize>,
    /// Decides every name, id and secret; two sandboxes with one seed hold the two sides of one population
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Named peculiarities, separated by commas. zoho: default, plain (no field for our keys), and settings such as credits=20 or
    /// token_life_s=60. vtiger: default, plain, keyless, repaired, own_sync, view_only, hidden=PERCENT, db_zone=+01:00
    #[arg(long, default_value = "default")]
    pub(super) profile: String,
    /// A fault plan (JSON)
    #[arg(long, value_name = "FILE")]
    pub(super) faults: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SetupOptions {
    /// Name of the flow
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The two connections
    #[arg(long, value_name = "ONE,OTHER")]
    pub(super) between: Option<String>,
    /// A module to sync; may be given more than once. Without: all that have default fields
    #[arg(long = "module", value_name = "MODULE")]
    pub(super) modules: Vec<String>,
    /// both, to-CONNECTION or off
    #[arg(long)]
    pub(super) direction: Option<String>,
    /// Whose value stays when both changed one field
    #[arg(long, value_name = "CONNECTION")]
    pub(super) winner: Option<String>,
    /// Matched records that differ: fill-empty, winner or ask
    #[arg(long)]
    pub(super) first_sync: Option<String>,
    /// Who owns new records whose owner has no counterpart
    #[arg(long, value_name = "CONNECTION=EMAIL", value_parser = pair)]
    pub(super) fallback: Vec<(String, String)>,
    /// The flow file to write; NAME.toml if it is not given
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// A file (TOML) with these answers: name, between, modules, direction, winner, first_sync, fallback, file
    #[arg(long, value_name = "FILE")]
    pub(super) answers: Option<PathBuf>,
    /// Apply the flow, and leave the preview for later
    #[arg(long)]
    pub(super) no_preview: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConnectionCommand {
    /// Add a connection, or change one
    #[command(
        after_help = "Example: crmsync connection add vtiger --plugin vtiger --set base_url=https://crm.acme.example \
        --set username=admin --secret access_key"
    )]
    Add(AddOptions),
    /// Log in and check
    #[command(after_help = "Example: crmsync connection login zoho")]
    Login(LoginOptions),
    /// Say how to make creates safe: the field for our keys, step by step
    #[command(after_help = "Example: crmsync connection prepare zoho Contacts")]
    Prepare {
        name: String,
        /// Only this module
        module: Option<String>,
    },
    /// Ask the CRM who and where we are, and which permissions are missing
    Check { name: String },
    /// Log in again, to the same organisation
    #[command(after_help = "Example: crmsync connection reconnect zoho")]
    Reconnect(LoginOptions),
    /// List the fields of a module: label, API name, type, what it demands, and which values it takes
    #[command(after_help = "Example: crmsync connection fields zoho Contacts --sample")]
    Fields {
        name: String,
        module: String,
        /// Show values of a few real records as well
        #[arg(long)]
        sample: bool,
    },
    /// List the users and groups of the CRM
    Users { name: String },
    /// List the connections
    List,
    /// Remove a connection with its secrets, and end its authorisation at the CRM if possible
    Remove { name: String },
}

#[derive(Clone, Debug, Args)]
pub(super) struct AddOptions {
    /// Name of the connection, used in flow files
    pub(super) name: String,
    /// Connector: zoho, vtiger
    #[arg(long)]
    pub(super) plugin: String,
    /// A setting, nothing secret
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) settings: Vec<(String, String)>,
    /// Name of a secret; its value is read from the environment variable CRMSYNC_SECRET_<NAME>, else asked for, else read as a line of stdin
    #[arg(long = "secret", value_name = "NAME")]
    pub(super) secrets: Vec<String>,
    /// Operator only: point an origin of the plugin to another address
    #[arg(long = "origin", value_name = "NAME=URL", value_parser = pair)]
    pub(super) origins: Vec<(String, String)>,
    /// Operator only: allow exactly this private, plain-http or odd-port address
    #[arg(long = "grant", value_name = "ADDRESS:PORT")]
    pub(super) grants: Vec<String>,
    /// Operator only: take the grant of an address back
    #[arg(long = "ungrant", value_name = "ADDRESS:PORT")]
    pub(super) ungrants: Vec<String>,
    /// Operator only: point an origin of the plugin back to its own address
    #[arg(long = "unset-origin", value_name = "NAME")]
    pub(super) unset_origins: Vec<String>,
}

/// Longest wait for a browser that logs in, in seconds.
const LOGIN_WAIT_S: u64 = 300;

#[derive(Clone, Debug, Args)]
pub(super) struct LoginOptions {
    /// The connection
    pub(super) name: String,
    /// Paste the final address of the browser instead of waiting for it, for example over SSH
    #[arg(long)]
    pub(super) paste: bool,
    /// Log in with a code that you made at the CRM's console (Zoho: API console, Self Client); no browser and no redirect
    #[arg(long, value_name = "CODE", conflicts_with_all = ["paste", "announce"])]
    pub(super) code: Option<String>,
    /// Print the address only, as one line of JSON, before waiting: for programs that log in by themselves
    #[arg(long, hide = true)]
    pub(super) announce: bool,
    /// Port of the callback on this machine; register http://127.0.0.1:PORT/callback with the CRM
    #[arg(long, default_value_t = crate::service::CALLBACK_PORT)]
    pub(super) callback_port: u16,
    /// Longest wait for the browser, in seconds
    #[arg(long, default_value_t = LOGIN_WAIT_S)]
    pub(super) wait_s: u64,
}

impl LoginOptions {
    /// A login as it is without flags.
    pub(super) fn of(name: String) -> LoginOptions {
        LoginOptions {
            name,
            paste: false,
            code: None,
            announce: false,
            callback_port: crate::service::CALLBACK_PORT,
            wait_s: LOGIN_WAIT_S,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum FlowCommand {
    /// Check a flow file against both CRMs, change nothing
    Check { file: PathBuf },
    /// Check a flow file and save it as the flow's next version
    Apply { file: PathBuf },
    /// List the flows
    List,
    /// Print the JSON Schema of flow files, for editors
    #[command(
        after_help = "Example: crmsync flow schema > flow.schema.json; then begin a file with: #:schema flow.schema.json"
    )]
    Schema,
    /// Change settings in a flow's stored file, comments kept, and apply it
    #[command(after_help = "Examples: crmsync flow set sales winner=vtiger\n          \
        crmsync flow set sales safety_stop.records=100 owners.fallback.zoho=office@acme.example Contacts.direction=to-vtiger\n          \
        crmsync flow set sales every=    (an empty value takes the setting out)")]
    Set {
        name: String,
        /// A setting; one of a module begins with the module's name
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
    /// Print a flow's file exactly as it was applied
    #[command(after_help = "Example: crmsync flow export sales --file sales.toml")]
    Export {
        name: String,
        /// Write it here instead
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print a flow's file, or its mapping
    #[command(after_help = "Example: crmsync flow show sales --mapping")]
    Show {
        name: String,
        /// Print the mapping rows instead of the file
        #[arg(long)]
        mapping: bool,
    },
    /// Read both CRMs and show what a run would do; with --list or --csv, show what the last preview listed
    #[command(after_help = "Example: crmsync flow preview sales --list replaced --csv replaced.csv")]
    Preview {
        name: String,
        /// List the last preview line by line: all, replaced, filled, created, linked, differs, left-out, waiting, needs-attention,
        /// out-of-scope, removed, or a reason such as more-than-one-match
        #[arg(long, value_name = "KIND")]
        list: Option<String>,
        /// At most so many lines
        #[arg(long, default_value_t = 50)]
        most: usize,
        /// Write the last preview's lines into a spreadsheet file
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
    },
    /// Approve the last preview, so that runs may write
    #[command(after_help = "Example: crmsync flow approve sales")]
    Approve {
        name: String,
        /// Approve the deletes that the safety stop holds instead, as `flow list` shows them; valid for these and for a day
        #[arg(long)]
        deletes: bool,
    },
    /// Run a flow once
    #[command(after_help = "Example: crmsync flow run sales")]
    Run {
        name: String,
        /// Look for removed records now, where the CRM does not announce them
        #[arg(long)]
        sweep: bool,
        /// Write at most so many records of all, a few of each kind, to look at them in both CRMs; the rest waits for the full run
        #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u16).range(1..=1_000))]
        trial: Option<u16>,
        /// How many seconds to wait for another run of the flow, for example one of `crmsync serve`
        #[arg(long = "wait", value_name = "SECONDS", default_value_t = 60)]
        wait_s: u32,
    },
    /// Let a flow no longer run by itself; a run that is going on ends by itself
    Pause { name: String },
    /// Let a flow run by itself again
    Resume { name: String },
    /// Keep what a flow's runs send, for a day: addresses, sizes and times, no values
    #[command(after_help = "Example: crmsync flow debug sales on, and then crmsync log sales --debug")]
    Debug {
        name: String,
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Show records and fields that are not simply in step, and why
    Outcomes { name: String },
    /// Take back what runs wrote, created and deleted, where nobody has changed it since
    #[command(after_help = "Example: crmsync flow undo sales --run 12")]
    Undo(UndoOptions),
    /// Settle conflicts anew that another winner had decided, after the winner was changed
    #[command(
        after_help = "Example: crmsync flow set sales winner=vtiger, preview and approve it, then crmsync flow settle sales"
    )]
    Settle(SettleOptions),
    /// Remove a flow and what it knows of linked records; the records and the sync log stay
    Remove { name: String },
}

/// On or off.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
}

#[derive(Clone, Debug, Args)]
pub(super) struct UndoOptions {
    /// The flow
    pub(super) name: String,
    /// Only what this run wrote
    #[arg(long, conflicts_with = "since")]
    pub(super) run: Option<i64>,
    /// Only what this run and all later ones wrote
    #[arg(long, value_name = "RUN")]
    pub(super) since: Option<i64>,
    /// Only this record, by its id on either side; CONNECTION:ID or CONNECTION:MODULE/ID where several have it
    #[arg(long)]
    pub(super) record: Option<String>,
    /// Only this field, by its API name on either side; records that were created or deleted stay as they are then
    #[arg(long)]
    pub(super) field: Option<String>,
    /// Write; otherwise it is only shown
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SettleOptions {
    /// The flow
    pub(super) name: String,
    /// Only conflicts of this run and all later ones
    #[arg(long, value_name = "RUN")]
    pub(super) since: Option<i64>,
    /// Only this record, by its id on either side; CONNECTION:ID or CONNECTION:MODULE/ID where several have it
    #[arg(long)]
    pub(super) record: Option<String>,
    /// Only this field, by its API name on either side
    #[arg(long)]
    pub(super) field: Option<String>,
    /// Write; otherwise it is only shown
    #[arg(long)]
    pub(super) yes: bool,
}

/// What a line of the sync log can be about.
const ACTIONS: [&str; 17] = [
    "linked",
    "created",
    "updated",
    "conflict",
    "removed",
    "marked",
    "unmarked",
    "deleted",
    "restored",
    "refused",
    "unknown",
    "parked",
    "attention",
    "decided",
    "unlinked",
    "undone",
    "settled",
];

#[derive(Clone, Debug, Args)]
pub(super) struct LogOptions {
    /// The flow
    pub(super) flow: String,
    /// Only this record, by its id on either side; CONNECTION:ID or CONNECTION:MODULE/ID where several have it
    #[arg(long)]
    pub(super) record: Option<String>,
    /// Only this run
    #[arg(long)]
    pub(super) run: Option<i64>,
    /// Only this action
    #[arg(long, value_parser = ACTIONS)]
    pub(super) action: Option<String>,
    /// Show the requests that debug mode kept instead
    #[arg(long, conflicts_with_all = ["record", "run", "action"])]
    pub(super) debug: bool,
    /// At most so many lines, the newest
    #[arg(long, default_value_t = 50)]
    pub(super) most: usize,
}

fn answer_words() -> impl TypedValueParser<Value = AnswerWord> {
    let words = AnswerWord::ALL.map(AnswerWord::as_str);
    PossibleValuesParser::new(words).try_map(|word| AnswerWord::parse(&word).ok_or("no answer"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
