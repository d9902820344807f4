//! When a transaction may enter: who may sign which act, and what must stand or not stand before it.

use ledger_block::ingest::DeviceId;
use ledger_block::ingest::{Act, Code, OPERATOR, Role, SignedTransaction, SubjectId, Transaction};

use super::{Verdict, firmware, tally};
use crate::objects::StorageError;
use crate::state::{Change, Fact, FactKind, Member, State};

pub(super) type Decision = Result<Verdict, StorageError>;

/// Who signed, once the signature held.
pub(super) enum Signer {
    Operator,
    Member(Role),
}

impl Signer {
    pub const fn is_publisher(&self) -> bool {
        matches!(self, Self::Member(Role::Publisher))
    }

    pub const fn is_gateway(&self) -> bool {
        matches!(self, Self::Member(Role::Gateway))
    }
}

pub(super) fn admit(state: &dyn State, origin: &str, signed: &SignedTransaction) -> Decision {
    let transaction = signed.transaction();
    let operator = state.fact(FactKind::Operator, b"")?;
    let Some(operator) = operator else { return Ok(first(origin, signed)) };
    let (key, signer) = if transaction.signer.as_str() == OPERATOR {
        (<[u8; 32]>::try_from(operator.value.as_slice()).ok(), Signer::Operator)
    } else {
        match state.member(&transaction.signer)? {
            Some(member) => (Some(member.signing), Signer::Member(member.role)),
            None => return Ok(Verdict::refuse(Code::NotEnrolled, &transaction.signer)),
        }
    };
    if !key.is_some_and(|key| signed.is_signed_by(origin, &key)) {
        return Ok(Verdict::refuse(Code::BadSignature, format_args!("of {}", transaction.signer)));
    }
    let version = version(state)?;
    if transaction.act.version() > version && !matches!(transaction.act, Act::Upgrade { .. }) {
        let detail = format_args!("the log runs version {version}; its operator runs `ledgerd upgrade`");
        return Ok(Verdict::refuse(Code::Version, detail));
    }
    decide(state, transaction, &signer, version)
}

/// The version of the state machine the log is at: it was founded with one, or moved to it.
fn version(state: &dyn State) -> Result<u64, StorageError> {
    match state.fact(FactKind::Version, b"")? {
        None => Ok(1),
        Some(fact) => match <[u8; 8]>::try_from(fact.value) {
            Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
            Err(_) => Err(StorageError::Impossible("version")),
        },
    }
}

/// This version, from here on.
fn runs(transaction: &Transaction, version: u64) -> Change {
    fact(transaction, FactKind::Version, b"", &version.to_be_bytes())
}

/// The first leaf of a log names its operator's key, signed with that key.
fn first(origin: &str, signed: &SignedTransaction) -> Verdict {
    let transaction = signed.transaction();
    let by_operator = transaction.signer.as_str() == OPERATOR;
    let (key, version) = match &transaction.act {
        // A log that was founded with version 1.
        Act::Rotate { name, key } if name.as_str() == OPERATOR && by_operator => (key, None),
        Act::Found { key, version } if by_operator => (key, Some(runs(transaction, *version))),
        _ => return Verdict::refuse(Code::NotAllowed, "the first leaf of a log names its operator's key"),
    };
    if !signed.is_signed_by(origin, key) {
        return Verdict::refuse(Code::BadSignature, "the first leaf is signed with the key it names");
    }
    Verdict::Admit([fact(transaction, FactKind::Operator, b"", key)].into_iter().chain(version).collect())
}

