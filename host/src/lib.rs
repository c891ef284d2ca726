//! crmsync keeps CRMs in step: a host for sandboxed Wasm connectors and transforms.

pub mod cli;
pub mod egress;
pub mod engine;
pub mod flow;
pub mod runtime;
pub mod store;
