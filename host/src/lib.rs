//! crmsync keeps CRMs in step: a host for sandboxed Wasm connectors and transforms.

pub mod cli;
pub mod flow;
