use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_script::output::MailTls;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::super::address::tests::Turning;
use super::super::connect::tests::Silent;
use super::*;

const KEY: &str = "11111111111111111111111111111111-raised-0";

/// What a receiver refuses.
#[derive(Clone, Copy, Default)]
struct Refuses {
    greeting: Option<&'static str>,
    starttls: bool,
    login: bool,
    sender: Option<&'static str>,
    recipient: Option<&'static str>,
    /// What it says to EHLO, if it knows none.
    hello: Option<&'static str>,
    /// What it says to DATA.
    data: Option<&'static str>,
    /// What it says when it has the text.
    text: Option<&'static str>,
    /// It does not answer a goodbye.
    goodbye: bool,
    /// What somebody on the way adds to the reply to STARTTLS.
    injected: &'static str,
}

/// A mail server (RFC 5321) that writes down what it is told, line by line; lines in TLS are led by `*`.
struct Receiver {
    address: SocketAddr,
    /// In PEM.
    certificate: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(wrapped: bool, refuses: Refuses) -> Self {
        Self::at("127.0.0.1", "127.0.0.1", wrapped, refuses).await
    }

    /// At an address of this machine, with a certificate for a name.
    async fn at(address: &str, name: &str, wrapped: bool, refuses: Refuses) -> Self {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let certificate = made.cert.pem();
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let lines = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let talked = if wrapped {
                    Some(acceptor.accept(stream).await)
                } else {
                    let mut stream = BufReader::new(stream);
                    let upgrade = talk(&mut stream, (true, false), refuses, &lines).await;
                    if upgrade { Some(acceptor.accept(stream.into_inner()).await) } else { None }
                };
                if let Some(Ok(stream)) = talked {
                    talk(&mut BufReader::new(stream), (wrapped, true), refuses, &lines).await;
                }
            }
        });
        Self { address, certificate, heard }
    }

    fn server(&self, tls: MailTls) -> MailServer {
        MailServer { tls, host: self.address.ip().to_string(), port: self.address.port() }
    }

    fn heard(&self) -> String {
        self.heard.lock().join("\n")
    }
}

/// One conversation; whether it is to go on in TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    (greet, tls): (bool, bool),
    refuses: Refuses,
    heard: &Mutex<Vec<String>>,
) -> bool {
    if greet {
        let greeting = refuses.greeting.unwrap_or("220 mail.test ESMTP");
        stream.write_all(format!("{greeting}\r\n").as_bytes()).await.unwrap();
    }
    let mut in_data = false;
    let mut line = String::new();
    while {
        line.clear();
        stream.read_line(&mut line).await.unwrap_or(0) > 0
    } {
        let said = line.trim_end_matches(['\r', '\n']).to_owned();
        heard.lock().push(format!("{}{said}", if tls { "*" } else { "" }));
        let word = said.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer = match (in_data, word.as_str()) {
            (true, ".") => {
                in_data = false;
                refuses.text.unwrap_or("250 kept")
            }
            (true, _) => continue,
            (_, "EHLO") if refuses.hello.is_some() => refuses.hello.unwrap(),
            // RFC 5321, 4.1.1.1: what follows the code is for people, and may be nothing.
            (_, "HELO") => "250 ",
            (_, "EHLO") if !tls && !refuses.starttls => "250-mail.test\r\n250 STARTTLS",
            (_, "EHLO") => "250-mail.test\r\n250 AUTH PLAIN",
            (_, "STARTTLS") => {
                stream.write_all(format!("220 go on\r\n{}", refuses.injected).as_bytes()).await.unwrap();
                return true;
            }
            (_, "AUTH") if refuses.login => "535 5.7.8 wrong",
            (_, "AUTH") => "235 welcome",
            (_, "MAIL") if refuses.sender.is_some() => refuses.sender.unwrap(),
            (_, "RCPT") if refuses.recipient.is_some() => refuses.recipient.unwrap(),
            (_, "DATA") if refuses.data.is_some() => refuses.data.unwrap(),
            (_, "DATA") => {
                in_data = true;
                "354 go on"
            }
            (_, "QUIT") if refuses.goodbye => continue,
            (_, "QUIT") => "221 bye",
            _ => "250 ok",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
    }
    false
}

fn letter(server: &MailServer) -> Letter<'_> {
    let text = "Alert raised: heat-illness, high, athlete zebra.\n.\nGrüße\n";
    Letter {
        server,
        from: "box@clinic.test",
        to: "doctor@clinic.test",
        subject: "HIGH: Wärme",
        text,
        login: Some(("box", "a very secret word")),
    }
}

