//! The command line of the simulator.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use crmsync_core::sabotage::Sabotage;
use crmsync_sim::{Cut, Failure, Hunt, Ledger, bite, crash_points, hunt, live, parse_points, parse_ranges, scenarios};

#[derive(Debug, Parser)]
#[command(
    about = "Hunts for violations of the invariants, in simulated worlds",
    max_term_width = 120,
    after_help = "Example: cargo run -p crmsync-sim -- --minutes 30 --ledger /tmp/hunt.json"
)]
struct Arguments {
    /// Live through so many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long)]
    from: Option<u64>,
    /// Hunt for so long, however many seeds that are
    #[arg(long)]
    minutes: Option<f64>,
    /// A file that says where the last hunt ended; this one goes on there
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Live through one seed once more
    #[arg(long)]
    replay: Option<u64>,
    /// Only so many of its events
    #[arg(long, requires = "replay")]
    events: Option<usize>,
    /// Without these of its events, as 3,7-12
    #[arg(long, requires = "replay", default_value = "")]
    without: String,
    /// With so many records to begin with
    #[arg(long, requires = "replay")]
    records: Option<usize>,
    /// Killed or frozen at these points, as event=point
    #[arg(long, requires = "replay", default_value = "")]
    points: String,
    /// Live through the small worlds in which one thing happens
    #[arg(long)]
    scenarios: bool,
    /// Kill one scenario at each of its points, and at each ordered pair of them
    #[arg(long)]
    crash_points: bool,
    /// Plant each bug and look for what finds it, with at most --seeds seeds; or only the one that is named
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "NAME")]
    sabotages: Option<String>,
    /// Print everything that happens
    #[arg(long, requires = "replay")]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well.
fn run(arguments: &Arguments) -> Result<bool, String> {
    if let Some(seed) = arguments.replay {
        return replay(arguments, seed);
    }
    if arguments.scenarios {
        return Ok(tell_scenarios());
    }
    if arguments.crash_points {
        let report = crash_points(|_, _| true);
        println!("{report}");
        return Ok(report.wrong.is_empty());
    }
    if let Some(name) = &arguments.sabotages {
        return Ok(tell_sabotages(name, arguments.seeds));
    }
    let mut ledger = arguments.ledger.as_deref().map(Ledger::read).transpose()?.unwrap_or_default();
    let account = hunt(&Hunt {
        from: arguments.from.unwrap_or(ledger.next),
        seeds: if arguments.minutes.is_some() { u64::MAX } else { arguments.seeds },
        time: arguments.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)),
        tells: true,
    });
    println!("{account}");
    if let Some(path) = &arguments.ledger {
        ledger.add(&account, path)?;
        println!("all hunts: {} seeds, {} events, {:.0} s", ledger.seeds, ledger.events, ledger.seconds);
    }
    Ok(account.failure.is_none())
}

fn replay(arguments: &Arguments, seed: u64) -> Result<bool, String> {
    let cut = Cut {
        events: arguments.events,
        without: parse_ranges(&arguments.without)?,
        records: arguments.records,
        points: parse_points(&arguments.points)?,
    };
    let verdict = live(seed, &cut, arguments.verbose);
    print!("{}", verdict.lines.iter().fold(String::new(), |text, line| text + line + "\n"));
    println!("seed {seed}: {} events, {} points, trace {:016x}", verdict.events, verdict.points, verdict.trace);
    let is_clean = verdict.violations.is_empty();
    match is_clean {
        true => println!("violations: 0"),
        false => println!("violations: {}\n{}", verdict.violations.len(), Failure { verdict, cut }),
    }
    Ok(is_clean)
}

fn tell_scenarios() -> bool {
    let mut is_clean = true;
    for scenario in scenarios() {
        let wrong = (scenario.live)();
        is_clean &= wrong.is_empty();
        println!("{}: {}", scenario.name, if wrong.is_empty() { "ok".to_owned() } else { wrong.join("; ") });
    }
    is_clean
}

fn tell_sabotages(name: &str, seeds_max: u64) -> bool {
    // A bug may break a world; that is told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let mut survivors = 0;
    println!("{:<22} {:>6} {:>7}  found by", "planted bug", "seeds", "seconds");
    for &sabotage in Sabotage::ALL.iter().filter(|one| name.is_empty() || one.name() == name) {
        let bite = bite(sabotage, seeds_max);
        survivors += usize::from(bite.found.is_none());
        let (by, what) = bite.found.unwrap_or_else(|| ("NOTHING: it survives".into(), sabotage.story().into()));
        let what: String = what.chars().take(100).collect();
        println!("{:<22} {:>6} {:>7.1}  {by}: {what}", sabotage.name(), bite.seeds, bite.took.as_secs_f64());
    }
    println!("survivors: {survivors}");
    survivors == 0
}
