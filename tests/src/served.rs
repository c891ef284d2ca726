//! `crmsync serve` as a process of its own, and the programs that ask it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::Outcome;
use crate::product::{self, Product};

/// A service that has not ended so long after it was asked to hangs.
const HANGS_AFTER: Duration = Duration::from_secs(40);
/// Pause between two looks at something that is to become true.
const LOOK: Duration = Duration::from_millis(100);

/// A service that runs; its process ends with this.
pub struct Service {
    /// Where it answers.
    pub url: String,
    process: Child,
    token: String,
    http: reqwest::Client,
}

/// What the service answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl Service {
    /// Starts it in a data folder; `arguments` go behind `serve`.
    ///
    /// # Errors
    /// It does not start; says what it said.
    pub async fn start(product: &Product, data: &Path, arguments: &[&str]) -> Outcome<Service> {
        let mut process = product
            .command([&["serve", "--listen", "127.0.0.1:0", "--json"], arguments].concat())
            .env("CRMSYNC_DATA", data)
            .stderr(std::process::Stdio::inherit())
            .spawn()
            .map_err(|error| format!("the service does not start: {error}"))?;
        let stdout = process.stdout.take().ok_or("the service has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut text = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            text.push_str(&line);
            if line == "}" {
                break;
            }
        }
        let ready: Value = serde_json::from_str(&text).map_err(|error| format!("it says `{text}`: {error}"))?;
        let Some(url) = ready["address"].as_str().map(str::to_owned) else { return Err(text) };
        let token_file: PathBuf = data.join("api.token");
        let token = std::fs::read_to_string(&token_file).map_err(|error| format!("no token: {error}"))?;
        // The client speaks plain HTTP to our own process; a provider has to be named all the same.
        let _set_already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Service { url, process, token, http })
    }

    /// Reads something, with the token.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn get(&self, path: &str) -> Outcome<Reply> {
        let token = format!("Bearer {}", self.token);
        answer(self.http.get(format!("{}{path}", self.url)).header("authorization", token)).await
    }

    /// Asks for something to happen, with the token.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn post(&self, path: &str) -> Outcome<Reply> {
        let token = format!("Bearer {}", self.token);
        answer(self.http.post(format!("{}{path}", self.url)).header("authorization", token)).await
    }

    /// A request as a stranger on this machine sends it: without the token, with headers of its own choice.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn stranger(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Outcome<Reply> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    /// Waits until a flow is as it should be; gives it.
    ///
    /// # Errors
    /// It does not become so in time; says how it is.
    pub async fn until(&self, flow: &str, within: Duration, is_so: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let began = Instant::now();
        loop {
            let answer = self.get(&format!("/api/v1/flows/{flow}")).await?.json();
            if is_so(&answer["flow"]) {
                return Ok(answer["flow"].clone());
            }
            if began.elapsed() > within {
                return Err(format!("the flow does not become what it should: {answer}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends a signal, as a service manager does, and waits for the end; gives the exit code.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(mut self, signal: i32) -> Outcome<i32> {
        product::signal(&self.process, signal)?;
        let ended = tokio::time::timeout(HANGS_AFTER, self.process.wait()).await;
        let status = ended.map_err(|_| "the service does not end")?.map_err(|error| error.to_string())?;
        Ok(status.code().unwrap_or(-1))
    }

    /// Ends it in the middle of whatever it does, like a power cut.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(mut self) -> Outcome<()> {
        self.process.kill().await.map_err(|error| format!("the service cannot be killed: {error}"))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Outcome<Reply> {
    let failed = |error: reqwest::Error| format!("the service does not answer: {error}");
    let answer = request.send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    Ok(Reply { status, text: answer.text().await.map_err(failed)? })
}

/// Waits until something is so.
///
/// # Errors
/// It does not become so in time, or cannot be asked.
pub async fn eventually<F>(what: &str, within: Duration, is_so: impl Fn() -> F) -> Outcome<Duration>
where
    F: Future<Output = Outcome<bool>>,
{
    let began = Instant::now();
    loop {
        if is_so().await? {
            return Ok(began.elapsed());
        }
        if began.elapsed() > within {
            return Err(format!("not within {within:?}: {what}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}
