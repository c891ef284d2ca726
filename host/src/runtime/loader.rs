//! From a file to a plugin that can be instantiated: manifest, trust, structure, imports, compilation, contract, in this order, so
//! that each step costs little until the one before it has passed.
//!
//! Compilation runs on a blocking thread, one component at a time, and is bounded by what the structural walk lets through; its result
//! is kept for the next process ([`CompiledCode`]). The compile child of D8 (its own processor, memory and time limits) comes in the next
//! release; until then a plugin that did not come with this program needs the operator's explicit trust.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Component;

use super::bindings;
use super::bundled;
use super::compiled::CompiledCode;
use super::connector::ConnectorPlugin;
use super::engine::{Engines, Room};
use super::error::Error;
use super::limits::ComponentLimits;
use super::manifest::{Manifest, PluginKind};
use super::scan;
use super::transform::TransformPlugin;

/// The interfaces of our package that a component of each kind may import. `batches` and `faults` hold types only.
const CONNECTOR_IMPORTS: [&str; 5] = ["batches", "faults", "log", "state", "egress"];
const TRANSFORM_IMPORTS: [&str; 2] = ["batches", "log"];
/// All imports must be of this package, in a version that this host speaks.
const PACKAGE: &str = "crmsync:plugin/";

/// Whether plugins that did not come with this program may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Only those that came with it.
    BundledOnly,
    /// The operator trusts every plugin that is loaded (`--trust-plugins`).
    Operator,
}

/// A loaded plugin. Cheap to clone.
#[derive(Clone)]
pub enum Plugin {
    /// Speaks to one CRM.
    Connector(ConnectorPlugin),
    /// Reshapes values.
    Transform(TransformPlugin),
}

/// The runtime room: one for each host process.
pub struct Runtime {
    engines: Engines,
    compiling: Semaphore,
    kept: Option<Arc<CompiledCode>>,
}

impl Runtime {
    /// Sets up both engines; `kept` is where compiled code outlives the process, if it may.
    ///
    /// # Errors
    /// [`Error::Sandbox`] if this machine cannot reserve the address space or start a thread.
    pub fn new(kept: Option<CompiledCode>) -> Result<Runtime, Error> {
        Ok(Runtime { engines: Engines::new()?, compiling: Semaphore::new(1), kept: kept.map(Arc::new) })
    }

