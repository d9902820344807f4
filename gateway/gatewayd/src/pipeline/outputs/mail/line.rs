//! The line to a mail server: connected, greeted, in TLS as the admin said, and introduced.
//!
//! The box says by itself who it is, and `lettre` takes over after that: it knows no HELO, and mail must go out through a server that
//! knows nothing else.
//!
//! STARTTLS is asked for here and not by `lettre`, which keeps what it has read of the line when it changes to TLS: whoever stands
//! between could say in clear, ahead of time, what then counts as said in TLS (CVE-2011-0411 of other programs), down to "250 kept".

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
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

/// The most bytes of a reply that is read here.
const REPLY_BYTES_MAX: usize = 16 * 1024;
/// In place of the greeting, which was heard already.
const GREETED: &str = "220 greeted\r\n";
/// In place of the rest of a server's answer to EHLO or HELO, which may be no word at all.
const WELCOME: &str = "250 welcome\r\n";

/// A line as `lettre` takes it over, which waits to be greeted, introduces itself and hears what the server can do. All that was said
/// before: it hears what it needs of it again, and what it says is heard by nobody.
#[derive(Debug)]
struct Line<S> {
    /// What is read first.
    heard: Bytes,
    /// What is written up to the end of a line goes nowhere.
    swallows: bool,
    stream: S,
    peer: SocketAddr,
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.heard.is_empty() {
            return Pin::new(&mut line.stream).poll_read(cx, buf);
        }
        let now = line.heard.split_to(line.heard.len().min(buf.remaining()));
        buf.put_slice(&now);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        if !line.swallows {
            return Pin::new(&mut line.stream).poll_write(cx, buf);
        }
        let end = buf.iter().position(|byte| *byte == b'\n');
        line.swallows = end.is_none();
        Poll::Ready(Ok(end.map_or(buf.len(), |end| end + 1)))
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
    with_login: bool,
) -> Result<AsyncSmtpConnection, CarryError> {
    on(first_of(addresses).await.map_err(later)?, server, authorities, with_login).await
}

/// The same on a connection that is there.
pub(super) async fn on(
    mut stream: TcpStream,
    server: &MailServer,
    authorities: &Authorities,
    with_login: bool,
) -> Result<AsyncSmtpConnection, CarryError> {
    let (peer, own) = (stream.peer_addr().map_err(later)?, stream.local_addr().map_err(later)?);
    let hello = literal(own.ip());
    match server.tls {
        MailTls::Clear => {
            expect("220", &reply(&mut stream).await?)?;
            say_hello(stream, peer, &hello, with_login).await
        }
        MailTls::Wrapped => {
            let mut stream = in_tls(stream, server, authorities).await?;
            expect("220", &reply(&mut stream).await?)?;
            say_hello(stream, peer, &hello, with_login).await
        }
        MailTls::Starttls => {
            starttls(&mut stream, &hello).await?;
            // The client speaks first, then (RFC 3207, 4.2).
            say_hello(in_tls(stream, server, authorities).await?, peer, &hello, with_login).await
        }
    }
}

/// Who the box is: it may have no name that means anything outside, so the address that it is seen to come from, as far as it can know
/// (RFC 5321, 4.1.3 and 4.1.4). What names itself by the loopback address from another machine many servers turn away.
fn literal(own: IpAddr) -> ClientId {
    match own.to_canonical() {
        IpAddr::V4(own) => ClientId::Ipv4(own),
        IpAddr::V6(own) => ClientId::Ipv6(own),
    }
}

/// Says who the box is, and leaves the line to `lettre`. A server that knows no EHLO is told by HELO (RFC 5321, 3.2), unless it is to be
/// logged in to: that is an extension, and is offered in the reply to EHLO.
async fn say_hello<S>(
    mut stream: S,
    peer: SocketAddr,
    hello: &ClientId,
    with_login: bool,
) -> Result<AsyncSmtpConnection, CarryError>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug + 'static,
{
    let mut offers = ask(&mut stream, &Ehlo::new(hello.clone()).to_string()).await?;
    if !with_login && (offers.starts_with("500") || offers.starts_with("502")) {
        offers = ask(&mut stream, &format!("HELO {hello}\r\n")).await?;
    }
    expect("250", &offers)?;
    let heard = Bytes::from(format!("{GREETED}{}{WELCOME}", logins(&offers)));
    let line = Line { heard, swallows: true, stream, peer };
    AsyncSmtpConnection::connect_with_transport(Box::new(line), hello).await.map_err(later)
}

/// The ways to log in that a server offers beside its name, which are all that is needed of what it can do, as lines of a reply. `lettre`
/// knows them in capitals alone (RFC 5321, 2.4: either counts), and panics at a line of nothing but spaces.
fn logins(offers: &str) -> String {
    let offered = offers.lines().skip(1).filter_map(|line| line.get(4..));
    let words = offered.map(|words| words.trim().to_ascii_uppercase());
    words
        .filter(|words| words.starts_with("AUTH "))
        .flat_map(|words| ["250-".to_owned(), words, "\r\n".to_owned()])
        .collect()
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

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, command: &str) -> Result<String, CarryError> {
    stream.write_all(command.as_bytes()).await.map_err(later)?;
    stream.flush().await.map_err(later)?;
    reply(stream).await
}

/// One reply (RFC 5321, 4.2.1), byte by byte: none after it is taken from the line.
async fn reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<String, CarryError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_names_itself_by_its_address_as_mail_servers_write_it() {
        for (own, said) in
            [("192.0.2.7", "[192.0.2.7]"), ("2001:db8::7", "[IPv6:2001:db8::7]"), ("::ffff:192.0.2.7", "[192.0.2.7]")]
        {
            assert_eq!(literal(own.parse().unwrap()).to_string(), said);
        }
    }

    #[test]
    fn of_what_a_server_offers_only_the_ways_to_log_in_are_passed_on_however_it_writes_them() {
        for (offers, passed_on) in [
            ("250-mail.test\r\n250-SIZE 1000\r\n250 AUTH PLAIN LOGIN\r\n", "250-AUTH PLAIN LOGIN\r\n"),
            ("250-mail.test\n250-auth plain\n250 8BITMIME\n", "250-AUTH PLAIN\r\n"),
            ("250-AUTH PLAIN\r\n250-  \r\n250-\r\n250\r\n", ""),
        ] {
            assert_eq!(logins(offers), passed_on, "{offers}");
        }
    }
}
