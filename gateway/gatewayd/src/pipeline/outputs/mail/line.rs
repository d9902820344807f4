//! The line to a mail server: connected, greeted, and in TLS as the admin said.
//!
//! STARTTLS is asked for here and not by `lettre`, which keeps what it has read of the line when it changes to TLS: whoever stands
//! between could say in clear, ahead of time, what then counts as said in TLS (CVE-2011-0411 of other programs), down to "250 kept".

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use pitchside_script::output::{MailServer, MailTls};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::super::authorities::Authorities;
use super::super::carry::CarryError;
use super::super::connect::first_of;
use super::{later, printable};

/// The most bytes of a reply in clear.
const REPLY_BYTES_MAX: usize = 16 * 1024;
/// In place of the greeting, which comes once a connection and was heard in clear: after STARTTLS the client speaks first (RFC 3207, 4.2),
/// and `lettre` waits to be greeted.
const GREETED: &[u8] = b"220 greeted\r\n";

/// A line as `lettre` takes it over.
#[derive(Debug)]
struct Line<S> {
    /// What is read first.
    greeting: &'static [u8],
    stream: S,
    peer: SocketAddr,
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.greeting.is_empty() {
            return Pin::new(&mut line.stream).poll_read(cx, buf);
        }
        let (now, left) = line.greeting.split_at(line.greeting.len().min(buf.remaining()));
        buf.put_slice(now);
        line.greeting = left;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug> AsyncTokioStream for Line<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

/// Connects to one of these addresses of a server, the first that answers, up to the reply to EHLO. In TLS it is to prove the name that
/// was granted, whatever its address. Whatever is refused here may be let in later: it is not about the mail.
pub(super) async fn open(
    server: &MailServer,
    addresses: &[SocketAddr],
    authorities: &Authorities,
) -> Result<AsyncSmtpConnection, CarryError> {
    let mut stream = first_of(addresses).await.map_err(later)?;
    let (peer, hello) = (stream.peer_addr().map_err(later)?, ClientId::default());
    let line: Box<dyn AsyncTokioStream> = match server.tls {
        MailTls::Clear => Box::new(stream),
        MailTls::Wrapped => {
            let stream = in_tls(stream, server, authorities).await?;
            Box::new(Line { greeting: b"", stream, peer })
        }
        MailTls::Starttls => {
            starttls(&mut stream, &hello).await?;
            let stream = in_tls(stream, server, authorities).await?;
            Box::new(Line { greeting: GREETED, stream, peer })
        }
    };
    AsyncSmtpConnection::connect_with_transport(line, &hello).await.map_err(later)
}

async fn in_tls(
    stream: TcpStream,
    server: &MailServer,
    authorities: &Authorities,
) -> Result<TlsStream<TcpStream>, CarryError> {
    let connector = authorities.connector().map_err(|error| CarryError::Later(format!("{error:#}")))?;
    let name = ServerName::try_from(server.host.clone()).map_err(later)?;
    connector.connect(name, stream).await.map_err(|error| later(format!("TLS: {error}")))
}

/// Agrees on TLS. Nothing is read beyond the reply that ends this: what follows it is the handshake's to read, which only takes what
/// proves itself.
async fn starttls(stream: &mut TcpStream, hello: &ClientId) -> Result<(), CarryError> {
    expect("220", &reply(stream).await?)?;
    let offers = ask(stream, &Ehlo::new(hello.clone()).to_string()).await?;
    expect("250", &offers)?;
    // Without STARTTLS nothing more is said, so nobody on the way can take it out.
    if !offers.lines().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"))) {
        return Err(later("the mail server does not offer STARTTLS"));
    }
    expect("220", &ask(stream, &Starttls.to_string()).await?)
}

fn expect(code: &str, reply: &str) -> Result<(), CarryError> {
    if reply.starts_with(code) { Ok(()) } else { Err(later(format!("the mail server says {}", printable(reply)))) }
}

async fn ask(stream: &mut TcpStream, command: &str) -> Result<String, CarryError> {
    stream.write_all(command.as_bytes()).await.map_err(later)?;
    reply(stream).await
}

/// One reply (RFC 5321, 4.2.1), byte by byte: none after it is taken from the line.
async fn reply(stream: &mut TcpStream) -> Result<String, CarryError> {
    let (mut said, mut line_at) = (Vec::new(), 0);
    while said.len() < REPLY_BYTES_MAX {
        let byte = stream.read_u8().await.map_err(later)?;
        said.push(byte);
        if byte != b'\n' {
            continue;
        }
        // `250-one`, `250 and the last`.
        if said.get(line_at + 3) != Some(&b'-') {
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
        line_at = said.len();
    }
    Err(later("the mail server does not come to an end"))
}