    /// Ids of the plugins that come with this program.
    pub fn bundled() -> impl Iterator<Item = &'static str> {
        bundled::PLUGINS.iter().map(|(id, _)| *id)
    }

    /// Loads a plugin that comes with this program.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is none with this id; the others only if this program was built wrongly.
    pub async fn load_bundled(&self, id: &str) -> Result<Plugin, Error> {
        match bundled::PLUGINS.iter().find(|(known, _)| *known == id) {
            Some((id, bytes)) => self.load(id, bytes.to_vec(), Trust::Operator).await,
            None => Err(Error::Unknown {
                plugin: id.to_owned(),
                known: Runtime::bundled().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Loads a plugin from a component file.
    ///
    /// # Errors
    /// All that are about loading; see [`Error`].
    pub async fn load_file(&self, file: &Path, trust: Trust) -> Result<Plugin, Error> {
        let name = file.display().to_string();
        match tokio::fs::read(file).await {
            Ok(bytes) => self.load(&name, bytes, trust).await,
            Err(source) => Err(Error::Unreadable { file: name, source }),
        }
    }

    /// Loads a plugin from a component's bytes. `name` names it in errors until its manifest is read.
    ///
    /// # Errors
    /// All that are about loading; see [`Error`].
    pub async fn load(&self, name: &str, bytes: Vec<u8>, trust: Trust) -> Result<Plugin, Error> {
        let manifest = admit(name, &bytes, trust)?;
        let limits = ComponentLimits::of(manifest.class, manifest.kind);
        Ok(match manifest.kind {
            PluginKind::Connector => {
                let room = &self.engines.connectors;
                let component = self.compile(room, &manifest.id, bytes).await?;
                let pre = room
                    .linker
                    .instantiate_pre(&component)
                    .and_then(bindings::connector::ConnectorPluginPre::new)
                    .map_err(|error| wrong_contract(&manifest.id, &error))?;
                Plugin::Connector(ConnectorPlugin::new(Arc::new(manifest), limits, pre, Arc::clone(&room.instances)))
            }
            PluginKind::Transform => {
                let room = &self.engines.transforms;
                let component = self.compile(room, &manifest.id, bytes).await?;
                let pre = room
                    .linker
                    .instantiate_pre(&component)
                    .and_then(bindings::transform::TransformPluginPre::new)
                    .map_err(|error| wrong_contract(&manifest.id, &error))?;
                Plugin::Transform(TransformPlugin::new(Arc::new(manifest), limits, pre, Arc::clone(&room.instances)))
            }
        })
    }

    async fn compile<T>(&self, room: &Room<T>, plugin: &str, bytes: Vec<u8>) -> Result<Component, Error> {
        let failed = |reason: String| Error::Compile { plugin: plugin.to_owned(), reason };
        let _turn = self.compiling.acquire().await.map_err(|closed| failed(closed.to_string()))?;
        let (engine, kept, id) = (room.engine.clone(), self.kept.clone(), plugin.to_owned());
        let compiled = move || {
            if let Some(component) = kept.as_ref().and_then(|kept| kept.load(&engine, &id, &bytes)) {
                return Ok(component);
            }
            let component = Component::new(&engine, &bytes)?;
            if let Some(kept) = &kept {
                kept.keep(&engine, &id, &bytes, &component);
            }
            Ok(component)
        };
        tokio::task::spawn_blocking(compiled)
            .await
            .map_err(|panic| failed(panic.to_string()))?
            .map_err(|error: wasmtime::Error| failed(format!("{error:#}")))
    }
}

/// The manifest of a bundled plugin, without compiling anything.
///
/// # Errors
/// There is none of this id, or it is damaged.
pub fn bundled_manifest(id: &str) -> Result<Manifest, Error> {
    match bundled::PLUGINS.iter().find(|(known, _)| *known == id) {
        Some((_, bytes)) => inspect(id, bytes),
        None => Err(Error::Unknown {
            plugin: id.to_owned(),
            known: Runtime::bundled().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// Reads the manifest of a component without compiling anything: what `crmsync plugin inspect` shows before anyone consents.
///
/// # Errors
/// Those about the file's structure, its manifest, its size and its imports.
pub fn inspect(name: &str, bytes: &[u8]) -> Result<Manifest, Error> {
    admit(name, bytes, Trust::Operator)
}

fn admit(name: &str, bytes: &[u8], trust: Trust) -> Result<Manifest, Error> {
    let found = scan::scan(name, bytes)?;
    let manifest = Manifest::parse(name, found.manifest)?;
    if trust == Trust::BundledOnly {
        return Err(Error::Untrusted { plugin: manifest.id });
    }
    found.check(&manifest.id, &ComponentLimits::of(manifest.class, manifest.kind))?;
    match found.imports.iter().find(|import| !is_lent(import, manifest.kind)) {
        Some(foreign) => Err(Error::ForeignImport { plugin: manifest.id, name: (*foreign).to_owned() }),
        None => Ok(manifest),
    }
}

/// D3: the list of imports is the list of powers, so a name that is not on it is refused before the linker is asked.
fn is_lent(import: &str, kind: PluginKind) -> bool {
    let lent: &[&str] = match kind {
        PluginKind::Connector => &CONNECTOR_IMPORTS,
        PluginKind::Transform => &TRANSFORM_IMPORTS,
    };
    let Some((interface, version)) = import.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) else {
        return false;
    };
    lent.contains(&interface) && version.strip_prefix("0.1.").is_some_and(|patch| patch.parse::<u32>().is_ok())
}

fn wrong_contract(plugin: &str, error: &wasmtime::Error) -> Error {
    Error::WrongContract { plugin: plugin.to_owned(), reason: format!("{error:#}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_a_list_of_powers() {
        let check = |import: &str, connector: bool, transform: bool| {
            assert_eq!(is_lent(import, PluginKind::Connector), connector, "connector imports {import}");
            assert_eq!(is_lent(import, PluginKind::Transform), transform, "transform imports {import}");
        };
        check("crmsync:plugin/log@0.1.0", true, true);
        check("crmsync:plugin/batches@0.1.7", true, true);
        check("crmsync:plugin/egress@0.1.0", true, false);
        check("crmsync:plugin/state@0.1.0", true, false);
        check("crmsync:plugin/egress@0.2.0", false, false);
        check("crmsync:plugin/egress@0.1.0-x", false, false);
        check("crmsync:plugin/egress", false, false);
        check("crmsync:plugin/connector@0.1.0", false, false);
        check("crmsync:pluginx/log@0.1.0", false, false);
        check("wasi:cli/environment@0.2.3", false, false);
        check("env", false, false);
    }
}
