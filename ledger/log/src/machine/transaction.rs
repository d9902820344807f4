//! When a transaction may enter: who may sign which act, and what must stand or not stand before it.

use ledger_block::ingest::DeviceId;
use ledger_block::ingest::{Act, Code, OPERATOR, Role, SignedTransaction, SubjectId, Transaction};

use super::Verdict;
use crate::objects::StorageError;
use crate::state::{Change, Fact, FactKind, Member, State};

type Decision = Result<Verdict, StorageError>;

/// Who signed, once the signature held.
enum Signer {
    Operator,
    Member(Role),
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
    decide(state, transaction, &signer)
}

/// The first leaf of a log names its operator's key, signed with that key.
fn first(origin: &str, signed: &SignedTransaction) -> Verdict {
    let transaction = signed.transaction();
    match &transaction.act {
        Act::Rotate { name, key } if name.as_str() == OPERATOR && transaction.signer == *name => {
            if signed.is_signed_by(origin, key) {
                Verdict::Admit(vec![fact(transaction, FactKind::Operator, b"", key)])
            } else {
                Verdict::refuse(Code::BadSignature, "the first leaf is signed with the key it names")
            }
        }
        _ => Verdict::refuse(Code::NotAllowed, "the first leaf of a log names its operator's key"),
    }
}

fn decide(state: &dyn State, transaction: &Transaction, signer: &Signer) -> Decision {
    let done = |kind, key: &[u8], value: &[u8]| Ok(Verdict::Admit(vec![fact(transaction, kind, key, value)]));
    let has = |kind, key: &[u8]| state.fact(kind, key).map(|fact| fact.is_some());
    let gateway = matches!(signer, Signer::Member(Role::Gateway));
    let publisher = matches!(signer, Signer::Member(Role::Publisher));
    let not = |why: &str| Ok(Verdict::refuse(Code::NotAllowed, why));
    match &transaction.act {
        Act::Enrol { .. } if !matches!(signer, Signer::Operator) => not("only the operator enrols"),
        Act::Enrol { name, role, signing, channel } => {
            enrol(state, Member { name: name.clone(), role: *role, signing: *signing, channel: *channel })
        }
        Act::Rotate { name, key } => rotate(state, transaction, signer, name, key),
        Act::Release { .. } if !publisher => not("only a publisher releases"),
        Act::Halt { .. } if !publisher && !gateway => not("only a publisher or a gateway halts"),
        Act::Release { manifest } if has(FactKind::Release, manifest)? => not("this release stands already"),
        Act::Release { manifest } => done(FactKind::Release, manifest, &[]),
        Act::Halt { manifest } | Act::Rollout { manifest, .. } if !has(FactKind::Release, manifest)? => {
            not("no such release")
        }
        Act::Halt { manifest } | Act::Rollout { manifest, .. } if has(FactKind::Halted, manifest)? => {
            not("this release is halted")
        }
        Act::Halt { manifest } => done(FactKind::Halted, manifest, &[]),
        _ if !gateway => not("only a gateway may do this"),
        Act::Rollout { manifest, percent } => done(FactKind::Rollout, manifest, &[*percent]),
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

fn enrol(state: &dyn State, member: Member) -> Decision {
    let not = |why: &str| Ok(Verdict::refuse(Code::NotAllowed, why));
    if member.name.as_str() == OPERATOR || state.member(&member.name)?.is_some() {
        return not("this name is taken");
    }
    if is_used(state, &member.signing)? {
        return not("this signing key is or was somebody's");
    }
    let connects = member.channel != [0; 32];
    if connects != (member.role == Role::Gateway) {
        return not("a gateway has a channel key, a publisher has none");
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
fn is_used(state: &dyn State, key: &[u8; 32]) -> Result<bool, StorageError> {
    let operator = state.fact(FactKind::Operator, b"")?.is_some_and(|fact| fact.value == key);
    Ok(operator || state.member_by_signing(key)?.is_some() || state.fact(FactKind::Retired, key)?.is_some())
}

fn generation_key(subject: SubjectId, generation: u32) -> Vec<u8> {
    [subject.0.as_slice(), &generation.to_be_bytes()].concat()
}

fn fact(transaction: &Transaction, kind: FactKind, key: &[u8], value: &[u8]) -> Change {
    Change::Fact(kind, key.to_vec(), Fact { signer: transaction.signer.clone(), value: value.to_vec() })
}
