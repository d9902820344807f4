//! POST, over TLS or in clear: one connection a request, no redirects, no cookies, and of the answer nothing but its status and
//! whether it asks for time.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use pitchside_script::output::Url;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::address::Resolver;
use super::authorities::Authorities;
use super::carry::CarryError;
use super::connect::first_of;

/// How long a request may take altogether. Standard Webhooks 1.0.0 asks senders for 15 to 30 s: whoever answers later has it, and is sent
/// it again.
const WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of an answer's head.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// What is posted.
pub struct Post<'a> {
    /// Media type of the body.
    pub content_type: &'a str,
    /// Names the request for good.
    pub key: &'a str,
    /// Whom it is from, and what signs it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Some of them sign it (Standard Webhooks).
    pub signed: bool,
    /// The body.
    pub body: Bytes,
}

/// Sends requests.
pub struct Client {
    authorities: Authorities,
    resolver: Resolver,
}

impl Client {
    /// Trusts these; has names looked up there.
    pub const fn new(authorities: Authorities, resolver: Resolver) -> Self {
        Self { authorities, resolver }
    }

    /// Posts a body; well if the answer is one of 2xx.
    pub async fn post(&self, url: &Url, what: Post<'_>) -> Result<(), CarryError> {
        let is_signed = what.signed;
        let (status, alone) = match timeout(WITHIN, self.connect_and_post(url, what)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(CarryError::Later(format!("{error:#}"))),
            Err(_) => return Err(CarryError::Later(format!("no answer within {} s", WITHIN.as_secs()))),
        };
        match status {
            status if status.is_success() => Ok(()),
            // Nobody hears there any more, for good (RFC 9110, 15.5.11; Standard Webhooks has senders stop).
            StatusCode::GONE => Err(CarryError::Never(format!("the answer is {status}"))),
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
                // Of what is signed any of these may be about the signature, and the next try has another: of its own time, perhaps by
                // another key. Standard Webhooks 1.0.0 has senders go on for days whatever the answer, but for 410.
                if !is_signed =>
            {
                Err(CarryError::Unwanted(format!("the answer is {status}")))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let why = format!("the answer is {status}");
                Err(match alone {
                    Some(alone) => CarryError::Busy(why, alone),
                    None => CarryError::Later(why),
                })
            }
            status => Err(CarryError::Later(format!("the answer is {status}"))),
        }
    }

    async fn connect_and_post(&self, url: &Url, what: Post<'_>) -> anyhow::Result<(StatusCode, Option<Duration>)> {
        let addresses = self.resolver.addresses(&url.host, url.port).await?;
        let stream = first_of(&addresses).await.context("connecting")?;
        if !url.tls {
            return post(stream, url, what).await;
        }
        let name = ServerName::try_from(url.host.clone()).context("a name for TLS")?;
        let stream = self.authorities.connector()?.connect(name, stream).await.context("TLS")?;
        post(stream, url, what).await
    }
}

/// For how long the other end asks to be left alone (RFC 9110, 10.2.3), in seconds; a date is not heeded.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse::<u32>().ok().map(|seconds| Duration::from_secs(u64::from(seconds)))
}

