//! Compiled code that was kept: compiling a plugin takes a second or two, and every command of the command line would pay it again.
//!
//! Machine code is believed only if it carries this host's own keyed mark (D8): whoever can write into the folder but does not know the
//! key can at most make the host compile anew. The mark covers the name as well, so one plugin's code is never taken for another's.
//! Nothing here is needed: a file that is missing, damaged, of another build or unreadable costs the time that it would have saved.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use hmac::{Hmac, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of the key and of the mark.
const MARK_BYTES: usize = 32;
/// A larger file is not read: a bundled plugin's code has two to four MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;
const ENDING: &str = "compiled";
/// A half-written file of this age has no writer any more.
const HALF_WRITTEN_MAX: Duration = Duration::from_secs(600);

/// A folder of compiled code.
pub struct CompiledCode {
    folder: PathBuf,
    key: Zeroizing<[u8; MARK_BYTES]>,
}

impl CompiledCode {
    /// Keeps compiled code in this folder, marked with this key, which nothing else may be marked with. The folder is made when it is
    /// needed, for its owner only.
    pub fn new(folder: PathBuf, key: Zeroizing<[u8; MARK_BYTES]>) -> CompiledCode {
        CompiledCode { folder, key }
    }

    /// The compiled code of a component, if it was kept by this host, for this engine.
    pub(super) fn load(&self, engine: &Engine, plugin: &str, component: &[u8]) -> Option<Component> {
        let name = name(engine, plugin, component);
        let path = self.folder.join(&name);
        if std::fs::metadata(&path).ok()?.len() > FILE_BYTES_MAX {
            return None;
        }
        let file = std::fs::read(path).ok()?;
        let (mark, code) = file.split_at_checked(MARK_BYTES)?;
        if self.marking(&name, code).verify_slice(mark).is_err() {
            tracing::warn!(file = name, "compiled code `{name}` is not this host's own or is damaged; compiling anew");
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "the bytes are those that `serialize` gave this host: the mark was just checked"
        )]
        let component = unsafe { Component::deserialize(engine, code) };
        // Code of another wasmtime or for another processor: wasmtime says so.
        component.ok()
    }

    /// Keeps compiled code for the next process, in the place of what was kept of this plugin before.
    pub(super) fn keep(&self, engine: &Engine, plugin: &str, component: &[u8], compiled: &Component) {
        let name = name(engine, plugin, component);
        let kept = compiled.serialize().map_err(|error| format!("{error:#}")).and_then(|code| {
            let mark = self.marking(&name, &code).finalize().into_bytes();
            self.write(&name, &[mark.as_slice(), &code].concat()).map_err(|error| error.to_string())
        });
        match kept {
            Ok(()) => self.remove_older(plugin, &name),
            Err(reason) => {
                tracing::warn!(plugin, "failed to keep the compiled code of plugin `{plugin}`: {reason}");
            }
        }
    }

    /// Processes may start together: each writes a file of its own, and the last one that is renamed stays.
    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        use std::io::Write;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let half = self.folder.join(format!(".{name}.{}", std::process::id()));
        let written = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&half)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| std::fs::rename(&half, self.folder.join(name)));
        if written.is_err() {
            let _gone = std::fs::remove_file(&half);
        }
        written
    }

    /// Removes what other builds of this program kept of a plugin, and what a process that was killed left half-written.
    fn remove_older(&self, plugin: &str, newest: &str) {
        let half = format!(".{plugin}.");
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_older = name != newest && plugin_of(name) == Some(plugin);
            if is_older || (name.starts_with(&half) && is_left(&entry)) {
                let _gone = std::fs::remove_file(entry.path());
            }
        }
    }

    fn marking(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_slice()).expect("a key of any length will do");
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(code);
        mac
    }
}

/// `PLUGIN.ENGINE.DIGEST.compiled`: the engine's settings and the component's bytes decide what the code is.
fn name(engine: &Engine, plugin: &str, component: &[u8]) -> String {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    let digest = Sha256::digest(component);
    let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{plugin}.{:016x}.{digest}.{ENDING}", settings.finish())
}

