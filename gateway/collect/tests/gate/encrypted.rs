//! TLS with a certificate authority of our own, and WebSocket with and without it.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use pitchside_collect::mqtt::GateConfig;
use pitchside_model::Medium;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::desk::{Front, PATIENCE};
use super::raw::{Hello, Raw, publish};

/// A server certificate for `localhost` by an authority, and a client that trusts that authority alone.
fn identities() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();

    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

async fn front() -> (Front, Arc<ClientConfig>) {
    let (server, client) = identities();
    let local = "127.0.0.1:0".parse().unwrap();
    let config = GateConfig { tls: Some((local, server.clone())), wss: Some((local, server)), ..GateConfig::default() };
    (Front::configured(config).await, client)
}

#[tokio::test]
async fn rumqttc_publishes_over_tls() {
    let (mut front, tls) = front().await;
    let port = front.gate.local_addrs().tls.unwrap().port();
    let mut options = rumqttc::MqttOptions::new("s7", "localhost", port);
    options.set_transport(rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(tls)));
    let (client, mut events) = rumqttc::AsyncClient::new(options, 10);
    client.publish("ps/1/s7/hs", rumqttc::QoS::AtLeastOnce, false, "hello").await.unwrap();
    loop {
        let event = timeout(PATIENCE, events.poll()).await.unwrap().unwrap();
        if matches!(event, rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_))) {
            break;
        }
    }
    assert_eq!(front.opened().await.medium, Medium::MqttTls);
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"hello");
}

#[tokio::test]
async fn a_large_message_and_its_acknowledgement_pass_through_tls() {
    let (mut front, tls) = front().await;
    let socket = TcpStream::connect(front.gate.local_addrs().tls.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut raw = Raw { stream: TlsConnector::from(tls).connect(name, socket).await.unwrap() };
    raw.send(&Hello::v4("s7").bytes()).await;
    assert_eq!(raw.answer().await.body, [0, 0]);
    raw.send(&publish("ps/1/s7/up", 1, 1, &[7; 60_000])).await;
    assert_eq!(raw.answer().await.body, [0, 1]);
    assert_eq!(front.took(1).await[0].bytes.len(), 60_000);
}

#[tokio::test]
async fn plaintext_and_idle_connections_on_the_tls_port_disturb_nobody() {
    let (front, tls) = front().await;
    let address = front.gate.local_addrs().tls.unwrap();
    let _idle = TcpStream::connect(address).await.unwrap();
    let mut plain = Raw::to(address).await;
    plain.send(&Hello::v4("s7").bytes()).await;
    // TLS answers with an alert, then the connection ends.
    let mut rest = Vec::new();
    timeout(PATIENCE, tokio::io::AsyncReadExt::read_to_end(&mut plain.stream, &mut rest)).await.unwrap().ok();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut raw = Raw { stream: TlsConnector::from(tls).connect(name, socket).await.unwrap() };
    raw.send(&Hello::v4("s7").bytes()).await;
    assert_eq!(raw.answer().await.body, [0, 0]);
}

type Web<S> = WebSocketStream<S>;

async fn web<S>(stream: S, subprotocol: Option<&str>) -> Result<Web<S>, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    if let Some(name) = subprotocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", name.parse().unwrap());
    }
    tokio_tungstenite::client_async(request, stream).await.map(|(web, _)| web)
}

/// Reads MQTT bytes out of binary messages until `count` are there.
async fn bytes<S>(web: &mut Web<S>, count: usize) -> Vec<u8>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut all = Vec::new();
    while all.len() < count {
        if let Message::Binary(part) = timeout(PATIENCE, web.next()).await.unwrap().unwrap().unwrap() {
            all.extend_from_slice(part.chunk());
        }
    }
    all
}

#[tokio::test]
async fn mqtt_over_websocket_may_cut_packets_anywhere() {
    let mut front = Front::new().await;
    let socket = TcpStream::connect(front.gate.local_addrs().ws[0]).await.unwrap();
    let mut web = web(socket, Some("mqttv3.1, mqtt")).await.unwrap();
    let stream = [Hello::v4("s7").bytes(), publish("ps/1/s7/hs", 1, 1, b"hello")].concat();
    for part in stream.chunks(5) {
        web.send(Message::Binary(Bytes::copy_from_slice(part))).await.unwrap();
    }
    assert_eq!(bytes(&mut web, 8).await, [0x20, 2, 0, 0, 0x40, 2, 0, 1]);
    assert_eq!(front.opened().await.medium, Medium::MqttWebSocket);
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"hello");
    web.close(None).await.unwrap();
    front.closed().await;
}

#[tokio::test]
async fn mqtt_over_websocket_over_tls() {
    let (mut front, tls) = front().await;
    let socket = TcpStream::connect(front.gate.local_addrs().wss.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(tls).connect(name, socket).await.unwrap();
    let mut web = web(stream, Some("mqtt")).await.unwrap();
    let stream = [Hello::v4("s7").bytes(), publish("ps/1/s7/hs", 1, 1, b"hello")].concat();
    web.send(Message::Binary(stream.into())).await.unwrap();
    assert_eq!(bytes(&mut web, 8).await, [0x20, 2, 0, 0, 0x40, 2, 0, 1]);
    assert_eq!(front.took(1).await.len(), 1);
}

#[tokio::test]
async fn another_subprotocol_and_text_messages_are_refused() {
    let front = Front::new().await;
    let address = front.gate.local_addrs().ws[0];
    for subprotocol in [None, Some("chat")] {
        let refused = web(TcpStream::connect(address).await.unwrap(), subprotocol).await;
        assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 400));
    }
    let mut web = web(TcpStream::connect(address).await.unwrap(), Some("mqtt")).await.unwrap();
    web.send(Message::Text("hello".into())).await.unwrap();
    while let Some(Ok(_)) = timeout(PATIENCE, web.next()).await.unwrap() {}
}

#[tokio::test]
async fn a_websocket_message_over_the_limit_ends_the_connection() {
    let mut front = Front::new().await;
    let socket = TcpStream::connect(front.gate.local_addrs().ws[0]).await.unwrap();
    let mut web = web(socket, Some("mqtt")).await.unwrap();
    web.send(Message::Binary(Hello::v4("s7").bytes().into())).await.unwrap();
    assert_eq!(bytes(&mut web, 4).await, [0x20, 2, 0, 0]);
    web.send(Message::Binary(vec![0; 100_000].into())).await.ok();
    while let Some(Ok(_)) = timeout(PATIENCE, web.next()).await.unwrap() {}
    front.closed().await;
}
