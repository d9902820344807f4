use ledger_block::GatewayKey;
use ledger_block::ingest::Timestamp;
use ledger_block::ingest::{Act, Code, OPERATOR, Role, SubjectId, Transaction};
use proptest::prelude::*;

mod firmware;
mod steps;

use super::{Leaf, Verdict, admit};
use crate::state::Contents;
use crate::tests::{Box_, NOW, ORIGIN, by_operator, enrol, id, operator};

/// A state, and a shorthand for what happens to it.
struct World {
    state: Contents,
    clock: i64,
}

impl World {
    fn new() -> Self {
        let mut world = Self { state: Contents::default(), clock: 0 };
        world.put(&by_operator(Act::Rotate { name: id(OPERATOR), key: operator().id().0 })).unwrap();
        world.put(&enrol("box-1", &gateway(), Role::Gateway)).unwrap();
        world.put(&enrol("maker", &publisher(), Role::Publisher)).unwrap();
        world
    }

    fn put(&mut self, leaf: &[u8]) -> Result<(), Code> {
        match admit(&self.state, ORIGIN, None, &Leaf::read(leaf).map_err(|r| r.code)?).unwrap() {
            Verdict::Admit(changes) => {
                changes.into_iter().for_each(|change| self.state.apply(change));
                Ok(())
            }
            Verdict::Refuse(refusal) | Verdict::Evidence { refusal, .. } => Err(refusal.code),
        }
    }

    fn act(&mut self, signer: &str, key: &GatewayKey, act: Act) -> Result<(), Code> {
        self.clock += 1;
        let transaction = Transaction { signer: id(signer), time: Timestamp(self.clock), act };
        self.put(&transaction.sign(ORIGIN, key).unwrap())
    }
}

fn gateway() -> GatewayKey {
    GatewayKey::new(&[9; 32])
}

fn publisher() -> GatewayKey {
    GatewayKey::new(&[10; 32])
}

const SUBJECT: SubjectId = SubjectId([1; 16]);

#[test]
fn the_first_leaf_names_the_operator_and_nothing_else_may() {
    let mut empty = World { state: Contents::default(), clock: 0 };
    assert_eq!(empty.put(&enrol("box-1", &gateway(), Role::Gateway)), Err(Code::NotAllowed));
    let posing = Act::Rotate { name: id(OPERATOR), key: gateway().id().0 };
    assert_eq!(empty.put(&by_operator(posing)), Err(Code::BadSignature));
    let mut world = World::new();
    let again = Act::Rotate { name: id(OPERATOR), key: operator().id().0 };
    assert_eq!(world.act(OPERATOR, &operator(), again), Err(Code::NotAllowed));
}

#[test]
fn only_the_operator_enrols_and_no_name_or_key_twice() {
    let mut world = World::new();
    let new = GatewayKey::new(&[20; 32]);
    let act =
        |name: &str, signing: [u8; 32], channel: [u8; 32], role| Act::Enrol { name: id(name), role, signing, channel };
    let wanted = || act("box-2", new.id().0, [3; 32], Role::Gateway);
    assert_eq!(world.act("box-1", &gateway(), wanted()), Err(Code::NotAllowed));
    assert_eq!(world.act("nobody", &new, wanted()), Err(Code::NotEnrolled));
    assert_eq!(world.act(OPERATOR, &gateway(), wanted()), Err(Code::BadSignature));
    for (name, signing, channel, role) in [
        ("box-1", new.id().0, [3; 32], Role::Gateway),
        (OPERATOR, new.id().0, [3; 32], Role::Gateway),
        ("box-2", gateway().id().0, [3; 32], Role::Gateway),
        ("box-2", operator().id().0, [3; 32], Role::Gateway),
        ("box-2", new.id().0, gateway().id().0, Role::Gateway),
        ("box-2", new.id().0, [0; 32], Role::Gateway),
        ("box-2", new.id().0, [3; 32], Role::Publisher),
    ] {
        let tried = world.act(OPERATOR, &operator(), act(name, signing, channel, role));
        assert_eq!(tried, Err(Code::NotAllowed), "{name} {role:?}");
    }
    assert_eq!(world.act(OPERATOR, &operator(), wanted()), Ok(()));
}

