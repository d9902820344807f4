//! A receiver of alerts that remembers what it got, and answers as it is told to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use pitchside_tests::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One request: its key, its body, and whether it was answered well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) key: String,
    pub(super) body: String,
    pub(super) well: bool,
}

/// Somebody's webhook, which answers badly while it is told to.
#[derive(Clone, Default)]
pub(super) struct Webhook {
    pub(super) port: u16,
    broken: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
    /// What stalls is answered badly once this is so.
    let_go: Arc<watch::Sender<bool>>,
    /// How it then answers; `503 Busy` unless told otherwise.
    badly: Arc<Mutex<Option<&'static str>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Webhook {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = Self { port: listener.local_addr().unwrap().port(), ..Self::default() };
        let serving = hook.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if serving.stalled.load(Ordering::Acquire) {
                    let serving = serving.clone();
                    tokio::spawn(async move { serving.answer(stream).await });
                    continue;
                }
                // Whoever hangs up in the middle was killed.
                let _gone = serving.answer(stream).await;
            }
        });
        hook
    }

    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut text = String::new();
        let (head, body) = loop {
            let mut bytes = [0; 4_096];
            let count = stream.read(&mut bytes).await?;
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                if count == 0 {
                    return Ok(());
                }
                continue;
            };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() || count == 0 {
                break (head.to_owned(), body.to_owned());
            }
        };
        let stalls = self.stalled.load(Ordering::Acquire);
        let well = !stalls && !self.broken.load(Ordering::Acquire);
        let key =
            head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap().trim_matches('"').to_owned();
        self.got.lock().unwrap().push(Got { key, body, well });
        if stalls {
            drop(self.let_go.subscribe().wait_for(|let_go| *let_go).await);
        }
        let badly = self.badly.lock().unwrap().unwrap_or("503 Busy");
        let status = if well { "204 No Content" } else { badly };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await
    }

    pub(super) fn breaks(&self, broken: bool) {
        self.broken.store(broken, Ordering::Release);
    }

    /// Takes what comes from now on, and never answers, unless it [`Self::lets_go`].
    pub(super) fn stalls(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Release);
    }

    /// Answers badly what stalled.
    pub(super) fn lets_go(&self) {
        self.let_go.send_replace(true);
    }

    /// Answers with this from now on.
    pub(super) fn answers(&self, status: &'static str) {
        *self.badly.lock().unwrap() = Some(status);
        self.breaks(true);
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// What was answered well, in order, as [`output`] writes it: `STEP LEVEL RULE`.
    pub(super) fn told(&self) -> Vec<String> {
        self.got().into_iter().filter(|got| got.well).map(|got| got.body).collect()
    }

    pub(super) async fn told_so_many(&self, count: usize) -> Vec<String> {
        until(&format!("{count} steps to be told"), || Some(self.told()).filter(|told| told.len() >= count)).await
    }

    /// Waits for a request that was answered badly, beyond those there are.
    pub(super) async fn refused_one(&self, before: usize) -> Got {
        until("a step to be refused", || self.got().get(before).cloned()).await
    }
}