async fn send(receiver: &Receiver, tls: MailTls) -> Result<(), CarryError> {
    send_by(Resolver::default(), &receiver.server(tls), &[receiver]).await
}

/// Sends a mail, trusting the certificates of these receivers.
async fn send_by(resolver: Resolver, server: &MailServer, trusted: &[&Receiver]) -> Result<(), CarryError> {
    send_letter(letter(server), resolver, trusted).await
}

async fn send_letter(letter: Letter<'_>, resolver: Resolver, trusted: &[&Receiver]) -> Result<(), CarryError> {
    let authority = tempfile::NamedTempFile::new().unwrap();
    let certificates: String = trusted.iter().map(|receiver| receiver.certificate.as_str()).collect();
    std::fs::write(authority.path(), certificates).unwrap();
    let mailer = Mailer::new(Authorities::new(Some(authority.path().to_owned())), resolver);
    mailer.send(&letter, KEY, Timestamp::from_seconds(1_767_225_600)).await
}

#[tokio::test]
async fn a_mail_goes_out_after_starttls_and_under_an_id_that_stays_the_same() {
    let receiver = Receiver::start(false, Refuses::default()).await;
    for _ in 0..2 {
        send(&receiver, MailTls::Starttls).await.unwrap();
    }
    let heard = receiver.heard();
    assert_eq!(heard.matches(&format!("Message-ID: <{KEY}@clinic.test>")).count(), 2, "{heard}");
    for line in [
        "*MAIL FROM:<box@clinic.test>",
        "*RCPT TO:<doctor@clinic.test>",
        "*Subject: HIGH: =?utf-8?b?V8Okcm1l?=",
        "*References: <11111111111111111111111111111111@clinic.test>",
        "*Auto-Submitted: auto-generated",
        "*MIME-Version: 1.0",
        "*Content-Type: text/plain; charset=utf-8",
        "*Date: Thu, 01 Jan 2026 00:00:00 +0000",
        "*Alert raised: heat-illness, high, athlete zebra.",
        // RFC 5321, 4.5.2: a line of one dot would end the mail.
        "*..",
    ] {
        assert!(heard.lines().any(|heard| heard.starts_with(line)), "{line} is missing:\n{heard}");
    }
    let clear: Vec<&str> = heard.lines().filter(|line| !line.starts_with('*')).collect();
    assert!(clear.iter().all(|line| line.starts_with("EHLO") || *line == "STARTTLS"), "in clear: {clear:?}");
}

#[tokio::test]
async fn a_mail_goes_out_in_tls_from_the_first_byte() {
    let receiver = Receiver::start(true, Refuses::default()).await;
    send(&receiver, MailTls::Wrapped).await.unwrap();
    assert!(receiver.heard().contains("*RCPT TO:<doctor@clinic.test>"));
}

#[tokio::test]
async fn nothing_is_said_to_a_server_without_starttls_or_with_a_strangers_certificate() {
    let plain = Receiver::start(false, Refuses { starttls: true, ..Refuses::default() }).await;
    assert!(matches!(send(&plain, MailTls::Starttls).await, Err(CarryError::Later(_))));
    let heard = plain.heard();
    assert!(!heard.contains("AUTH") && !heard.contains("MAIL") && !heard.contains("STARTTLS"), "{heard}");
    let stranger = Receiver::start(false, Refuses::default()).await;
    let server = stranger.server(MailTls::Starttls);
    let sent = Mailer::default().send(&letter(&server), KEY, Timestamp(0)).await;
    assert!(matches!(sent, Err(CarryError::Later(_))), "{sent:?}");
    assert!(!stranger.heard().contains("AUTH"));
}

