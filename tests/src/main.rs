//! The long-running test programs. With the first argument `crmsync` this program is the product itself, so that it can start it, and
//! kill it, without knowing where it was built.

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use crmsync_tests::Outcome;
use crmsync_tests::kills::Means;
use crmsync_tests::product::Product;
use crmsync_tests::{first_sync, kills, office};
use serde::Serialize;

#[derive(Debug, Parser)]
#[command(about = "Long-running tests of crmsync", max_term_width = 120)]
struct Arguments {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sync thousands of records for the first time, edit, delete and idle, and let the two servers judge
    #[command(after_help = "Example: cargo run -p crmsync-tests -- first-sync --records 5000 --seed 7")]
    FirstSync(first_sync::Options),
    /// Kill the product in the middle of its runs, again and again, and ask what was lost or doubled
    #[command(after_help = "Example: cargo run -p crmsync-tests -- kills --cycles 1000 --seed 7")]
    Kills(kills::Options),
    /// Freeze the product in the middle of its runs, let a second process overtake it, wake it, and ask the same
    #[command(after_help = "Example: cargo run -p crmsync-tests -- zombies --cycles 200 --ledger zombies.json")]
    Zombies(kills::Options),
    /// Let the service run for an hour while people edit at both screens, and kill and stop it in between
    #[command(after_help = "Example: cargo run -p crmsync-tests -- office --minutes 10 --every 15")]
    Office(office::Options),
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "crmsync") {
        return crmsync::cli::main(arguments.into_iter().skip(1));
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(3);
        }
    };
    match arguments.command {
        Command::FirstSync(options) => runtime.block_on(sync_first(&options, arguments.json)),
        Command::Kills(options) => runtime.block_on(catch(Means::Kill, &options, arguments.json)),
        Command::Zombies(options) => runtime.block_on(catch(Means::Freeze, &options, arguments.json)),
        Command::Office(options) => runtime.block_on(work_in_office(&options, arguments.json)),
    }
}

async fn sync_first(options: &first_sync::Options, json: bool) -> ExitCode {
    let report = match Product::this_program() {
        Ok(product) => first_sync::run(&product, options).await,
        Err(why) => Err(why),
    };
    tell(report, json, first_sync::Report::is_clean)
}

async fn work_in_office(options: &office::Options, json: bool) -> ExitCode {
    let report = match Product::this_program() {
        Ok(product) => office::run(&product, options).await,
        Err(why) => Err(why),
    };
    tell(report, json, office::Report::is_clean)
}

/// Prints a report; says with the exit code whether it is as it must be.
fn tell<R: Serialize + Display>(report: Outcome<R>, json: bool, is_clean: impl Fn(&R) -> bool) -> ExitCode {
    match report {
        Ok(report) => {
            match json {
                true => println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
                false => println!("{report}"),
            }
            if is_clean(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(3)
        }
    }
}

async fn catch(means: Means, options: &kills::Options, json: bool) -> ExitCode {
    let report = match Product::this_program() {
        Ok(product) => kills::run(&product, means, options).await,
        Err(why) => Err(why),
    };
    tell(report, json, kills::Report::is_clean)
}
