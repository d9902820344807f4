//! Starting and stopping.

use std::time::Duration;

use pitchside_admin::{HttpConfig, Limits, SignIns, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Gateway;
use crate::scripted::{Certificate, Clinic, PASSWORD};

#[tokio::test]
async fn open_event_streams_do_not_hold_up_a_stop() {
    let gateway = Gateway::new().await;
    let (cookie, host) = (gateway.sign_in("viewer").await, gateway.host());
    let mut stream = gateway.connect().await;
    stream.write_all(format!("GET /api/v1/events HTTP/1.1\r\nhost: {host}\r\n{cookie}\r\n").as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    let idle = gateway.connect().await;
    let stopped = gateway.server.shutdown(Duration::from_secs(20)).await;
    assert_eq!(stopped.cut, 0);
    drop(idle);
    assert!(TcpStream::connect(gateway.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn whoever_does_not_finish_is_cut_at_the_deadline() {
    let gateway = Gateway::new().await;
    let host = gateway.host();
    let mut stream = gateway.connect().await;
    let begun = format!(
        "POST /api/v1/login HTTP/1.1\r\nhost: {host}\r\norigin: https://{host}\r\ncontent-type: application/json\r\n\
         content-length: 9\r\n\r\n{{"
    );
    stream.write_all(begun.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // A second request answered shows that the first has been taken up.
    gateway.ask("GET /api/v1/health", "", "").await;
    assert_eq!(gateway.server.shutdown(Duration::from_millis(50)).await.cut, 1);
}

#[tokio::test]
async fn people_stay_signed_in_over_a_new_configuration_and_not_over_a_new_start() {
    let (clinic, certificate, sign_ins) = (Clinic::new(PASSWORD), Certificate::new(), SignIns::new());
    let any = "127.0.0.1:0".parse().unwrap();
    let server = clinic.serve(any, &certificate, Limits::default(), sign_ins.clone()).await.unwrap();
    let address = server.local_addr();
    let mut gateway = Gateway { clinic, server, certificate, address };
    let cookie = gateway.sign_in("viewer").await;
    for (table, status) in [(sign_ins, 200), (SignIns::new(), 401)] {
        gateway.server.shutdown(Duration::from_secs(5)).await;
        let again = gateway.clinic.serve(any, &gateway.certificate, Limits::default(), table).await;
        gateway.server = again.unwrap();
        gateway.address = gateway.server.local_addr();
        assert_eq!(gateway.ask("GET /api/v1/me", &cookie, "").await.status, status);
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start() {
    let (clinic, certificate) = (Clinic::new(PASSWORD), Certificate::new());
    let any = "127.0.0.1:0".parse().unwrap();
    let limits = Limits { header_bytes_max: 100, ..Limits::default() };
    let error = clinic.serve(any, &certificate, limits, SignIns::new()).await.unwrap_err();
    assert!(matches!(error, StartError::Limit("header_bytes_max", _)));
    let taken = std::net::TcpListener::bind(any).unwrap();
    let address = taken.local_addr().unwrap();
    let error = clinic.serve(address, &certificate, Limits::default(), SignIns::new()).await.unwrap_err();
    assert!(error.to_string().contains("choose another address"), "{error}");
    let config = HttpConfig { address, hosts: vec![], tls: certificate.server, limits: Limits::default() };
    assert!(!format!("{config:?}").contains("PrivateKey"));
}