/// Whether nobody writes this file any more.
fn is_left(entry: &std::fs::DirEntry) -> bool {
    let written = entry.metadata().and_then(|metadata| metadata.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > HALF_WRITTEN_MAX))
}

fn plugin_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix(ENDING)?.strip_suffix('.')?;
    let (rest, _digest) = name.rsplit_once('.')?;
    let (plugin, _settings) = rest.rsplit_once('.')?;
    Some(plugin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::engine::Engines;

    const GUEST: &str = r#"(component (core module (func (export "f") (result i32) i32.const 7)))"#;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("crmsync-compiled-{name}-{}", std::process::id()));
            Folder(path)
        }

        fn files(&self) -> Vec<PathBuf> {
            std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    fn engines() -> Engines {
        Engines::new().expect("the sandbox can be set up")
    }

    fn kept_by(folder: &Folder, key: u8) -> CompiledCode {
        CompiledCode::new(folder.0.clone(), Zeroizing::new([key; MARK_BYTES]))
    }

    fn guest(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("well formed")
    }

    #[test]
    fn what_was_kept_is_loaded_again() {
        let (engine, folder) = (engines().connectors.engine, Folder::new("again"));
        let (kept, bytes) = (kept_by(&folder, 1), guest(GUEST));
        assert!(kept.load(&engine, "guest", &bytes).is_none(), "nothing was kept yet");
        kept.keep(&engine, "guest", &bytes, &Component::new(&engine, &bytes).expect("compiles"));
        assert!(kept.load(&engine, "guest", &bytes).is_some());
        assert!(kept.load(&engine, "guest", &guest("(component)")).is_none(), "another component");
        let other = engines().transforms.engine;
        assert!(kept.load(&other, "guest", &bytes).is_none(), "an engine with other settings");
    }

    #[test]
    fn code_without_this_hosts_mark_is_not_run() {
        let (engine, folder) = (engines().connectors.engine, Folder::new("mark"));
        let (kept, bytes) = (kept_by(&folder, 1), guest(GUEST));
        let compiled = Component::new(&engine, &bytes).expect("compiles");
        kept.keep(&engine, "guest", &bytes, &compiled);
        assert!(kept_by(&folder, 2).load(&engine, "guest", &bytes).is_none(), "marked with another key");

        let file = folder.files().pop().expect("one file");
        let good = std::fs::read(&file).expect("can be read");
        for at in [0, MARK_BYTES, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&file, bad).expect("can be written");
            assert!(kept.load(&engine, "guest", &bytes).is_none(), "byte {at} differs");
        }
        std::fs::write(&file, &good[..MARK_BYTES - 1]).expect("can be written");
        assert!(kept.load(&engine, "guest", &bytes).is_none(), "not even a mark");

        // Good code under the name of another plugin: the mark is over the name as well.
        std::fs::write(&file, &good).expect("can be written");
        std::fs::rename(&file, folder.0.join(name(&engine, "other", &bytes))).expect("can be renamed");
        assert!(kept.load(&engine, "other", &bytes).is_none(), "another plugin's code");
    }

    #[test]
    fn one_file_stays_for_each_plugin_and_only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let (engine, folder) = (engines().connectors.engine, Folder::new("older"));
        let kept = kept_by(&folder, 1);
        for (plugin, text) in [("guest", GUEST), ("guest-two", GUEST), ("guest", "(component)")] {
            let bytes = guest(text);
            kept.keep(&engine, plugin, &bytes, &Component::new(&engine, &bytes).expect("compiles"));
        }
        let files = folder.files();
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(kept.load(&engine, "guest-two", &guest(GUEST)).is_some(), "a longer name is another plugin");
        for path in files.iter().chain([&folder.0]) {
            let mode = std::fs::metadata(path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
    }
}
