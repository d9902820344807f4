//! The ledger's desk: one connection, on which what it says about firmware is read and proven, and transactions are handed
//! in until their R2 has come. Under the name and keys of the settings: a publisher's, or a box's.

use std::time::Duration;

use anyhow::Context as _;
use ledger_block::GatewayKey;
use ledger_block::ingest::{Act, Proven, Reply, Request, Transaction};
use ledger_block::merkle::leaf_hash;
use ledger_block::receipt::Receipt;
use ledger_block::release::{ReleaseId, Sum};
use pitchside_config::Settings;
use pitchside_release::content::{Standing, Store as Contents};
use pitchside_release::known::{Anchors, Known, LearnError, Release};
use pitchside_sync::connection::{Connection, connect};
use pitchside_sync::trust::Trust;
use pitchside_sync::{Fault, SyncConfig};

use super::files;
use super::memory::Memory;
use crate::adapters::outbox::SystemEdge;
use crate::cli::args::ConfigArg;
use crate::cli::{Failure, context};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::pipeline::firmware::own::{self, Image};
use crate::pipeline::firmware::shelf::FOLDER as CONTENT_FOLDER;
use crate::pipeline::sync_config;

/// The shortest beginning of a release's name that is taken for it.
const PREFIX_DIGITS_MIN: usize = 6;

/// An open connection, and what was learnt on it.
pub(super) struct Desk {
    settings: Settings,
    key: GatewayKey,
    origin: String,
    config: SyncConfig,
    connection: Connection,
    trust: Trust,
    anchors: Anchors,
    known: Known,
    memory: Memory,
    clock: Clock,
}

/// Where a transaction stands.
pub(super) struct Entered {
    /// Its place in the log.
    pub place: u64,
}

fn untrue(error: &LearnError) -> Failure {
    match error {
        LearnError::Full => Failure::Failed(anyhow::anyhow!("{error}")),
        _ => Failure::Tampered(error.to_string()),
    }
}

/// A ledger that is not to be believed is tampering; one that cannot be reached is not.
pub(super) fn fault(fault: Fault) -> Failure {
    if fault.is_suspicious() {
        Failure::Tampered(fault.to_string())
    } else {
        Failure::Failed(anyhow::anyhow!("{fault}"))
    }
}

/// Runs `work` at the desk.
pub(super) fn at<T>(config: &ConfigArg, work: impl AsyncFnOnce(&mut Desk) -> Result<T, Failure>) -> Result<T, Failure> {
    let settings = context::settings(config)?.settings;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let mut desk = Desk::open(settings).await?;
        let done = work(&mut desk).await;
        desk.connection.writing.abort();
        done
    })
}

impl Desk {
    async fn open(settings: Settings) -> Result<Self, Failure> {
        let ledger = settings.ledger.as_ref();
        let ledger = ledger.ok_or_else(|| Failure::Usage("the settings name no ledger: set [ledger]".to_owned()))?;
        let first = settings.firmware.release_policy.as_ref().ok_or_else(|| {
            Failure::Usage(
                "the settings name no release policy, so no release can be believed: set firmware.release_policy"
                    .to_owned(),
            )
        })?;
        let first_policy = files::read_policy(first)?.policy().id();
        let identity = Identity::load(&settings.gateway.key_dir)?;
        let config = sync_config(ledger, &identity)?;
        let clock = Clock::System;
        let anchors = Anchors { ledger: config.policy.clone(), first_policy };
        let memory = Memory::open(&settings, &identity, &anchors)?;
        let connection = connect(&config, &SystemEdge(clock.clone())).await.map_err(fault)?;
        let mut desk = Self {
            key: GatewayKey::new(&identity.sign),
            origin: String::new(),
            trust: memory.trust(&config.policy).map_err(fault)?,
            known: memory.known(),
            memory,
            settings,
            config,
            connection,
            anchors,
            clock,
        };
        let seen = desk.trust.size();
        desk.say(Request::Hello { seen }).await?;
        match desk.hear().await? {
            Reply::Welcome { origin, checkpoint, .. } => {
                desk.origin = origin;
                match checkpoint {
                    Some(proven) => desk.advance(&proven).map_err(fault)?,
                    None if seen > 0 => return Err(fault(Fault::RolledBack { shown: 0, seen })),
                    None => {}
                }
            }
            Reply::Refused { refusal, .. } => return Err(anyhow::anyhow!("the ledger refuses: {refusal}").into()),
            _ => return Err(anyhow::anyhow!("the ledger says something before its welcome").into()),
        }
        desk.learn().await?;
        Ok(desk)
    }

