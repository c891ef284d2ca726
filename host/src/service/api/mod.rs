//! The local API and the status page of the service: what the command line can ask, over HTTP on this machine.
//!
//! There is no user management yet, so this is for the person (and the programs) of this machine: the service listens on loopback,
//! `/api/v1` asks for the token that lies in the data folder, readable by its owner only, and what is readable without it (the page,
//! the metrics, the two health checks) holds no customer's values. See [`guard`] for what a page in a browser of this machine cannot do.

mod answers;
mod guard;
mod metrics;
mod page;
mod problem;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

pub(super) use guard::read_or_make_token;

use super::serve::Service;

/// Largest body of a request, in bytes; none is needed so far.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Everything that the service answers.
pub(super) fn router(service: Arc<Service>, token: String) -> Router {
    let api = Router::new()
        .route("/flows", get(routes::flows))
        .route("/flows/{flow}", get(routes::flow))
        .route("/flows/{flow}/runs", get(routes::runs).post(routes::sync_now))
        .route("/flows/{flow}/pause", post(routes::pause))
        .route("/flows/{flow}/resume", post(routes::resume))
        .route("/flows/{flow}/outcomes", get(routes::outcomes))
        .route("/flows/{flow}/log", get(routes::log))
        .route("/connections", get(routes::connections))
        .route("/quotas", get(routes::quotas))
        .fallback(routes::nothing_here)
        .layer(from_fn_with_state(Arc::<str>::from(token), guard::asks_for_token));
    Router::new()
        .nest("/api/v1", api)
        .route("/", get(page::page))
        .route("/console.css", get(page::style))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(routes::healthz))
        .route("/readyz", get(routes::readyz))
        .fallback(routes::nothing_here)
        .layer(from_fn(guard::is_for_this_machine))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}
