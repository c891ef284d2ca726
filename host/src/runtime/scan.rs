//! A look at a component's structure before the compiler sees it: its manifest, its imports, and sizes that bound compile time.
//!
//! A module of 32 KB can cost 16 seconds of compile time, and the Wasm engine does not treat that as a defect. What is refused here
//! costs nothing but this walk, which never executes, validates or allocates by the file's own word.

use wasmparser::{Encoding, Parser, Payload};

use super::error::Error;
use super::limits::{
    COMPONENT_BYTES_MAX, ComponentLimits, FUNCTION_BYTES_MAX, MANIFEST_BYTES_MAX, NESTED_DEPTH_MAX, NESTED_MAX,
};

/// Name of the custom section that holds the manifest.
const MANIFEST_SECTION: &str = "crmsync:manifest";

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    /// The manifest's JSON.
    pub(super) manifest: &'a [u8],
    /// Names of the component's own imports.
    pub(super) imports: Vec<&'a str>,
    bytes: usize,
    functions: u32,
    nested: u32,
    function_bytes: usize,
}

/// Walks through a file. `plugin` names it in errors.
pub(super) fn scan<'a>(plugin: &str, bytes: &'a [u8]) -> Result<Scan<'a>, Error> {
    let not_a_component = |reason: String| Error::NotAComponent { plugin: plugin.to_owned(), reason };
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(too_large(plugin, "bytes of the component", bytes.len() as u64, COMPONENT_BYTES_MAX as u64));
    }
    if !Parser::is_component(bytes) {
        return Err(not_a_component("it does not start like one".to_owned()));
    }
    let mut found = Scan { bytes: bytes.len(), ..Scan::default() };
    let mut manifests = Vec::new();
    // Depth 0 is the component itself; each nested module or component has its own `Version` and `End`.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| not_a_component(error.to_string()))? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(not_a_component("it is a plain module".to_owned()));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                found.nested += 1;
                if depth > NESTED_DEPTH_MAX {
                    return Err(too_large(
                        plugin,
                        "levels of nested components",
                        depth as u64,
                        NESTED_DEPTH_MAX as u64,
                    ));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    found.imports.push(import.map_err(|error| not_a_component(error.to_string()))?.name.name);
                }
            }
            Payload::CodeSectionStart { count, .. } => found.functions = found.functions.saturating_add(count),
            Payload::CodeSectionEntry(body) => {
                found.function_bytes = found.function_bytes.max(body.range().len());
            }
            Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                manifests.push(section.data());
            }
            _ => {}
        }
    }
    found.manifest = the_one_manifest(plugin, &manifests)?;
    Ok(found)
}

impl Scan<'_> {
    /// Holds what was found against the limits of the plugin's class.
    pub(super) fn check(&self, plugin: &str, limits: &ComponentLimits) -> Result<(), Error> {
        let sizes: [(&'static str, u64, u64); 4] = [
            ("bytes of the component", self.bytes as u64, limits.bytes_max as u64),
            ("functions in the component", u64::from(self.functions), u64::from(limits.functions_max)),
            ("modules in the component", u64::from(self.nested), u64::from(NESTED_MAX)),
            ("bytes of the longest function", self.function_bytes as u64, FUNCTION_BYTES_MAX as u64),
        ];
        match sizes.into_iter().find(|(_, found, limit)| found > limit) {
            Some((what, found, limit)) => Err(too_large(plugin, what, found, limit)),
            None => Ok(()),
        }
    }
}

fn the_one_manifest<'a>(plugin: &str, manifests: &[&'a [u8]]) -> Result<&'a [u8], Error> {
    let bad = |reason: &str| Error::BadManifest { plugin: plugin.to_owned(), reason: reason.to_owned() };
    match manifests {
        [manifest] if manifest.len() <= MANIFEST_BYTES_MAX => Ok(manifest),
        [manifest] => Err(too_large(plugin, "bytes of the manifest", manifest.len() as u64, MANIFEST_BYTES_MAX as u64)),
        [] => Err(bad("the section `crmsync:manifest` is missing; pack the plugin with `crmsync plugin pack`")),
        // Two manifests could say different things to two readers.
        _ => Err(bad("there is more than one section `crmsync:manifest`")),
    }
}

fn too_large(plugin: &str, what: &'static str, found: u64, limit: u64) -> Error {
    Error::TooLarge { plugin: plugin.to_owned(), what, found, limit }
}