    pub(super) async fn say(&self, request: Request) -> anyhow::Result<()> {
        self.connection.requests.send(request).await.map_err(|_| anyhow::anyhow!("the ledger closed the connection"))
    }

    async fn hear(&mut self) -> anyhow::Result<Reply> {
        self.hear_within(self.config.silence).await
    }

    pub(super) async fn hear_within(&mut self, patience: Duration) -> anyhow::Result<Reply> {
        let next = self.connection.replies.next();
        tokio::time::timeout(patience, next)
            .await
            .map_err(|_| anyhow::anyhow!("the ledger did not answer within {patience:?}"))?
            .map_err(|fault| anyhow::anyhow!("{fault}"))
    }

    /// Takes a newer checkpoint.
    pub(super) fn advance(&mut self, proven: &Proven) -> Result<(), Fault> {
        self.trust.advance(proven).map(drop)
    }

    /// Asks until all is known that the ledger has to say about firmware.
    async fn learn(&mut self) -> Result<(), Failure> {
        loop {
            self.say(self.known.question()).await?;
            match self.hear().await? {
                Reply::Releases(told) => {
                    self.known.learn(&told, &self.anchors, self.clock.now()).map_err(|error| untrue(&error))?;
                }
                Reply::Refused { refusal, .. } => return Err(anyhow::anyhow!("the ledger refuses: {refusal}").into()),
                _ => return Err(anyhow::anyhow!("the ledger answers another question").into()),
            }
            if self.known.is_up_to_date() {
                return Ok(self.memory.keep(&self.known)?);
            }
        }
    }

    /// What all gateways have counted of a release, by the ledger's word; none from a ledger that does not add up, which hangs up.
    pub(super) async fn sum(&mut self, release: ReleaseId) -> Option<Sum> {
        self.say(Request::Sum { release }).await.ok()?;
        match self.hear().await {
            Ok(Reply::Sum(summed)) if summed.release == release => Some(summed.sum),
            _ => None,
        }
    }

    /// What the ledger has said, proven.
    pub(super) const fn known(&self) -> &Known {
        &self.known
    }

    /// What lies of contents on this machine.
    pub(super) fn contents(&self) -> Vec<Standing> {
        Contents::look(&self.settings.gateway.data_dir.join(CONTENT_FOLDER))
    }

    /// What this machine's image says it is; none on a machine that is no box.
    pub(super) fn image(&self) -> anyhow::Result<Option<Image>> {
        own::image(&self.settings.firmware.box_image)
    }

    /// The clock.
    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The release of this name, or of this beginning of one.
    pub(super) fn find(&self, text: &str) -> Result<(ReleaseId, &Release), Failure> {
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() < PREFIX_DIGITS_MIN || !hexadecimal {
            let text = format!("'{text}' names no release: write at least {PREFIX_DIGITS_MIN} digits of its name");
            return Err(Failure::Usage(text));
        }
        let releases = self.known.releases();
        let mut found = releases.into_iter().filter(|(id, _)| id.to_string().starts_with(text));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => {
                Err(anyhow::anyhow!("no release {text} stands in the ledger; `pitchside firmware status` lists them")
                    .into())
            }
            (Some(_), Some(_)) => Err(Failure::Usage(format!("several releases begin with {text}: write more of it"))),
        }
    }

    /// Signs a transaction, hands it in, and waits until it stands in a published checkpoint.
    pub(super) async fn enter(&mut self, act: Act) -> Result<Entered, Failure> {
        let transaction = Transaction { signer: self.settings.gateway.name.clone(), time: self.clock.now(), act };
        let leaf = transaction.sign(&self.origin, &self.key).context("signing the transaction")?;
        let hash = leaf_hash(&leaf);
        self.say(Request::Transact { transaction: leaf }).await?;
        loop {
            match self.hear().await? {
                Reply::Checkpoint(proven) => {
                    self.trust.advance(&proven).map_err(fault)?;
                }
                Reply::Receipt { leaf, receipt } if leaf == hash => {
                    if let Receipt::R2(included) = self.trust.receipt(&hash, &receipt).map_err(fault)? {
                        let place = included.sequenced.leaf_index;
                        self.learn().await?;
                        return Ok(Entered { place });
                    }
                }
                Reply::Refused { refusal, .. } => return Err(anyhow::anyhow!("the ledger refuses: {refusal}").into()),
                _ => return Err(anyhow::anyhow!("the ledger answers another question").into()),
            }
        }
    }
}
