//! Requests to an instance.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url, header, redirect};
use serde_json::Value;
use tokio::{runtime::Runtime, time::timeout};

use crate::{context, error::Failure, token::Secret};

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer that is no stream.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Largest answer that is no stream; the protocol's pages end at 8 MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What proves who asks.
#[derive(Default)]
pub(crate) struct Credential {
    /// The bearer.
    pub(crate) token: Option<Secret>,
    /// The local proof of the home's own instance.
    pub(crate) local_proof: Option<String>,
}

/// Asks one instance, and waits for its answers.
pub(crate) struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    base: Url,
    credential: Credential,
}

/// An answer that has arrived in full.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// How long to wait before asking again, where the instance says so.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.body)
            .map_err(|e| Failure::refused(format!("the instance's answer is no JSON: {e}")))
    }

    /// The body as a type.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.body)
            .map_err(|e| Failure::refused(format!("the instance's answer has an unexpected shape: {e}")))
    }
}

impl Client {
    /// A client for the instance at `base`.
    pub(crate) fn new(base: Url, credential: Credential) -> Result<Self, Failure> {
        let broken =
            |e: &dyn std::fmt::Display| Failure::refused(format!("cannot set up the HTTP client: {e}"));
        // Fails only where a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            // A redirect would take the credential elsewhere.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("spl/", env!("CARGO_PKG_VERSION")));
        if context::is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| broken(&e))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| broken(&e))?;
        Ok(Self { runtime, http, base, credential })
    }

    /// The address asked.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether a bearer is sent.
    pub(crate) fn has_token(&self) -> bool {
        self.credential.token.is_some()
    }

    /// A GET of the path with these segments.
    pub(crate) fn get(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::GET, path)
    }

    /// A POST to the path with these segments.
    pub(crate) fn post(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::POST, path)
    }

    /// A PATCH of what has the path with these segments.
    pub(crate) fn patch(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::PATCH, path)
    }

    /// A DELETE of what has the path with these segments.
    pub(crate) fn delete(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::DELETE, path)
    }

    fn request(&self, method: Method, path: &[&str]) -> Request<'_> {
        let mut url = self.base.clone();
        // Dot segments would vanish from the path and the request mean something else.
        let addressable = path.iter().all(|segment| !matches!(*segment, "" | "." | ".."));
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        let mut builder = self.http.request(method, url);
        if let Some(token) = &self.credential.token {
            builder = builder.bearer_auth(token.expose());
        }
        if let Some(proof) = &self.credential.local_proof {
            builder = builder.header("x-syncropel-local", proof);
        }
        Request { client: self, builder, query: Vec::new(), addressable }
    }

    /// What an answer that is no success means. Whoever has no token is told how to get one.
    fn refusal(&self, answer: &Answer) -> Failure {
        let failure = Failure::from_answer(answer.status.as_u16(), &answer.body);
        let advice = match failure.code() {
            Some("AUTH_REQUIRED") if !self.has_token() => {
                "run `spl up` to set this instance up, or `spl token save <token>` if you have a token"
            }
            Some("AUTH_INVALID") => "see which token is used with `spl token info`, then save a live one",
            _ => return failure,
        };
        if failure.first_hint().is_some() { failure } else { failure.hint(advice) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        context::unreachable_at(&self.base, &root_cause(error))
    }
}

/// A request being made.
pub(crate) struct Request<'a> {
    client: &'a Client,
    builder: reqwest::RequestBuilder,
    query: Vec<(String, String)>,
    addressable: bool,
}

impl<'a> Request<'a> {
    /// Adds a query parameter, where it has a value.
    pub(crate) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|v| (name.to_owned(), v.to_string())));
        self
    }

    /// Adds a header, where it has a value.
    pub(crate) fn header(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.builder = self.builder.header(name, value);
        }
        self
    }

    /// Sets the body: JSON text.
    pub(crate) fn json_text(mut self, body: String) -> Self {
        self.builder = self.builder.header(header::CONTENT_TYPE, "application/json").body(body);
        self
    }

    /// Sets the body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.json_text(body.to_string())
    }

    /// Sends it, and gives the answer to a success; anything else is a failure.
    pub(crate) fn send(self) -> Result<Answer, Failure> {
        let client = self.client;
        let answer = self.send_any()?;
        if answer.status.is_success() { Ok(answer) } else { Err(client.refusal(&answer)) }
    }

    /// Sends it, and gives whatever the instance answers.
    pub(crate) fn send_any(self) -> Result<Answer, Failure> {
        let client = self.client;
        let builder = self.finish()?;
        client.runtime.block_on(async {
            let whole = async {
                let response = builder.send().await.map_err(|e| client.unreachable(&e))?;
                read_answer(client, response).await
            };
            timeout(ANSWER_LIMIT, whole)
                .await
                .unwrap_or_else(|_| Err(context::unreachable_at(&client.base, "no answer within 60 seconds")))
        })
    }

    /// Sends it, and gives the answer to a success as a stream of bytes.
    pub(crate) fn stream(self) -> Result<Stream<'a>, Failure> {
        let client = self.client;
        let builder = self.finish()?;
        let response = client.runtime.block_on(async {
            let response = timeout(ANSWER_LIMIT, builder.send())
                .await
                .map_err(|_| context::unreachable_at(&client.base, "no answer within 60 seconds"))?
                .map_err(|e| client.unreachable(&e))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let answer = read_answer(client, response).await?;
            Err(client.refusal(&answer))
        })?;
        Ok(Stream { client, response })
    }

    fn finish(self) -> Result<reqwest::RequestBuilder, Failure> {
        if !self.addressable {
            return Err(Failure::usage("a name that is empty, `.` or `..` cannot be part of an address")
                .hint("ask for it with `spl record query --thread NAME`"));
        }
        let (http, request) = self.builder.build_split();
        let mut request = request.map_err(|e| Failure::usage(format!("cannot make the request: {e}")))?;
        if !self.query.is_empty() {
            request.url_mut().query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(reqwest::RequestBuilder::from_parts(http, request))
    }
}

/// An answer that arrives piece by piece.
pub(crate) struct Stream<'a> {
    client: &'a Client,
    response: Response,
}

impl Stream<'_> {
    /// The next piece; `None` at the end. A stream that stays silent for `limit` has failed.
    pub(crate) fn next(&mut self, limit: Duration) -> Result<Option<Vec<u8>>, Failure> {
        let Self { client, response } = self;
        let chunk = client.runtime.block_on(async { timeout(limit, response.chunk()).await });
        match chunk {
            Ok(Ok(chunk)) => Ok(chunk.map(|bytes| bytes.to_vec())),
            Ok(Err(e)) => Err(Failure::unreachable(format!("the stream broke off: {}", root_cause(&e)))),
            Err(_) => Err(Failure::unreachable(format!("the stream was silent for {} s", limit.as_secs()))),
        }
    }
}

async fn read_answer(client: &Client, mut response: Response) -> Result<Answer, Failure> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| client.unreachable(&e))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Failure::refused("the answer is larger than any instance would send"));
        }
    }
    let body = String::from_utf8(body).map_err(|_| Failure::refused("the instance's answer is no UTF-8"))?;
    Ok(Answer { status, retry_after, body })
}

/// The innermost reason: the outer ones repeat the address.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