fn decide(state: &dyn State, transaction: &Transaction, signer: &Signer, version: u64) -> Decision {
    let done = |kind, key: &[u8], value: &[u8]| Ok(Verdict::Admit(vec![fact(transaction, kind, key, value)]));
    let has = |kind, key: &[u8]| state.fact(kind, key).map(|fact| fact.is_some());
    let gateway = signer.is_gateway();
    let publisher = signer.is_publisher();
    let operator = matches!(signer, Signer::Operator);
    let not = |why: &str| Ok(Verdict::refuse(Code::NotAllowed, why));
    match &transaction.act {
        Act::Enrol { .. } if !matches!(signer, Signer::Operator) => not("only the operator enrols"),
        Act::Enrol { name, role, signing, channel } => {
            enrol(state, version, Member { name: name.clone(), role: *role, signing: *signing, channel: *channel })
        }
        Act::Rotate { name, key } => rotate(state, transaction, signer, name, key),
        Act::Found { .. } => not("this log was founded already"),
        Act::Upgrade { .. } if !operator => not("only the operator upgrades"),
        Act::Upgrade { version: to } if version >= *to => {
            Ok(Verdict::refuse(Code::NotAllowed, format_args!("the log runs version {version} already")))
        }
        Act::Upgrade { version: to } => Ok(Verdict::Admit(vec![runs(transaction, *to)])),
        Act::ReleasePolicy { signed } => firmware::policy(state, transaction, signer, signed),
        Act::Release { signed } => firmware::release(state, transaction, signer, signed),
        Act::Rollout { release, hardware, cohort } => {
            firmware::rollout(state, transaction, signer, version, (release, hardware, *cohort))
        }
        Act::Halt { release, why } => firmware::halt(state, transaction, signer, release, *why),
        Act::Tally { release, tally } => tally::tally(state, transaction, signer, (release, *tally)),
        Act::OldRelease { .. } | Act::OldRollout { .. } | Act::OldHalt { .. } if version >= 2 => {
            Ok(Verdict::refuse(Code::Version, "this log has whole manifests; send that"))
        }
        Act::OldRelease { .. } if !publisher => not("only a publisher releases"),
        Act::OldHalt { .. } if !publisher && !gateway => not("only a publisher or a gateway halts"),
        Act::OldRelease { manifest } if has(FactKind::Release, manifest)? => not("this release stands already"),
        Act::OldRelease { manifest } => done(FactKind::Release, manifest, &[]),
        Act::OldHalt { manifest } | Act::OldRollout { manifest, .. } if !has(FactKind::Release, manifest)? => {
            not("no such release")
        }
        Act::OldHalt { manifest } | Act::OldRollout { manifest, .. } if has(FactKind::Halted, manifest)? => {
            not("this release is halted")
        }
        Act::OldHalt { manifest } => done(FactKind::Halted, manifest, &[]),
        _ if !gateway => not("only a gateway may do this"),
        Act::OldRollout { manifest, percent } => done(FactKind::Rollout, manifest, &[*percent]),
        Act::AssignKey { subject, generation, key } => {
            let name = generation_key(*subject, *generation);
            if has(FactKind::Assigned, &name)? || has(FactKind::Erased, &name)? {
                return not("this generation has its key already, or was erased");
            }
            Ok(Verdict::Admit(vec![
                fact(transaction, FactKind::Assigned, &name, key),
                fact(transaction, FactKind::Subject, &subject.0, &generation.to_be_bytes()),
            ]))
        }
        Act::Grant { subject, grant, until } => {
            if !has(FactKind::Subject, &subject.0)? {
                return not("no key was assigned to this subject");
            }
            if has(FactKind::Grant, grant)? {
                return not("this grant stands already");
            }
            done(FactKind::Grant, grant, &[subject.0.as_slice(), &until.0.to_be_bytes()].concat())
        }
        Act::Revoke { grant } => match state.fact(FactKind::Grant, grant)? {
            None => not("no such grant"),
            Some(standing) if standing.signer != transaction.signer => not("another gateway recorded this grant"),
            Some(_) if has(FactKind::Revoked, grant)? => not("this grant is revoked already"),
            Some(_) => done(FactKind::Revoked, grant, &[]),
        },
        Act::Rule { rules } => done(FactKind::Rules, transaction.signer.as_str().as_bytes(), rules),
        Act::Erase { subject, generation } => {
            let name = generation_key(*subject, *generation);
            if has(FactKind::Erased, &name)? { not("erased already") } else { done(FactKind::Erased, &name, &[]) }
        }
    }
}

fn enrol(state: &dyn State, version: u64, member: Member) -> Decision {
    let not = |why: &str| Ok(Verdict::refuse(Code::NotAllowed, why));
    if member.name.as_str() == OPERATOR || state.member(&member.name)?.is_some() {
        return not("this name is taken");
    }
    if is_used(state, &member.signing)? {
        return not("this signing key is or was somebody's");
    }
    let connects = member.channel != [0; 32];
    // Version 2 lets a publisher connect: to hand in releases, and nothing else.
    if connects != (member.role == Role::Gateway) && !(connects && version >= 2) {
        return not("a gateway has a channel key; a publisher has none before version 2");
    }
    if connects && state.member_by_channel(&member.channel)?.is_some() {
        return not("this channel key is somebody's");
    }
    Ok(Verdict::Admit(vec![Change::Member(member)]))
}

fn rotate(state: &dyn State, transaction: &Transaction, signer: &Signer, name: &DeviceId, key: &[u8; 32]) -> Decision {
    let not = |why: &str| Ok(Verdict::refuse(Code::NotAllowed, why));
    let by_operator = matches!(signer, Signer::Operator);
    if !by_operator && transaction.signer != *name {
        return not("only its holder or the operator replaces a key");
    }
    if is_used(state, key)? {
        return not("this signing key is or was somebody's");
    }
    let retired = |old: &[u8]| fact(transaction, FactKind::Retired, old, &[]);
    if name.as_str() == OPERATOR {
        let old = state.fact(FactKind::Operator, b"")?.map(|fact| fact.value).unwrap_or_default();
        return Ok(Verdict::Admit(vec![retired(&old), fact(transaction, FactKind::Operator, b"", key)]));
    }
    match state.member(name)? {
        None => not("nobody of this name is enrolled"),
        Some(member) => {
            let old = retired(&member.signing);
            Ok(Verdict::Admit(vec![old, Change::Member(Member { signing: *key, ..member })]))
        }
    }
}

/// Whether a signing key is or ever was in use: one key, one story.
pub(super) fn is_used(state: &dyn State, key: &[u8; 32]) -> Result<bool, StorageError> {
    let operator = state.fact(FactKind::Operator, b"")?.is_some_and(|fact| fact.value == key);
    Ok(operator
        || state.member_by_signing(key)?.is_some()
        || state.fact(FactKind::Retired, key)?.is_some()
        || state.fact(FactKind::ReleaseKey, key)?.is_some())
}

fn generation_key(subject: SubjectId, generation: u32) -> Vec<u8> {
    [subject.0.as_slice(), &generation.to_be_bytes()].concat()
}

pub(super) fn fact(transaction: &Transaction, kind: FactKind, key: &[u8], value: &[u8]) -> Change {
    Change::Fact(kind, key.to_vec(), Fact { signer: transaction.signer.clone(), value: value.to_vec() })
}