#[test]
fn a_key_once_replaced_never_returns() {
    let mut world = World::new();
    let next = GatewayKey::new(&[30; 32]);
    let rotate = |name: &str, key: &GatewayKey| Act::Rotate { name: id(name), key: key.id().0 };
    assert_eq!(world.act("maker", &publisher(), rotate("box-1", &next)), Err(Code::NotAllowed));
    assert_eq!(world.act("box-1", &gateway(), rotate("box-1", &next)), Ok(()));
    assert_eq!(world.act("box-1", &gateway(), Act::Rule { rules: [1; 32] }), Err(Code::BadSignature));
    assert_eq!(world.act("box-1", &next, rotate("box-1", &gateway())), Err(Code::NotAllowed));
    assert_eq!(world.act("box-1", &next, Act::Rule { rules: [1; 32] }), Ok(()));
    // The operator replaces a lost key, and its own.
    let found = GatewayKey::new(&[31; 32]);
    assert_eq!(world.act(OPERATOR, &operator(), rotate("box-1", &found)), Ok(()));
    let heir = GatewayKey::new(&[32; 32]);
    assert_eq!(world.act(OPERATOR, &operator(), rotate(OPERATOR, &heir)), Ok(()));
    assert_eq!(world.act(OPERATOR, &operator(), rotate("box-1", &GatewayKey::new(&[33; 32]))), Err(Code::BadSignature));
}

#[test]
fn keys_grants_and_erasures_follow_their_order() {
    let mut world = World::new();
    let until = Timestamp(9);
    let grant = || Act::Grant { subject: SUBJECT, grant: [4; 32], until };
    let assign = |generation| Act::AssignKey { subject: SUBJECT, generation, key: [6; 32] };
    let mut put = |act| world.act("box-1", &gateway(), act);
    assert_eq!(put(grant()), Err(Code::NotAllowed), "no key yet");
    assert_eq!(put(assign(0)), Ok(()));
    assert_eq!(put(assign(0)), Err(Code::NotAllowed));
    assert_eq!(put(grant()), Ok(()));
    assert_eq!(put(grant()), Err(Code::NotAllowed));
    assert_eq!(put(Act::Revoke { grant: [5; 32] }), Err(Code::NotAllowed));
    assert_eq!(put(Act::Revoke { grant: [4; 32] }), Ok(()));
    assert_eq!(put(Act::Revoke { grant: [4; 32] }), Err(Code::NotAllowed));
    assert_eq!(put(Act::Erase { subject: SUBJECT, generation: 1 }), Ok(()));
    assert_eq!(put(Act::Erase { subject: SUBJECT, generation: 1 }), Err(Code::NotAllowed));
    assert_eq!(put(assign(1)), Err(Code::NotAllowed), "erased");
    assert_eq!(world.act("maker", &publisher(), assign(2)), Err(Code::NotAllowed));
}

#[test]
fn releases_are_rolled_out_until_they_are_halted() {
    let mut world = World::new();
    let manifest = [8; 32];
    let rollout = || Act::OldRollout { manifest, percent: 10 };
    assert_eq!(world.act("box-1", &gateway(), rollout()), Err(Code::NotAllowed), "no such release");
    assert_eq!(world.act("box-1", &gateway(), Act::OldRelease { manifest }), Err(Code::NotAllowed));
    assert_eq!(world.act("maker", &publisher(), Act::OldRelease { manifest }), Ok(()));
    assert_eq!(world.act("maker", &publisher(), Act::OldRelease { manifest }), Err(Code::NotAllowed));
    assert_eq!(world.act("maker", &publisher(), rollout()), Err(Code::NotAllowed));
    assert_eq!(world.act("box-1", &gateway(), rollout()), Ok(()));
    assert_eq!(world.act("box-1", &gateway(), Act::OldHalt { manifest }), Ok(()));
    assert_eq!(world.act("box-1", &gateway(), rollout()), Err(Code::NotAllowed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_handed_in_the_chain_stays_one_chain(
        tries in prop::collection::vec((0u64..6, 0u64..3, any::<bool>(), 0u8..3), 1..40),
    ) {
        let mut world = World::new();
        let mut chain: Vec<(u64, [u8; 32])> = Vec::new();
        for (index, incarnation, links, fill) in tries {
            let mut sealer = Box_::new("box-1", 9);
            (sealer.next, sealer.incarnation) = (index, incarnation);
            if links && let Some(at) = index.checked_sub(1) {
                sealer.previous = chain.get(usize::try_from(at).unwrap()).map_or([1; 32], |block| block.1);
            }
            let header = sealer.draw(fill).0;
            let last = chain.last().copied();
            let fits = index == chain.len() as u64
                && header.header().previous == last.map_or([0; 32], |block| block.1)
                && incarnation >= last.map_or(0, |block| block.0);
            prop_assert_eq!(world.put(header.bytes()).is_ok(), fits);
            if fits {
                chain.push((incarnation, header.hash()));
            }
        }
        prop_assert_eq!(world.state.blocks.len(), chain.len());
    }
}

#[test]
fn a_transaction_of_another_log_is_refused() {
    let mut world = World::new();
    let act = Act::Rule { rules: [1; 32] };
    let elsewhere = Transaction { signer: id("box-1"), time: NOW, act }.sign("other.example", &gateway()).unwrap();
    assert_eq!(world.put(&elsewhere), Err(Code::BadSignature));
}
