//! The only door to the network.
mod request;
pub use request::{Admissions, Answer, CallScope, Effect, Payload, Refusal, Request};
