//! When a transaction about firmware may enter (from version 2 on). What a gateway checks again for itself is checked here first,
//! so that what stands in the log is what gateways will take: signatures of enough release keys, counters and versions that
//! only rise, one manifest for one content, rollouts of known releases step by step, halts that are final.

use ledger_block::cbor::Deterministic as _;
use ledger_block::ingest::{Code, Cohort, DeviceId, HaltReason, Timestamp, Transaction};
use ledger_block::release::{
    HardwareId, Manifest, ReleaseId, ReleasePolicy, SecurityCounter, SignedManifest, SignedPolicy, Target, Version,
};

use super::transaction::{Decision, Signer, fact, is_used};
use super::{Verdict, tally};
use crate::objects::StorageError;
use crate::state::{Change, FactKind, State};

fn not(why: impl std::fmt::Display) -> Decision {
    Ok(Verdict::refuse(Code::NotAllowed, why))
}

/// Admits with these facts, and counts the leaf among those gateways ask for.
fn admit(facts: impl IntoIterator<Item = Change>) -> Decision {
    Ok(Verdict::Admit(facts.into_iter().chain([Change::Firmware(0)]).collect()))
}

/// The policy in force.
fn in_force(state: &dyn State) -> Result<Option<ReleasePolicy>, StorageError> {
    let Some(fact) = state.fact(FactKind::ReleasePolicy, b"")? else { return Ok(None) };
    let signed = SignedPolicy::parse(&fact.value).map_err(|_| StorageError::Impossible("release policy"))?;
    Ok(Some(signed.policy().clone()))
}

/// A new release policy: signed by itself and by the one it follows.
pub(super) fn policy(state: &dyn State, transaction: &Transaction, signer: &Signer, bytes: &[u8]) -> Decision {
    if !matches!(signer, Signer::Operator) {
        return not("only the operator puts a release policy into the log");
    }
    let signed = match SignedPolicy::parse(bytes) {
        Ok(signed) => signed,
        Err(error) => return Ok(Verdict::refuse(Code::Malformed, error)),
    };
    let before = in_force(state)?;
    if let Err(error) = signed.verify(before.as_ref()) {
        return not(error);
    }
    let old: &[[u8; 32]] = before.as_ref().map_or(&[], |policy| &policy.keys);
    for key in signed.policy().keys.iter().filter(|key| !old.contains(key)) {
        // A key that signed blocks or transactions lies on a box; one that was a release key and was replaced may be lost.
        if is_used(state, key)? {
            return not("a key of this policy is or was somebody's: release keys sign releases and nothing else");
        }
    }
    let keys = signed.policy().keys.iter().map(|key| fact(transaction, FactKind::ReleaseKey, key, &[]));
    admit(keys.chain([fact(transaction, FactKind::ReleasePolicy, b"", bytes)]))
}

/// What the newest release of one component on one hardware was.
struct Newest {
    version: Version,
    counter: SecurityCounter,
}

const NEWEST_BYTES: usize = 16;

impl Newest {
    fn of(manifest: &Manifest) -> Self {
        Self { version: manifest.version, counter: manifest.counter }
    }

    fn to_bytes(&self) -> [u8; NEWEST_BYTES] {
        let mut bytes = [0; NEWEST_BYTES];
        let numbers = [self.counter.0, self.version.major, self.version.minor, self.version.patch];
        for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(4).map(|n| n.try_into().map(u32::from_be_bytes).ok());
        let (counter, major) = (numbers.next()??, numbers.next()??);
        let (minor, patch) = (numbers.next()??, numbers.next()??);
        let whole = bytes.len() == NEWEST_BYTES;
        whole.then_some(Self { version: Version::new(major, minor, patch), counter: SecurityCounter(counter) })
    }
}

/// Target, component and hardware, apart by a byte that is in no name.
fn line_key(target: Target, component: &str, hardware: &HardwareId) -> Vec<u8> {
    [&[target as u8], component.as_bytes(), &[0], hardware.as_str().as_bytes()].concat()
}

