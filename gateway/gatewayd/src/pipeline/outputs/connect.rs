//! A connection to one of several addresses. The next one is tried while the one before it is still silent (RFC 8305, 5): an address
//! that swallows what is sent to it, as IPv6 without a way out does, keeps nobody from the others.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long an address has to answer before the next one is tried beside it.
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// The most addresses tried.
const ADDRESSES_MAX: usize = 16;

/// Connects to the first of these that answers. How long that may take altogether the caller says.
pub async fn first_of(addresses: &[SocketAddr]) -> Result<TcpStream> {
    let mut left = addresses.get(..ADDRESSES_MAX).unwrap_or(addresses);
    let mut attempts = FuturesUnordered::new();
    let mut refused = Error::new(ErrorKind::NotFound, "there is no address");
    loop {
        match left.split_first() {
            Some((&at, rest)) => {
                left = rest;
                attempts.push(async move {
                    TcpStream::connect(at).await.map_err(|error| Error::new(error.kind(), format!("{at}: {error}")))
                });
            }
            None if attempts.is_empty() => return Err(refused),
            None => {}
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = error,
            },
            () = sleep(NEXT_AFTER), if !left.is_empty() => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    /// An address that says nothing to whoever connects, for as long as this is kept: nobody accepts, and no more may wait for it.
    pub struct Silent {
        pub address: SocketAddr,
        _waiting: Vec<TcpStream>,
        _listener: TcpListener,
    }

    impl Silent {
        pub async fn at(address: &str) -> Self {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
            let listener = socket.listen(1).unwrap();
            let (address, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
            while let Ok(connected) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
                waiting.push(connected.unwrap());
            }
            Self { address, _waiting: waiting, _listener: listener }
        }
    }

    async fn refusing(address: &str) -> SocketAddr {
        TcpListener::bind((address, 0)).await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_silent_address_and_one_that_refuses_keep_nobody_from_the_third() {
        let silent = Silent::at("127.0.0.2").await;
        let there = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let (gone, meant) = (refusing("127.0.0.4").await, there.local_addr().unwrap());
        // The system itself gives a silent address two minutes.
        let first = timeout(Duration::from_secs(20), first_of(&[silent.address, gone, meant])).await;
        assert_eq!(first.expect("it waits for the silent one").unwrap().peer_addr().unwrap(), meant);
    }

    #[tokio::test]
    async fn where_nobody_answers_the_last_refusal_is_told() {
        let gone = refusing("127.0.0.4").await;
        let refused = first_of(&[gone]).await.unwrap_err();
        assert!(refused.to_string().starts_with(&format!("{gone}: ")), "{refused}");
        assert_eq!(first_of(&[]).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