#[tokio::test]
async fn what_is_said_in_clear_ahead_of_tls_counts_for_nothing() {
    // All that a server in TLS would say, until it has the mail.
    let injected =
        "250-mail.test\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 kept\r\n221 bye\r\n";
    let receiver = Receiver::start(false, Refuses { injected, ..Refuses::default() }).await;
    let sent = send(&receiver, MailTls::Starttls).await;
    assert!(matches!(sent, Err(CarryError::Later(_))), "{sent:?}");
    let heard = receiver.heard();
    assert!(heard.ends_with("STARTTLS"), "nothing more is said: {heard}");
}

#[tokio::test]
async fn a_server_that_turns_the_box_away_is_asked_again() {
    let blocked = Some("554 5.7.1 not today");
    for refuses in [
        Refuses { greeting: blocked, ..Refuses::default() },
        Refuses { sender: Some("550 5.7.1 not from you"), ..Refuses::default() },
    ] {
        for tls in [MailTls::Starttls, MailTls::Wrapped, MailTls::Clear] {
            // In clear, what is offered is the login.
            let refuses = Refuses { starttls: tls == MailTls::Clear, ..refuses };
            // In TLS from the first byte, the greeting is said in TLS.
            let receiver = Receiver::start(tls == MailTls::Wrapped, refuses).await;
            let turned_away = send(&receiver, tls).await.unwrap_err();
            assert!(matches!(&turned_away, CarryError::Later(why) if why.contains(" 5.7.1 not ")), "{turned_away:?}");
            assert!(!receiver.heard().contains("RCPT"));
        }
    }
}

#[tokio::test]
async fn a_mail_that_was_taken_is_sent_whatever_comes_of_the_goodbye() {
    let receiver = Receiver::start(false, Refuses { goodbye: true, ..Refuses::default() }).await;
    let sent = timeout(GOODBYE_WITHIN, send(&receiver, MailTls::Starttls)).await;
    assert_eq!(sent.expect("it waits for the goodbye"), Ok(()));
}

#[tokio::test]
async fn what_a_server_refuses_for_good_is_not_tried_again_but_for_the_login() {
    let with = |recipient| Refuses { recipient: Some(recipient), ..Refuses::default() };
    let unknown = Receiver::start(false, with("550 5.1.1 nobody of that name")).await;
    let refused = send(&unknown, MailTls::Starttls).await.unwrap_err();
    assert!(matches!(&refused, CarryError::Never(why) if why.contains("nobody of that name")), "{refused:?}");
    let grey = Receiver::start(false, with("451 4.7.1 try again later")).await;
    let later = send(&grey, MailTls::Starttls).await.unwrap_err();
    assert!(matches!(&later, CarryError::Later(why) if why.contains("try again later")), "{later:?}");
    let wrong = Receiver::start(false, Refuses { login: true, ..Refuses::default() }).await;
    let login = send(&wrong, MailTls::Starttls).await.unwrap_err();
    assert!(
        matches!(&login, CarryError::Later(why) if !why.contains("secret word")),
        "an admin may mend it: {login:?}"
    );
}

