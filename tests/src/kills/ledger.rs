//! The account of several sittings in one file: what was seen so far, and which worlds have been.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Means, Report};
use crate::Outcome;

/// The account, in a file if there is one.
pub(super) struct Ledger {
    file: Option<PathBuf>,
    account: Account,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    means: Means,
    /// Worlds of smaller seeds have been begun, so they are not told again.
    next_seed: u64,
    report: Report,
}

impl Ledger {
    /// Goes on with the account in a file, or begins a new one with the world of this seed.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is about something else.
    pub(super) fn open(file: Option<PathBuf>, means: Means, seed: u64) -> Outcome<Ledger> {
        let new = Account { means, next_seed: seed, report: Report::default() };
        let Some(path) = &file else { return Ok(Ledger { file, account: new }) };
        let account = match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| format!("{} is no ledger of this program: {error}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => new,
            Err(error) => return Err(format!("failed to read {}: {error}", path.display())),
        };
        if account.means != means {
            return Err(format!("{} is the ledger of another loop", path.display()));
        }
        Ok(Ledger { file, account })
    }

    /// The seed of the next world.
    pub(super) fn next_seed(&self) -> u64 {
        self.account.next_seed
    }

    /// What was seen so far.
    pub(super) fn report(&self) -> &Report {
        &self.account.report
    }

    /// The same, at the end.
    pub(super) fn into_report(self) -> Report {
        self.account.report
    }

    /// Adds what one world has shown, on the disk before anything else happens. The old file stands until the new one is whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn add(&mut self, report: Report, next_seed: u64) -> Outcome<()> {
        self.account.report.add(report);
        self.account.next_seed = next_seed;
        let Some(path) = &self.file else { return Ok(()) };
        let failed = |error: std::io::Error| format!("failed to write {}: {error}", path.display());
        let text = serde_json::to_string_pretty(&self.account).map_err(|error| error.to_string())?;
        let new = path.with_extension("new");
        std::fs::write(&new, text).map_err(failed)?;
        std::fs::rename(&new, path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workplace::Folder;

    #[test]
    fn sittings_add_up() {
        let folder = Folder::make().unwrap();
        let file = folder.path().join("kills.json");
        let open = |means| Ledger::open(Some(file.clone()), means, 7);
        let seen = |cycles, lost_updates| Report { cycles, lost_updates, took_s: 1.5, ..Report::default() };
        let mut first = open(Means::Kill).unwrap();
        assert_eq!(first.next_seed(), 7);
        first.add(seen(4, 0), 9).unwrap();
        let mut second = open(Means::Kill).unwrap();
        assert_eq!(second.next_seed(), 9);
        second.add(seen(5, 1), 11).unwrap();
        let third = open(Means::Kill).unwrap().into_report();
        assert_eq!((third.cycles, third.lost_updates, third.took_s, third.is_clean()), (9, 1, 3.0, false));
        assert!(open(Means::Freeze).is_err(), "kills and zombies are not added up");
        std::fs::write(&file, "{").unwrap();
        assert!(open(Means::Kill).is_err(), "what cannot be read is not overwritten");
    }
}
