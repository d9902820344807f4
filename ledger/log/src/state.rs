//! What the log has established so far: members, heads of chains, facts. Derived from the leaves alone; kept in the index
//! for speed and derived again by `fsck`.

use std::collections::{BTreeMap, BTreeSet};

use ledger_block::ingest::DeviceId;
use ledger_block::ingest::{Head, Role};

use crate::objects::StorageError;

/// Somebody enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name, for good.
    pub name: DeviceId,
    /// What it may do.
    pub role: Role,
    /// Its present Ed25519 key.
    pub signing: [u8; 32],
    /// Its X25519 key on the channel; zero for one that never connects.
    pub channel: [u8; 32],
}

/// A block that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Name of the member that sealed it.
    pub gateway: DeviceId,
    /// Where in its chain.
    pub head: Head,
    /// BLAKE3 of the padded payload.
    pub payload: [u8; 32],
    /// Its length.
    pub payload_bytes: u64,
}

/// Which kind of fact; the number stands in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FactKind {
    /// Key: nothing. Value: the operator's Ed25519 key.
    Operator = 0,
    /// Key: an Ed25519 key that was replaced. It never returns.
    Retired = 1,
    /// Key: subject and generation. Value: the subject's Ed25519 key.
    Assigned = 2,
    /// Key: digest of a grant. Value: subject and end.
    Grant = 3,
    /// Key: digest of a grant.
    Revoked = 4,
    /// Key: digest of a manifest.
    Release = 5,
    /// Key: digest of a manifest. Value: per cent.
    Rollout = 6,
    /// Key: digest of a manifest.
    Halted = 7,
    /// Key: name of a gateway. Value: hash of its present rule set.
    Rules = 8,
    /// Key: subject and generation.
    Erased = 9,
    /// Key: a subject that had a key assigned. Value: its newest generation.
    Subject = 10,
    /// Key: nothing. Value: the version of the state machine, 8 bytes; absent in a log of version 1.
    Version = 11,
    /// Key: nothing. Value: the release policy in force, with its signatures.
    ReleasePolicy = 12,
    /// Key: an Ed25519 key that a release policy names or named.
    ReleaseKey = 13,
    /// Key: a release's name. Value: its manifest.
    Manifest = 14,
    /// Key: target, component, a zero byte, hardware id. Value: counter and version of the newest release, 4 x 4 bytes.
    Newest = 15,
    /// Key: BLAKE3 of a release's content. Value: its size, 8 bytes, and SHA-256.
    Content = 16,
    /// Key: a release's name, hardware id. Value: present and widest step of the rollout, in per cent, and, from version 3 of the
    /// log on, how many steps it took since.
    Step = 17,
    /// Key: a release's name. Value: why it was halted.
    Stopped = 18,
    /// Key: a release's name, name of a gateway. Value: what it counted last, confirmed and failed, 2 x 4 bytes, and how often it
    /// said so, 2 bytes.
    Tally = 19,
    /// Key: a release's name. Value: all tallies added up: confirmed, failed, gateways, those that saw it fail, 4 x 4 bytes.
    Sum = 20,
}

impl FactKind {
    /// The kind of a number in the index.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Operator,
            1 => Self::Retired,
            2 => Self::Assigned,
            3 => Self::Grant,
            4 => Self::Revoked,
            5 => Self::Release,
            6 => Self::Rollout,
            7 => Self::Halted,
            8 => Self::Rules,
            9 => Self::Erased,
            10 => Self::Subject,
            11 => Self::Version,
            12 => Self::ReleasePolicy,
            13 => Self::ReleaseKey,
            14 => Self::Manifest,
            15 => Self::Newest,
            16 => Self::Content,
            17 => Self::Step,
            18 => Self::Stopped,
            19 => Self::Tally,
            20 => Self::Sum,
            _ => return None,
        })
    }
}

/// Something a transaction established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Who signed the transaction.
    pub signer: DeviceId,
    /// What was established.
    pub value: Vec<u8>,
}