/// Size and SHA-256: what else a BLAKE3 must stand for.
fn content_value(manifest: &Manifest) -> Vec<u8> {
    [manifest.size.to_be_bytes().as_slice(), &manifest.sha256].concat()
}

/// A release: enough signatures, not expired, newer than all before it on each of its hardware ids.
pub(super) fn release(state: &dyn State, transaction: &Transaction, signer: &Signer, bytes: &[u8]) -> Decision {
    if !signer.is_publisher() {
        return not("only a publisher releases");
    }
    let signed = match SignedManifest::parse(bytes) {
        Ok(signed) => signed,
        Err(error) => return Ok(Verdict::refuse(Code::Malformed, error)),
    };
    let Some(policy) = in_force(state)? else {
        return not("no release policy stands in the log; the operator runs `ledgerd release-policy`");
    };
    if let Err(error) = signed.verify(&policy) {
        return not(error);
    }
    let (manifest, id) = (signed.manifest(), signed.id());
    if state.fact(FactKind::Manifest, &id.0)?.is_some() {
        return not("this release stands already, whoever signed it this time");
    }
    if manifest.expires <= transaction.time {
        return not(format_args!("it expired at {}, before it was published", manifest.expires));
    }
    for hardware in &manifest.hardware {
        let Some(newest) =
            state.fact(FactKind::Newest, &line_key(manifest.target, manifest.component.as_str(), hardware))?
        else {
            continue;
        };
        let newest = Newest::parse(&newest.value).ok_or(StorageError::Impossible("newest release"))?;
        if manifest.counter < newest.counter {
            return not(format_args!(
                "its security counter is {}, {hardware} has seen {}: it would bring a mended weakness back",
                manifest.counter, newest.counter
            ));
        }
        if manifest.version <= newest.version {
            return not(format_args!(
                "{hardware} has had version {}: to go back to an old one, rebuild it under a new number",
                newest.version
            ));
        }
    }
    let content = content_value(manifest);
    if state.fact(FactKind::Content, &manifest.blake3)?.is_some_and(|held| held.value != content) {
        return not("the same BLAKE3 stands with another size or SHA-256: a mix of two releases");
    }
    let line = |hardware| line_key(manifest.target, manifest.component.as_str(), hardware);
    let newest = Newest::of(manifest).to_bytes();
    let lines = manifest.hardware.iter().map(|hardware| fact(transaction, FactKind::Newest, &line(hardware), &newest));
    admit(lines.chain([
        fact(transaction, FactKind::Manifest, &id.0, &manifest.to_cbor()),
        fact(transaction, FactKind::Content, &manifest.blake3, &content),
    ]))
}

/// A release that stands and is not halted, and who published it.
pub(super) fn standing(
    state: &dyn State,
    id: &ReleaseId,
) -> Result<Result<(Manifest, DeviceId), Verdict>, StorageError> {
    let Some(fact) = state.fact(FactKind::Manifest, &id.0)? else {
        return Ok(Err(Verdict::refuse(Code::NotAllowed, "no such release")));
    };
    if state.fact(FactKind::Stopped, &id.0)?.is_some() {
        return Ok(Err(Verdict::refuse(Code::NotAllowed, "this release is halted, for good: publish a new one")));
    }
    let manifest = Manifest::parse(&fact.value).map_err(|_| StorageError::Impossible("manifest"))?;
    Ok(Ok((manifest, fact.signer)))
}

/// From this version of the log on they are counted: what stands before is judged by the rules of its time.
pub(crate) const STEPS_COUNTED_FROM: u64 = 3;
/// Steps of one release's rollout on one hardware, pauses included; stopping is let in beyond. Boxes keep every leaf about
/// firmware, so whoever holds a publisher's key must not be able to fill them up by going back and forth.
const STEPS_MAX: u8 = 32;

