//! crmsync keeps CRMs in step: a host for sandboxed Wasm connectors and transforms.

pub mod app;
pub mod cli;
pub mod egress;
pub mod engine;
pub mod flow;
pub mod runtime;
pub mod scheduler;
pub mod service;
pub mod store;
