//! Hostile guests, written as WebAssembly text and wrapped as components with the contract in `wit/`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use super::crm::door;
use crate::runtime::{Connector, ConnectorPlugin, Error, Plugin, Runtime, StateCache, TransformPlugin, Trust};

/// The exports of a connector with the types of their core functions.
const CONNECTOR_EXPORTS: [(&str, usize); 9] = [
    ("check", 0),
    ("modules", 0),
    ("describe", 2),
    ("users", 0),
    ("count", 2),
    ("pull", 8),
    ("fetch", 6),
    ("find", 8),
    ("push", 16),
];
const TRANSFORM_EXPORTS: [(&str, usize); 3] = [("functions", 0), ("init", 8), ("apply", 13)];

/// Memory that every guest has: at 1,024 lies `ok(some(42))`, the answer of a `count`; above 4,096 `cabi_realloc` gives out memory
/// and never takes it back.
const MEMORY: &str = r#"
  (memory (export "memory") 64)
  (data (i32.const 1024) "\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\2a\00\00\00\00\00\00\00")
  (global $free (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get 3))))
"#;

/// What a test guest does: bodies of exports by name, and whatever else its module has. Exports without a body trap.
pub(super) struct Guest<'a> {
    pub(super) bodies: &'a [(&'a str, &'a str)],
    pub(super) imports: &'a str,
    pub(super) others: &'a str,
}

impl Guest<'_> {
    pub(super) const EMPTY: Guest<'static> = Guest { bodies: &[], imports: "", others: "" };

    pub(super) fn connector(&self) -> Vec<u8> {
        with_manifest(&self.component("connector-plugin", "connector", &CONNECTOR_EXPORTS), &manifest("connector"))
    }

    pub(super) fn transform(&self) -> Vec<u8> {
        with_manifest(&self.component("transform-plugin", "transform", &TRANSFORM_EXPORTS), &manifest("transform"))
    }

    /// The component without a manifest.
    fn component(&self, world: &str, interface: &str, exports: &[(&str, usize)]) -> Vec<u8> {
        let functions: String = exports
            .iter()
            .map(|(name, parameters)| {
                let body =
                    self.bodies.iter().find(|(export, _)| export == name).map_or("unreachable", |(_, body)| body);
                format!(
                    "(func (export \"crmsync:plugin/{interface}@0.1.0#{name}\") (param {}) (result i32) {body})\n",
                    "i32 ".repeat(*parameters)
                )
            })
            .collect();
        let text = format!("(module {} {MEMORY} {} {functions})", self.imports, self.others);
        let mut module = wat::parse_str(&text).expect("the test's WebAssembly text is well formed");
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))
            .expect("the contract is well formed");
        let world = resolve.select_world(&[package], Some(world)).expect("the contract has this world");
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the module takes its world's types");
        let mut encoder = ComponentEncoder::default();
        encoder
            .validate(true)
            .module(&module)
            .and_then(|encoder| encoder.encode())
            .expect("the module fits its world and can be wrapped")
    }
}

/// A manifest that is good for a kind.
pub(super) fn manifest(kind: &str) -> String {
    let origins = match kind {
        "connector" => {
            r#","origins":[{"name":"api","base":"https://crm.example.com","paths":["/"],"methods":["GET"]}],
                "limits":{"requests_parallel":4,"request_timeout_ms":30000}"#
        }
        _ => "",
    };
    format!(
        r#"{{"id":"hostile","title":"Hostile","version":"1.0.0","contract":"0.1.0","kind":"{kind}","class":"rust",
            "licence":"Apache-2.0","publisher":"nobody"{origins}}}"#
    )
}

/// Appends a manifest as a custom section: its number, the size of what follows, the name with its length, the text.
pub(super) fn with_manifest(component: &[u8], manifest: &str) -> Vec<u8> {
    let name = b"crmsync:manifest";
    let mut section = leb128(name.len());
    section.extend_from_slice(name);
    section.extend_from_slice(manifest.as_bytes());
    let mut whole = component.to_vec();
    whole.push(0);
    whole.extend(leb128(section.len()));
    whole.extend(section);
    whole
}

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

/// One sandbox for all tests: its engines reserve a lot of address space.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(None).expect("the sandbox can be set up"))
}

pub(super) async fn load_connector(guest: &Guest<'_>) -> ConnectorPlugin {
    match runtime().load("test", guest.connector(), Trust::Operator).await {
        Ok(Plugin::Connector(plugin)) => plugin,
        Ok(Plugin::Transform(_)) => panic!("a connector was loaded as a transform"),
        Err(error) => panic!("{error}"),
    }
}

pub(super) async fn load_transform(guest: &Guest<'_>) -> TransformPlugin {
    match runtime().load("test", guest.transform(), Trust::Operator).await {
        Ok(Plugin::Transform(plugin)) => plugin,
        Ok(Plugin::Connector(_)) => panic!("a transform was loaded as a connector"),
        Err(error) => panic!("{error}"),
    }
}

pub(super) async fn refused(bytes: Vec<u8>, trust: Trust) -> Error {
    runtime().load("test", bytes, trust).await.map(drop).expect_err("the component is refused")
}

/// A connector with a door that leads to a closed port.
pub(super) fn instance(plugin: &ConnectorPlugin) -> Connector {
    instance_at(plugin, SocketAddr::from(([127, 0, 0, 1], 9)))
}

/// A connector whose door leads to this address.
pub(super) fn instance_at(plugin: &ConnectorPlugin, address: SocketAddr) -> Connector {
    plugin.instance(door(address), Arc::new(StateCache::new()))
}
