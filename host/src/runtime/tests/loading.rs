//! Files that must not become plugins, and those that must.

use super::guest::{Guest, load_connector, manifest, refused, runtime, with_manifest};
use crate::runtime::manifest::PluginKind;
use crate::runtime::{Error, Plugin, Runtime, Trust, inspect};

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's WebAssembly text is well formed")
}

#[tokio::test]
async fn every_bundled_plugin_loads() {
    for id in Runtime::bundled() {
        match runtime().load_bundled(id).await {
            Ok(Plugin::Connector(plugin)) => assert_eq!(plugin.manifest().id, id),
            Ok(Plugin::Transform(plugin)) => {
                assert_eq!(plugin.manifest().id, id);
                assert!(!plugin.functions().await.expect("the functions are listed").is_empty());
            }
            Err(error) => panic!("{error}"),
        }
    }
    let error = runtime().load_bundled("no-such").await.map(drop).expect_err("there is none");
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn plugins_from_elsewhere_need_trust() {
    let error = refused(Guest::EMPTY.connector(), Trust::BundledOnly).await;
    assert!(matches!(&error, Error::Untrusted { plugin } if plugin == "hostile"), "{error}");
    assert_eq!(load_connector(&Guest::EMPTY).await.manifest().kind, PluginKind::Connector);
    assert_eq!(inspect("test", &Guest::EMPTY.transform()).expect("it can be looked at").kind, PluginKind::Transform);
}

#[tokio::test]
async fn what_is_not_a_component_is_refused() {
    let check = async |bytes: Vec<u8>, case: &str| {
        let error = refused(bytes, Trust::Operator).await;
        assert!(matches!(error, Error::NotAComponent { .. }), "{case}: {error}");
    };
    check(Vec::new(), "nothing").await;
    check(b"#!/bin/sh\n".to_vec(), "a script").await;
    check(component("(module)"), "a plain module").await;
    check(b"\x7fELF\x02\x01\x01\0compiled code".to_vec(), "compiled code").await;
    let whole = Guest::EMPTY.connector();
    check(whole[..whole.len() / 2].to_vec(), "half a component").await;
    let mut wild = whole.clone();
    wild[12..].fill(0xff);
    check(wild, "wild bytes").await;
}

#[tokio::test]
async fn foreign_imports_are_refused_by_name() {
    let check = async |text: &str, kind: &str, foreign: &str| {
        let error = refused(with_manifest(&component(text), &manifest(kind)), Trust::Operator).await;
        assert!(matches!(&error, Error::ForeignImport { name, .. } if name == foreign), "{error}");
    };
    let import = |name: &str| format!(r#"(component (import "{name}" (instance)))"#);
    for foreign in ["wasi:cli/environment@0.2.3", "crmsync:plugin/egress@0.2.0", "crmsync:plugin/secrets@0.1.0"] {
        check(&import(foreign), "connector", foreign).await;
    }
    // A transform has no network, whatever it imports it for.
    check(&import("crmsync:plugin/egress@0.1.0"), "transform", "crmsync:plugin/egress@0.1.0").await;
    check(r#"(component (import "free" (func)))"#, "connector", "free").await;
}

#[tokio::test]
async fn a_component_must_fit_its_contract() {
    let check = async |bytes: Vec<u8>, case: &str| {
        let error = refused(bytes, Trust::Operator).await;
        assert!(matches!(error, Error::WrongContract { .. }), "{case}: {error}");
    };
    check(with_manifest(&component("(component)"), &manifest("connector")), "no exports").await;
    check(with_manifest(&component("(component)"), &manifest("transform")), "no exports").await;
    let import =
        r#"(component (import "crmsync:plugin/log@0.1.0" (instance (export "write" (func (param "level" string))))))"#;
    check(with_manifest(&component(import), &manifest("connector")), "another type of a known import").await;
}

#[tokio::test]
async fn manifests_are_read_strictly() {
    let check = async |manifests: &[String], part: &str| {
        let bytes = manifests.iter().fold(component("(component)"), |bytes, manifest| with_manifest(&bytes, manifest));
        match refused(bytes, Trust::Operator).await {
            Error::BadManifest { reason, .. } => assert!(reason.contains(part), "`{reason}` says nothing of `{part}`"),
            other => panic!("{other}"),
        }
    };
    let good = manifest("connector");
    check(&[], "missing").await;
    check(&[good.clone(), good.clone()], "more than one").await;
    check(&["{".to_owned()], "EOF").await;
    check(&[good.replace("\"id\"", "\"also\":1,\"id\"")], "unknown field").await;
    check(&[good.replace("hostile", "../etc")], "`id`").await;
    check(&[good.replace("\"1.0.0\"", "\"one\"")], "`version`").await;
    check(&[good.replace("\"0.1.0\"", "\"0.2.0\"")], "contract `0.2.0`").await;
    check(&[good.replace("\"rust\"", "\"native\"")], "unknown variant").await;
    check(&[good.replace("\"nobody\"", "\"\"")], "`publisher`").await;
    check(&[good.replace("https://", "http://")], "https").await;
    check(&[good.replace("\"GET\"", "\"CONNECT\"")], "CONNECT").await;
    check(&[good.replace("\"connector\"", "\"transform\"")], "neither origins nor logins").await;
    check(&[manifest("transform").replace("\"transform\"", "\"connector\"")], "needs `limits`").await;
    check(&[good.replace(":30000", ":0")], "needs `limits`").await;
    let twice = good
        .replace(r#"{"name":"api""#, r#"{"name":"api","base":"auth:x","paths":["/"],"methods":["GET"]},{"name":"api""#);
    check(&[twice], "twice").await;
    check(&[good.replace("\"origins\"", "\"secret_fields\":[\"token\"],\"origins\"")], "pointer").await;
}

#[tokio::test]
async fn what_would_take_long_to_compile_is_refused_before() {
    let check = async |bytes: Vec<u8>, expected: &str| {
        let error = refused(bytes, Trust::Operator).await;
        assert!(matches!(error, Error::TooLarge { what, .. } if what == expected), "{error}");
    };
    let connector = |inner: &str| with_manifest(&component(&format!("(component {inner})")), &manifest("connector"));
    check(connector(&format!("(core module {})", "(func)".repeat(10_001))), "functions in the component").await;
    check(connector(&"(core module)".repeat(129)), "modules in the component").await;
    let deep = format!("{}{}", "(component ".repeat(5), ")".repeat(5));
    check(connector(&deep), "levels of nested components").await;
    let long = format!("(core module (func {}))", "nop ".repeat((1 << 20) + 1));
    check(connector(&long), "bytes of the longest function").await;
    let data = format!("(core module (memory 100) (data (i32.const 0) \"{}\"))", "x".repeat(4 << 20));
    check(connector(&data), "bytes of the component").await;
    let huge = format!("{{{}", " ".repeat(256 << 10));
    check(with_manifest(&component("(component)"), &huge), "bytes of the manifest").await;
}

#[tokio::test]
async fn proposals_that_no_plugin_needs_are_off() {
    for module in [
        "(memory 1 1 shared)",
        "(memory i64 1)",
        "(memory 1) (memory 1)",
        "(func (result v128) (v128.const i64x2 0 0))",
        "(type (struct))",
        "(tag)",
        "(func (return_call 0))",
        "(func (param externref))",
    ] {
        let bytes = component(&format!("(component (core module {module}))"));
        let error = refused(with_manifest(&bytes, &manifest("transform")), Trust::Operator).await;
        assert!(matches!(error, Error::Compile { .. }), "{module}: {error}");
    }
}
