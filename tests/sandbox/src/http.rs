//! HTTP as both sandbox CRMs see it: a request that is wholly there, an answer, and a connection that can be cut.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::http::HeaderMap;
use axum::serve::{IncomingStream, Listener};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// One call, with its body read to the end.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, … in capitals.
    pub method: String,
    /// The path as sent, still percent-encoded, without the query.
    pub path: String,
    /// The query as sent, without the question mark; empty if there is none.
    pub query: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as sent.
    pub body: Vec<u8>,
    /// Server time of arrival, milliseconds since 1970.
    pub at_ms: i64,
}

impl Request {
    /// The value of a header, if it is there and plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The decoded query, in the order sent.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// The decoded body of a form, in the order sent.
    pub fn form_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The path with its query, each value of the named parameters replaced by `***`.
    pub fn shown(&self, secrets: &[&str]) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let shown: Vec<String> = self
            .query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((name, _)) if secrets.iter().any(|secret| secret.eq_ignore_ascii_case(name)) => {
                    format!("{name}=***")
                }
                _ => pair.to_owned(),
            })
            .collect();
        format!("{}?{}", self.path, shown.join("&"))
    }
}

/// What the CRM says to a call.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, with lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Rows returned or written, for the list of calls.
    pub rows: u32,
}

impl Answer {
    /// An answer without a body.
    pub fn empty(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    /// A JSON answer with exactly this `content-type`.
    pub fn json(status: u16, content_type: &str, body: &Value) -> Answer {
        Answer::text(status, content_type, body.to_string())
    }

    /// An answer with any text and its `content-type`.
    pub fn text(status: u16, content_type: &str, body: impl Into<String>) -> Answer {
        Answer {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into().into_bytes(),
            rows: 0,
        }
    }

    /// The same answer with one more header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The same answer, counted with so many rows.
    pub fn with_rows(mut self, rows: usize) -> Answer {
        self.rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self
    }
}

/// A handle on the connection of one client: a scripted fault closes it before any byte of the answer leaves.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    cut: Arc<AtomicBool>,
}

impl Connection {
    /// Makes the next write on this connection fail, which closes it without an answer.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

/// A TCP listener whose connections can be cut.
pub(crate) struct Door {
    listener: TcpListener,
}

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Door {
        Door { listener }
    }
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Without this, small answers wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's algorithm");
        }
        (Wire { stream, connection: Connection::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Connection {
        stream.io().connection.clone()
    }
}

/// One accepted connection.
pub(crate) struct Wire {
    stream: TcpStream,
    connection: Connection,
}

impl Wire {
    fn refuse_if_cut(&self) -> io::Result<()> {
        if self.connection.cut.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut by the fault plan"));
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