#[tokio::test]
async fn at_the_recipient_only_what_is_about_the_recipient_is_refused_for_good() {
    let said = async |recipient| {
        // In clear, what is offered is the login.
        let refuses = Refuses { recipient: Some(recipient), starttls: true, ..Refuses::default() };
        send(&Receiver::start(false, refuses).await, MailTls::Clear).await.unwrap_err()
    };
    for about_the_box in [
        "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied",
        "554 5.7.1 <doctor@clinic.test>: Relay access denied",
        "550 5.7.1 Service unavailable; client blocked",
        "550 #5.7.1 Your access to submit messages has been rejected",
        "550 5.7.23 SPF validation failed",
        "550 5.1.7 sender address malformed",
        "550 5.1.8 <box@clinic.test>: Sender address rejected: Domain not found",
        "504 5.5.2 <box>: Helo command rejected: need fully-qualified hostname",
        "530 5.7.0 Must issue a STARTTLS command first",
        "554 no SMTP service here",
        "554 5.2.252 SendAsDenied; box@clinic.test not allowed to send as",
        "554-5.7.1 Client host rejected\r\n554 5.7.1 550 nobody",
    ] {
        let later = said(about_the_box).await;
        assert!(matches!(&later, CarryError::Later(_)), "{about_the_box}: {later:?}");
    }
    for about_the_recipient in [
        "550 5.1.1 nobody of that name",
        "550-5.1.1 nobody\r\n550 5.1.1 of that name",
        "554 5.1.1: nobody of that name",
        "550 5.1.2 no such domain",
        "501 5.1.3 not an address",
        "551 5.1.6 has moved",
        "556 5.1.10 takes no mail at all",
        "550 5.2.1 mailbox disabled",
        "552 5.2.2 mailbox full",
        "550 no such user here",
        "551 user not local",
        "553 mailbox name not allowed",
    ] {
        let never = said(about_the_recipient).await;
        assert!(matches!(&never, CarryError::Never(_)), "{about_the_recipient}: {never:?}");
    }
}

#[tokio::test]
async fn of_the_text_only_what_is_about_it_or_the_mailbox_is_refused_for_good() {
    let said = async |said, to_data: bool| {
        // In clear, what is offered is the login.
        let refuses = Refuses { starttls: true, ..Refuses::default() };
        let refuses = if to_data { Refuses { data: said, ..refuses } } else { Refuses { text: said, ..refuses } };
        send(&Receiver::start(false, refuses).await, MailTls::Clear).await.unwrap_err()
    };
    for about_the_box in [
        "554 5.2.252 SendAsDenied; box@clinic.test not allowed to send as",
        "554 5.7.1 Message rejected: sender not authorised",
        "550 5.7.26 Unauthenticated email is not accepted",
        "554 5.4.6 too many hops",
        "550 5.7.0 Local policy violation",
        "554 rejected",
        "552 message refused",
        "550 looks like spam",
        "503 5.5.1 no valid recipients",
        "535 5.7.8 log in first",
    ] {
        for to_data in [true, false] {
            let later = said(Some(about_the_box), to_data).await;
            assert!(matches!(&later, CarryError::Later(_)), "{about_the_box}: {later:?}");
        }
    }
    for about_the_mail in [
        "554 5.6.0 not a mail",
        "550 5.6.1 media not supported",
        "552 5.3.4 message too big",
        "552 5.2.3 longer than this mailbox takes",
        "550 5.1.1 nobody of that name",
        "552 5.2.2 mailbox full",
    ] {
        for to_data in [true, false] {
            let never = said(Some(about_the_mail), to_data).await;
            assert!(matches!(&never, CarryError::Never(_)), "{about_the_mail}: {never:?}");
        }
    }
}

