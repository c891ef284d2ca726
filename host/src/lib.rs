//! crmsync keeps CRMs in step: a host for sandboxed Wasm connectors and transforms.

pub mod egress;
pub mod engine;
pub mod store;
