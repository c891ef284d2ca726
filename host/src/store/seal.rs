//! Secrets at rest: XChaCha20-Poly1305 under a key that lies beside the database, bound to the row that they belong to.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

use super::Error;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Seals and opens secrets. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    cipher: Arc<XChaCha20Poly1305>,
    key: Arc<Zeroizing<Vec<u8>>>,
}

impl Sealer {
    /// Reads the key file, or makes one (0600) if there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, has the wrong size, or other users can read it.
    pub fn from_file(path: &Path) -> Result<Sealer, Error> {
        use std::os::unix::fs::PermissionsExt;
        let failed = |why: String| Error::File { path: path.display().to_string(), why };
        let key = match std::fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                return Err(failed("the key file can be read by other users; run `chmod 600` on it".into()));
            }
            Ok(_) => Zeroizing::new(std::fs::read(path).map_err(|error| failed(error.to_string()))?),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_key(path).map_err(|error| failed(error.to_string()))?;
                // Another process may have been faster: whose key it is does not matter, as long as all have the same.
                Zeroizing::new(std::fs::read(path).map_err(|error| failed(error.to_string()))?)
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let cipher =
            XChaCha20Poly1305::new_from_slice(&key).map_err(|_| failed(format!("a key has {KEY_BYTES} bytes")))?;
        Ok(Sealer { cipher: Arc::new(cipher), key: Arc::new(key) })
    }

    /// A key for another purpose, from which nobody can find this one or that of a third purpose.
    pub(super) fn key_for(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key).expect("a key of any length will do");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// Seals a secret for one place (a text that names tenant and row): it cannot be opened elsewhere.
    pub(super) fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| Error::Refused(format!("no randomness: {error}")))?;
        let payload = Payload { msg: secret, aad: place.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| Error::Refused("a secret could not be sealed".into()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a secret sealed for this place.
    pub(super) fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let wrong = || Error::Unreadable {
            what: "secret",
            why: "it was sealed with another key; restore the key file that belongs to this database".into(),
        };
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(wrong)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.cipher.decrypt(XNonce::from_slice(nonce), payload).map(Zeroizing::new).map_err(|_| wrong())
    }
}

/// Makes a key file that is there as a whole or not at all: half a key, after a crash, would seal nothing that can be opened.
fn make_key(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut word = [0_u8; 8];
    getrandom::fill(&mut word).map_err(|error| std::io::Error::other(error.to_string()))?;
    let half = folder.join(format!(".key-{:016x}", u64::from_le_bytes(word)));
    let mut key = Zeroizing::new(vec![0_u8; KEY_BYTES]);
    getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
    let written = (|| {
        let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&half)?;
        file.write_all(&key)?;
        file.sync_all()?;
        match std::fs::hard_link(&half, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => std::fs::File::open(folder)?.sync_all(),
        }
    })();
    // Its name is random, so one that stays is in nobody's way.
    let _left = std::fs::remove_file(&half);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_in_its_place() {
        let folder = std::env::temp_dir().join(format!("crmsync-seal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temp folder");
        let path = folder.join("key");
        let sealer = Sealer::from_file(&path).expect("a new key");
        let sealed = sealer.seal("t/east", b"hush").expect("seal");
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_eq!(sealer.open("t/east", &sealed).expect("open").as_slice(), b"hush");
        assert!(sealer.open("t/other", &sealed).is_err());
        assert!(sealer.open("t/east", &sealed[..10]).is_err());
        let again = Sealer::from_file(&path).expect("the same key");
        assert_eq!(again.open("t/east", &sealed).expect("open").as_slice(), b"hush");
        let files: Vec<_> = std::fs::read_dir(&folder).expect("the folder").flatten().collect();
        assert_eq!(files.len(), 1, "nothing but the key is left: {files:?}");
        std::fs::remove_dir_all(&folder).expect("clean up");
    }

    #[test]
    fn processes_that_start_together_have_one_key() {
        let folder = std::env::temp_dir().join(format!("crmsync-seal-race-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temp folder");
        let path = folder.join("key");
        let sealers: Vec<Sealer> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8).map(|_| scope.spawn(|| Sealer::from_file(&path).expect("a key"))).collect();
            made.into_iter().map(|made| made.join().expect("no panic")).collect()
        });
        let sealed = sealers[0].seal("t/east", b"hush").expect("seal");
        assert!(sealers.iter().all(|sealer| sealer.open("t/east", &sealed).is_ok()));
        std::fs::write(&path, b"half a key").expect("the file can be written");
        assert!(Sealer::from_file(&path).is_err(), "what is no key is not taken for one");
        std::fs::remove_dir_all(&folder).expect("clean up");
    }
}