async fn post<S>(stream: S, url: &Url, what: Post<'_>) -> anyhow::Result<(StatusCode, Option<Duration>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends when the answer is dropped.
    let connection = tokio::spawn(connection);
    let usual = if url.tls { 443 } else { 80 };
    let host = if url.port == usual { url.host.clone() } else { format!("{}:{}", url.host, url.port) };
    let mut request = Request::post(&url.path)
        .header("host", host)
        .header("user-agent", concat!("pitchside/", env!("CARGO_PKG_VERSION")))
        .header("content-type", what.content_type)
        // draft-ietf-httpapi-idempotency-key-header: whoever gets it twice can tell.
        .header("idempotency-key", format!("\"{}\"", what.key))
        .header("connection", "close");
    for (name, value) in what.headers {
        request = request.header(name, value);
    }
    let answer = sender.send_request(request.body(Full::new(what.body))?).await;
    connection.abort();
    let answer = answer?;
    Ok((answer.status(), retry_after(answer.headers())))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::super::address::tests::Turning;
    use super::super::connect::tests::Silent;
    use super::*;

    fn what() -> Post<'static> {
        let (headers, body) = (Vec::new(), Bytes::from_static(b"hello"));
        Post { content_type: "text/plain", key: "k-raised-0", headers, signed: false, body }
    }

    /// Takes one request, and returns its head.
    async fn serve(listener: TcpListener) -> Vec<String> {
        answer(listener, "204 No Content").await
    }

    async fn answer(listener: TcpListener, answer: &str) -> Vec<String> {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
        head
    }

    #[tokio::test]
    async fn the_address_that_was_looked_at_is_posted_to_under_the_name_that_was_granted() {
        let (meant, other) = (TcpListener::bind("127.0.0.2:0").await.unwrap(), "127.0.0.3:9".parse().unwrap());
        let (resolver, names) = Turning::new([&[meant.local_addr().unwrap()], &[other]]);
        let client = Client::new(Authorities::default(), resolver);
        let url = Url::parse("http://localhost:8088/hook").unwrap();
        let serving = tokio::spawn(serve(meant));
        assert_eq!(client.post(&url, what()).await, Ok(()));
        let head = serving.await.unwrap();
        assert!(head.iter().any(|line| line == "host: localhost:8088"), "{head:?}");
        assert_eq!(names.left(), 1, "looked up once");
    }

    #[tokio::test]
    async fn a_receiver_whose_first_address_is_silent_is_reached_by_the_next() {
        let (silent, there) = (Silent::at("127.0.0.2").await, TcpListener::bind("127.0.0.3:0").await.unwrap());
        let (resolver, _) = Turning::new([&[silent.address, there.local_addr().unwrap()]]);
        let url = Url::parse("http://localhost:8088/hook").unwrap();
        let serving = tokio::spawn(serve(there));
        assert_eq!(Client::new(Authorities::default(), resolver).post(&url, what()).await, Ok(()));
        assert_eq!(serving.await.unwrap()[0], "POST /hook HTTP/1.1");
    }

    #[tokio::test]
    async fn an_answer_says_whether_and_when_to_come_again() {
        let later = |why: &str| Err(CarryError::Later(format!("the answer is {why}")));
        let busy = |why: &str, alone| Err(CarryError::Busy(format!("the answer is {why}"), Duration::from_secs(alone)));
        let never = |why: &str| Err(CarryError::Never(format!("the answer is {why}")));
        for (said, meant) in [
            ("202 Accepted", Ok(())),
            ("410 Gone", never("410 Gone")),
            ("500 Internal Server Error", later("500 Internal Server Error")),
            ("503 Service Unavailable", later("503 Service Unavailable")),
            ("503 Service Unavailable\r\nretry-after: 7", busy("503 Service Unavailable", 7)),
            ("429 Too Many Requests\r\nRetry-After: 120", busy("429 Too Many Requests", 120)),
            ("429 Too Many Requests\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT", later("429 Too Many Requests")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = Url::parse(&format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port())).unwrap();
            let answering = tokio::spawn(answer(listener, said));
            let posted = Client::new(Authorities::default(), Resolver::default()).post(&url, what()).await;
            assert_eq!(posted, meant, "{said}");
            answering.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_taken_for_wrong_is_so_unless_it_may_be_the_signature() {
        for said in
            ["400 Bad Request", "413 Payload Too Large", "415 Unsupported Media Type", "422 Unprocessable Entity"]
        {
            for signed in [false, true] {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = Url::parse(&format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port())).unwrap();
                let answering = tokio::spawn(answer(listener, said));
                let what = Post { signed, ..what() };
                let why = format!("the answer is {said}");
                let meant = if signed { CarryError::Later(why) } else { CarryError::Unwanted(why) };
                let posted = Client::new(Authorities::default(), Resolver::default()).post(&url, what).await;
                assert_eq!(posted, Err(meant), "{said}, signed: {signed}");
                answering.await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (resolver, _) = Turning::new([&[listener.local_addr().unwrap()]]);
        let url = Url::parse("http://hooks.clinic.test/").unwrap();
        let refused = Client::new(Authorities::default(), resolver).post(&url, what()).await.unwrap_err();
        assert!(matches!(&refused, CarryError::Later(why) if why.contains("which a name may not")), "{refused:?}");
        let nobody = futures_util::FutureExt::now_or_never(listener.accept());
        assert!(nobody.is_none(), "somebody connected: {nobody:?}");
    }
}
