//! Builds the plugins that come with the host: every folder `plugins/*` with a `plugin.json` becomes a component with its manifest
//! inside, and `bundled.rs` names them for `src/runtime/bundled.rs`.
//!
//! The plugins have a workspace of their own, and so do their build artefacts: cargo holds a lock on the folder that it builds
//! into, and it is building the host there right now.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value;
use wit_component::{ComponentEncoder, DecodedWasm};

/// The imports of such modules are ours alone; `wasm32-wasip2` would add thirteen of WASI's.
const TARGET: &str = "wasm32-unknown-unknown";
/// Where the host looks for the manifest.
const MANIFEST_SECTION: &str = "crmsync:manifest";
/// The only package whose interfaces a plugin may import.
const PACKAGE: &str = "crmsync:plugin/";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match bundle() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line, because cargo shows each line of its own protocol separately.
            println!("cargo::error=bundle the plugins: {}", failure.to_string().replace('\n', "; "));
            ExitCode::FAILURE
        }
    }
}

fn bundle() -> Result<(), Failure> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo has not set OUT_DIR")?);
    let host = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo has not set CARGO_MANIFEST_DIR")?);
    let root = host.parent().ok_or("the host is not inside of the workspace")?;
    let plugins = root.join("plugins");
    let folders = plugin_folders(&plugins)?;
    rerun_if_changed(root, &plugins, &folders);

    let mut table = String::from("pub(super) const PLUGINS: &[(&str, &[u8])] = &[\n");
    if !folders.is_empty() {
        ensure_target()?;
        let modules = build(&plugins, &artefacts(&out))?;
        for folder in &folders {
            let module = modules.get(folder).ok_or_else(|| format!("`{}` builds no `cdylib`", folder.display()))?;
            let (id, component) =
                wrap(folder, module).map_err(|failure| format!("wrap `{}`: {failure}", folder.display()))?;
            fs::write(out.join(format!("{id}.wasm")), component)?;
            writeln!(table, r#"    ("{id}", include_bytes!(concat!(env!("OUT_DIR"), "/{id}.wasm"))),"#)?;
        }
    }
    table.push_str("];\n");
    fs::write(out.join("bundled.rs"), table)?;
    Ok(())
}

/// Folders of plugins, in the order of their names.
fn plugin_folders(plugins: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(plugins)? {
        let folder = entry?.path();
        if folder.join("plugin.json").is_file() {
            folders.push(fs::canonicalize(folder)?);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Names what the components are made of, and nothing else. Only what exists may be named: cargo runs the script again on each
/// build for a path that does not. A new plugin changes the plugins' `Cargo.toml`.
fn rerun_if_changed(root: &Path, plugins: &Path, folders: &[PathBuf]) {
    let shared = ["sdk", "cells"].map(|name| plugins.join(name));
    let crates = folders
        .iter()
        .chain(&shared)
        .flat_map(|folder| ["src", "Cargo.toml", "build.rs", "plugin.json"].map(|part| folder.join(part)));
    let workspace = ["Cargo.toml", "Cargo.lock", ".cargo"].map(|part| plugins.join(part));
    let others = [root.join("host/build.rs"), root.join("wit")];
    for path in crates.chain(workspace).chain(others).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// The folder for the plugins' artefacts: beside the profiles of the host's own build, so that all profiles share it.
fn artefacts(out: &Path) -> PathBuf {
    // `target/debug/build/crmsync-0123456789abcdef/out`
    match out.ancestors().nth(2) {
        Some(build) if build.file_name() == Some(OsStr::new("build")) => {
            build.ancestors().nth(2).unwrap_or(out).join("plugins")
        }
        _ => out.join("plugins"),
    }
}

/// Makes sure that the compiler can build for [`TARGET`], or says how to.
fn ensure_target() -> Result<(), Failure> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let installed = printed.status.success() && Path::new(String::from_utf8_lossy(&printed.stdout).trim()).is_dir();
    if installed {
        return Ok(());
    }
    let added = clean(Command::new("rustup")).args(["target", "add", TARGET]).stdout(Stdio::null()).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "the compiler cannot build for `{TARGET}`: run `rustup target add {TARGET}`, or install your distribution's package \
             with Rust's standard library for it"
        )
        .into()),
    }
}

/// Builds the plugins' workspace; gives the module of each package folder.
fn build(plugins: &Path, artefacts: &Path) -> Result<BTreeMap<PathBuf, PathBuf>, Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = clean(Command::new(cargo))
        .current_dir(plugins)
        .args(["build", "--workspace", "--lib", "--release", "--locked", "--target", TARGET])
        .arg("--target-dir")
        .arg(artefacts)
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the plugins do not build; see the compiler's messages above".into());
    }
    let mut modules = BTreeMap::new();
    for line in output.stdout.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{")) {
        let message: Value = serde_json::from_slice(line)?;
        let manifest = message["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let module = files.map(PathBuf::from).find(|file| file.extension() == Some(OsStr::new("wasm")));
        if let (Some(folder), Some(module)) = (manifest, module) {
            modules.insert(fs::canonicalize(folder)?, module);
        }
    }
    Ok(modules)
}

/// Takes away what cargo and the user have set for the host's build: flags for this machine's processor, a wrapper, a target
/// folder. What says where the tools and the registry are stays, and so does the job server, so that two builds share the cores.
fn clean(mut command: Command) -> Command {
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_MAKEFLAGS", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    const KEPT_PREFIXES: [&str; 3] = ["CARGO_NET_", "CARGO_HTTP_", "RUSTUP_DIST_"];
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let theirs = text.starts_with("CARGO") || text.starts_with("RUST");
        let kept = KEPT.contains(&text) || KEPT_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        if theirs && !kept {
            command.env_remove(&name);
        }
    }
    command
}

/// Wraps a module as a component with its manifest inside; gives the plugin's id with it.
fn wrap(folder: &Path, module: &Path) -> Result<(String, Vec<u8>), Failure> {
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("plugin.json"))?)?;
    let id = manifest["id"].as_str().unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || !id.bytes().all(is_name) {
        return Err(
            format!("`id` in plugin.json is `{id}`; it may have lower-case letters, digits and hyphens only").into()
        );
    }
    let mut component = ComponentEncoder::default().validate(true).module(&fs::read(module)?)?.encode()?;
    refuse_foreign_imports(&component)?;
    append_section(&mut component, MANIFEST_SECTION, &serde_json::to_vec(&manifest)?);
    Ok((id.to_owned(), component))
}

fn refuse_foreign_imports(component: &[u8]) -> Result<(), Failure> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        return Err("it is not a component".into());
    };
    let imports = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key));
    match imports.into_iter().find(|name| !name.starts_with(PACKAGE)) {
        Some(foreign) => Err(format!("it imports `{foreign}`, which no host lends to a plugin").into()),
        None => Ok(()),
    }
}

/// Appends a custom section: its number, the size of what follows, the name with its length, the content.
fn append_section(component: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut section = leb128(name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(content);
    component.push(0);
    component.extend(leb128(section.len()));
    component.extend(section);
}

/// A length as WebAssembly writes it: seven bits a byte, lowest first.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