#[tokio::test]
async fn the_box_names_itself_by_the_address_it_comes_from() {
    for (tls, wrapped) in [(MailTls::Wrapped, true), (MailTls::Starttls, false), (MailTls::Clear, false)] {
        let receiver = Receiver::start(wrapped, Refuses::default()).await;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
        let stream = socket.connect(receiver.address).await.unwrap();
        let authority = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(authority.path(), &receiver.certificate).unwrap();
        let authorities = Authorities::new(Some(authority.path().to_owned()));
        line::on(stream, &receiver.server(tls), &authorities, true).await.unwrap();
        let heard = receiver.heard();
        let hellos: Vec<&str> = heard.lines().filter(|line| line.contains("EHLO")).collect();
        let expected: &[&str] = match tls {
            MailTls::Wrapped => &["*EHLO [127.0.0.9]"],
            MailTls::Starttls => &["EHLO [127.0.0.9]", "*EHLO [127.0.0.9]"],
            MailTls::Clear => &["EHLO [127.0.0.9]"],
        };
        assert_eq!(hellos, expected, "{tls:?}");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_ehlo_is_told_by_helo_unless_it_is_to_be_logged_in_to() {
    for (unknown, goes_out) in [("500 unknown", true), ("502 5.5.1 not implemented", true), ("550 go away", false)] {
        for (tls, wrapped) in [(MailTls::Wrapped, true), (MailTls::Clear, false)] {
            let receiver = Receiver::start(wrapped, Refuses { hello: Some(unknown), ..Refuses::default() }).await;
            let server = receiver.server(tls);
            let sent = send_letter(Letter { login: None, ..letter(&server) }, Resolver::default(), &[&receiver]).await;
            assert_eq!(sent.is_ok(), goes_out, "{unknown}: {sent:?}");
            assert_eq!(receiver.heard().contains("RCPT TO:<doctor@clinic.test>"), goes_out, "{unknown}");
            assert_eq!(receiver.heard().contains("HELO [127.0.0.1]"), goes_out, "{unknown}");
            let refused = send(&receiver, tls).await.unwrap_err();
            assert!(matches!(&refused, CarryError::Later(why) if why.contains(unknown)), "{refused:?}");
            assert!(!receiver.heard().contains("AUTH"), "{}", receiver.heard());
        }
    }
}

/// A server that was granted by its name; where that leads says whoever is asked.
fn named(host: &str, tls: MailTls) -> MailServer {
    MailServer { tls, host: host.to_owned(), port: 25 }
}

#[tokio::test]
async fn the_address_that_was_looked_at_is_spoken_to_and_proves_the_name_that_was_granted() {
    for (tls, wrapped) in [(MailTls::Wrapped, true), (MailTls::Starttls, false), (MailTls::Clear, false)] {
        // In clear, what is offered is the login.
        let refuses = Refuses { starttls: tls == MailTls::Clear, ..Refuses::default() };
        let meant = Receiver::at("127.0.0.2", "localhost", wrapped, refuses).await;
        let other = Receiver::at("127.0.0.3", "localhost", wrapped, refuses).await;
        let (resolver, names) = Turning::new([&[meant.address], &[other.address]]);
        send_by(resolver, &named("localhost", tls), &[&meant, &other]).await.unwrap();
        assert!(meant.heard().contains("RCPT TO:<doctor@clinic.test>"), "{tls:?}: {}", meant.heard());
        assert_eq!((names.left(), other.heard().as_str()), (1, ""), "{tls:?}: looked up once, spoken to one");
    }
}

#[tokio::test]
async fn a_certificate_for_the_address_is_none_for_the_name() {
    for (tls, wrapped) in [(MailTls::Wrapped, true), (MailTls::Starttls, false)] {
        let receiver = Receiver::at("127.0.0.2", "127.0.0.2", wrapped, Refuses::default()).await;
        let (resolver, _) = Turning::new([&[receiver.address]]);
        let sent = send_by(resolver, &named("localhost", tls), &[&receiver]).await;
        assert!(matches!(sent, Err(CarryError::Later(_))), "{tls:?}: {sent:?}");
        assert!(!receiver.heard().contains("AUTH"), "{}", receiver.heard());
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_told_nothing() {
    let own = Receiver::at("127.0.0.1", "mail.clinic.test", false, Refuses::default()).await;
    let (resolver, _) = Turning::new([&[own.address]]);
    let refused = send_by(resolver, &named("mail.clinic.test", MailTls::Starttls), &[&own]).await.unwrap_err();
    assert!(matches!(&refused, CarryError::Later(why) if why.contains("which a name may not")), "{refused:?}");
    assert_eq!(own.heard(), "");
}

#[tokio::test]
async fn of_several_addresses_the_first_that_answers_has_the_mail() {
    let gone = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    let silent = Silent::at("127.0.0.4").await;
    let receiver = Receiver::at("127.0.0.2", "localhost", true, Refuses::default()).await;
    let (resolver, _) = Turning::new([&[silent.address, nobody, receiver.address]]);
    send_by(resolver, &named("localhost", MailTls::Wrapped), &[&receiver]).await.unwrap();
    assert!(receiver.heard().contains("*RCPT TO:<doctor@clinic.test>"));
}
