//! Proof of life: each process that works in a data folder holds a lock on a file of its own there. The system ends the lock with the
//! process, whatever ended it, and every process that can open the folder sees it: also one in another container, to whom process
//! numbers mean nothing.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How often a new name is tried before locks count as unavailable.
const ATTEMPTS_MAX: u32 = 8;

/// This process in its data folder. The file goes with it; one that a killed process left is removed by the next process.
pub(super) struct Presence {
    holder: String,
    proof: Option<(PathBuf, File)>,
}

impl Presence {
    /// Announces this process. Where the file system has no locks, it has a name that nobody can prove dead.
    pub(super) fn announce(folder: &Path) -> Presence {
        remove_left_over(folder);
        for _ in 0..ATTEMPTS_MAX {
            let name = format!("host-{}", random_name());
            let path = lock_path(folder, &name);
            let Ok(file) = File::options().write(true).create_new(true).mode(0o600).open(&path) else { break };
            match file.try_lock() {
                // Somebody who tidies up may have taken the file between the two steps.
                Ok(()) if path.exists() => return Presence { holder: name, proof: Some((path, file)) },
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(_)) => {
                    // The name that is used instead needs no file.
                    let _left = std::fs::remove_file(&path);
                    break;
                }
            }
        }
        Presence { holder: format!("unproven-{}", random_name()), proof: None }
    }

    /// The name of this process.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.proof {
            // A file that stays is removed by the next process.
            let _left = std::fs::remove_file(path);
        }
    }
}

/// Whether the process that a holder's name begins with is gone for certain. What follows a `/` names what it holds.
pub(super) fn is_gone(folder: &Path, holder: &str) -> bool {
    let name = holder.split('/').next().unwrap_or_default();
    let is_ours =
        name.strip_prefix("host-").is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_hexdigit()));
    if !is_ours {
        return false;
    }
    match File::options().write(true).open(lock_path(folder, name)) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn remove_left_over(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(|name| name.strip_suffix(".lock")) else { continue };
        if name.starts_with("host-") && entry.path().exists() && is_gone(folder, name) {
            let _left = std::fs::remove_file(entry.path());
        }
    }
}

fn lock_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.lock"))
}

fn random_name() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness no key could be made either; the process stops rather than share a name.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_told_from_the_dead() {
        let folder = std::env::temp_dir().join(format!("crmsync-presence-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temp folder");
        let first = Presence::announce(&folder);
        let second = Presence::announce(&folder);
        assert_ne!(first.holder(), second.holder());
        let lease = format!("{}/cs-1234", first.holder());
        assert!(!is_gone(&folder, &lease) && !is_gone(&folder, second.holder()));
        // A killed process leaves its file, but not its lock.
        let left = lock_path(&folder, "host-00ff");
        std::fs::write(&left, "").expect("the folder can be written");
        assert!(is_gone(&folder, "host-00ff/cs-1"));
        drop(first);
        assert!(is_gone(&folder, &lease), "it has ended");
        drop(Presence::announce(&folder));
        assert!(!left.exists(), "the next one tidies up");
        assert!(!is_gone(&folder, second.holder()), "but touches nobody who lives");
        for unknown in ["", "/", "host-", "host-../x", "unproven-00", "5e1c-boot/4711/key"] {
            assert!(!is_gone(&folder, unknown), "{unknown}");
        }
        drop(second);
        std::fs::remove_dir_all(&folder).expect("clean up");
    }
}