/// One step of the state, as a leaf implies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A member is new or has another key.
    Member(Member),
    /// A fact is new or has another value.
    Fact(FactKind, Vec<u8>, Fact),
    /// A block stands; its place in the log is filled in when it gets one.
    Block(Block),
    /// The leaf is about firmware: gateways ask for those. Its place is filled in when it gets one.
    Firmware(u64),
}

impl Change {
    /// Fills in the place of the leaf, where a change holds it.
    pub const fn at(&mut self, place: u64) {
        match self {
            Self::Block(block) => block.head.leaf = place,
            Self::Firmware(at) => *at = place,
            Self::Member(_) | Self::Fact(..) => {}
        }
    }
}

/// Questions the state machine asks.
pub trait State {
    /// The member of this name.
    ///
    /// # Errors
    /// The index cannot be read.
    fn member(&self, name: &DeviceId) -> Result<Option<Member>, StorageError>;
    /// The member whose present signing key this is.
    ///
    /// # Errors
    /// The index cannot be read.
    fn member_by_signing(&self, key: &[u8; 32]) -> Result<Option<Member>, StorageError>;
    /// The member whose channel key this is.
    ///
    /// # Errors
    /// The index cannot be read.
    fn member_by_channel(&self, key: &[u8; 32]) -> Result<Option<Member>, StorageError>;
    /// The last block of a gateway.
    ///
    /// # Errors
    /// The index cannot be read.
    fn head(&self, gateway: &DeviceId) -> Result<Option<Head>, StorageError>;
    /// The block of a gateway with this index, whatever its incarnation.
    ///
    /// # Errors
    /// The index cannot be read.
    fn block(&self, gateway: &DeviceId, index: u64) -> Result<Option<Block>, StorageError>;
    /// A fact.
    ///
    /// # Errors
    /// The index cannot be read.
    fn fact(&self, kind: FactKind, key: &[u8]) -> Result<Option<Fact>, StorageError>;
}

/// The whole state in memory: for `fsck`, which derives it again, and for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Members by name.
    pub members: BTreeMap<DeviceId, Member>,
    /// Facts by kind and key.
    pub facts: BTreeMap<(FactKind, Vec<u8>), Fact>,
    /// Blocks by gateway and index.
    pub blocks: BTreeMap<(DeviceId, u64), Block>,
    /// Places of leaves about firmware.
    pub firmware: BTreeSet<u64>,
}

impl Contents {
    /// Takes a step.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Member(member) => {
                self.members.insert(member.name.clone(), member);
            }
            Change::Fact(kind, key, fact) => {
                self.facts.insert((kind, key), fact);
            }
            Change::Block(block) => {
                self.blocks.insert((block.gateway.clone(), block.head.index), block);
            }
            Change::Firmware(place) => {
                self.firmware.insert(place);
            }
        }
    }
}

impl State for Contents {
    fn member(&self, name: &DeviceId) -> Result<Option<Member>, StorageError> {
        Ok(self.members.get(name).cloned())
    }
    fn member_by_signing(&self, key: &[u8; 32]) -> Result<Option<Member>, StorageError> {
        Ok(self.members.values().find(|member| member.signing == *key).cloned())
    }
    fn member_by_channel(&self, key: &[u8; 32]) -> Result<Option<Member>, StorageError> {
        Ok(self.members.values().find(|member| member.channel == *key).cloned())
    }
    fn head(&self, gateway: &DeviceId) -> Result<Option<Head>, StorageError> {
        let chain = self.blocks.range((gateway.clone(), 0)..=(gateway.clone(), u64::MAX));
        Ok(chain.last().map(|(_, block)| block.head))
    }
    fn block(&self, gateway: &DeviceId, index: u64) -> Result<Option<Block>, StorageError> {
        Ok(self.blocks.get(&(gateway.clone(), index)).cloned())
    }
    fn fact(&self, kind: FactKind, key: &[u8]) -> Result<Option<Fact>, StorageError> {
        Ok(self.facts.get(&(kind, key.to_vec())).cloned())
    }
}