/// The key of the fact about one release's rollout on one hardware.
pub(crate) fn step_key(release: &ReleaseId, hardware: &HardwareId) -> Vec<u8> {
    [release.0.as_slice(), hardware.as_str().as_bytes()].concat()
}

/// A rollout: by the publisher of the release or the operator; it widens one step at a time, and not while too many updates failed.
pub(super) fn rollout(
    state: &dyn State,
    transaction: &Transaction,
    signer: &Signer,
    version: u64,
    (id, hardware, cohort): (&ReleaseId, &HardwareId, Cohort),
) -> Decision {
    let (manifest, publisher) = match standing(state, id)? {
        Ok(standing) => standing,
        Err(refused) => return Ok(refused),
    };
    let may = matches!(signer, Signer::Operator) || (signer.is_publisher() && transaction.signer == publisher);
    if !may {
        return not(format_args!("only {publisher}, who published it, or the operator rolls this release out"));
    }
    if !manifest.fits(hardware) {
        return not(format_args!("the release is not built for {hardware}"));
    }
    if cohort != Cohort::Paused && is_late(&manifest, transaction.time) {
        return not(format_args!("the release expired at {}", manifest.expires));
    }
    let key = step_key(id, hardware);
    let before = state.fact(FactKind::Step, &key)?;
    let step = |at: usize| {
        let percent = before.as_ref().and_then(|fact| fact.value.get(at).copied());
        percent.and_then(Cohort::from_percent)
    };
    let widest = step(1).unwrap_or(Cohort::Paused);
    match step(0) {
        Some(present) if present == cohort => {
            return not(format_args!("it is at {} per cent already", cohort.percent()));
        }
        None if cohort == Cohort::Paused => return not("nothing was rolled out that could be paused"),
        _ => {}
    }
    if cohort > widest.next() {
        let (next, widest) = (widest.next().percent(), widest.percent());
        return not(format_args!("a rollout widens step by step: {next} per cent comes after {widest}"));
    }
    // Whoever rolls out, on whichever hardware: what failed there is the same release. Narrowing is always let in.
    if cohort > step(0).unwrap_or(Cohort::Paused) {
        let sum = tally::sum(state, id)?;
        if sum.is_too_bad() {
            let (failed, tried, gateways) = (sum.tally.failed, sum.tally.tried(), sum.gateways);
            return not(format_args!(
                "{failed} of {tried} updates failed, over {gateways} gateway(s): halt it, and publish a new release"
            ));
        }
    }
    let mut value = vec![cohort.percent(), widest.max(cohort).percent()];
    if version >= STEPS_COUNTED_FROM {
        let steps = before.as_ref().and_then(|fact| fact.value.get(2).copied()).unwrap_or_default();
        if steps >= STEPS_MAX && cohort != Cohort::Paused {
            return not(format_args!(
                "its rollout on {hardware} took {STEPS_MAX} steps: halt it, and publish a new release"
            ));
        }
        value.push(steps.saturating_add(1));
    }
    admit([fact(transaction, FactKind::Step, &key, &value)])
}

fn is_late(manifest: &Manifest, time: Timestamp) -> bool {
    manifest.expires <= time
}

/// A halt: by the publisher of the release, the operator, or any gateway, since stopping is the safe side.
pub(super) fn halt(
    state: &dyn State,
    transaction: &Transaction,
    signer: &Signer,
    id: &ReleaseId,
    why: HaltReason,
) -> Decision {
    let (_, publisher) = match standing(state, id)? {
        Ok(standing) => standing,
        Err(refused) => return Ok(refused),
    };
    if signer.is_publisher() && transaction.signer != publisher {
        return not(format_args!("only {publisher}, who published it, a gateway or the operator halts this release"));
    }
    admit([fact(transaction, FactKind::Stopped, &id.0, &[why as u8])])
}
