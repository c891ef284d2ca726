//! A server on loopback that takes its time, and a door to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use crate::egress::{Conflict, Door, Gate, GateConfig, Grant, Limits, OriginSpec, Secrets, Vault};

/// How long the server thinks before it answers: longer than both clocks of a call in these tests.
pub(super) const ANSWER_AFTER: Duration = Duration::from_millis(400);

/// Answers every request with `{"data":[{"id":"7"}]}`, one for each connection.
pub(in crate::runtime) async fn slow_crm() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("the listener has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _read = stream.read(&mut request).await;
                tokio::time::sleep(ANSWER_AFTER).await;
                let body = r#"{"data":[{"id":"7"}]}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _written = stream.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    address
}

/// A door whose one origin `api` is this server.
pub(in crate::runtime) fn door(address: SocketAddr) -> Arc<Door> {
    let origin: OriginSpec =
        serde_json::from_str(r#"{"name":"api","base":"setting:url","paths":["/"],"methods":["GET"]}"#)
            .expect("the origin is well formed");
    let auth = serde_json::from_str(r#"{"kind":"api-key","header":"x-key","secret":"key"}"#).expect("so is the login");
    let grant = Grant {
        tenant: "t".to_owned(),
        connection: "c".to_owned(),
        version: 1,
        plugin: "hostile".to_owned(),
        origins: vec![origin],
        auth,
        settings: BTreeMap::from([("url".to_owned(), Url::parse(&format!("http://{address}")).expect("a URL").into())]),
        origin_overrides: BTreeMap::new(),
        addresses: vec![address],
        secret_fields: Vec::new(),
        limits: Limits { requests_parallel: 4, request_timeout_ms: 30_000, requests_per_minute: None },
    };
    let gate = Gate::new(GateConfig::new(Arc::new(|| 0))).expect("the gate's limits are good");
    gate.door(grant, Arc::new(OneKey)).expect("the grant is good")
}

/// Keeps one key and never changes it.
struct OneKey;

impl Vault for OneKey {
    fn load<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<(u64, Secrets)>, String>> {
        let values = BTreeMap::from([("key".to_owned(), "s3cret-key".to_owned().into())]);
        Box::pin(async { Ok(Some((1, Secrets { values, facts: BTreeMap::new() }))) })
    }

    fn replace<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: u64,
        _: Secrets,
    ) -> BoxFuture<'a, Result<Result<u64, Conflict>, String>> {
        Box::pin(async { Ok(Err(Conflict)) })
    }
}
