use super::*;
use pitchside_model::Timestamp;
use proptest::prelude::*;
use zeroize::Zeroizing;

fn pair(seed: u8) -> Keypair {
    Keypair::from_secret(Zeroizing::new([seed; 32])).unwrap()
}

fn psk(seed: u8) -> Psk {
    Psk::new(Zeroizing::new([seed; 32]))
}

fn seed(byte: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([byte; 32])
}

fn connected() -> (Channel, Channel) {
    let (gateway, ledger) = (pair(1), pair(2));
    let (client, hail) = Client::start(&gateway, &psk(9), &ledger.public(), Timestamp(77), seed(3)).unwrap();
    let server = Server::read(&ledger, &hail[2..], seed(4)).unwrap();
    assert_eq!(server.hail(), Hail { peer: gateway.public(), sent_at: Timestamp(77) });
    let (theirs, answer) = server.answer(&psk(9)).unwrap();
    (client.finish(&answer[2..]).unwrap(), theirs)
}

#[test]
fn what_one_side_seals_the_other_opens_in_order_only() {
    let (ours, theirs) = connected();
    let ((mut seal, _), (_, mut open)) = (ours.split(), theirs.split());
    let first = seal.seal(b"one").unwrap();
    let second = seal.seal(b"two").unwrap();
    assert_eq!(open.open(&second[2..]), Err(ChannelError::NotAuthentic));
    assert_eq!(open.open(&first[2..]).unwrap(), b"one");
    assert_eq!(open.open(&first[2..]), Err(ChannelError::NotAuthentic));
    assert_eq!(open.open(&second[2..]).unwrap(), b"two");
}

#[test]
fn a_wrong_pre_shared_key_is_found_by_the_gateway() {
    let (gateway, ledger) = (pair(1), pair(2));
    let (client, hail) = Client::start(&gateway, &psk(9), &ledger.public(), Timestamp(0), seed(3)).unwrap();
    let (_, answer) = Server::read(&ledger, &hail[2..], seed(4)).unwrap().answer(&psk(8)).unwrap();
    assert_eq!(client.finish(&answer[2..]).err(), Some(ChannelError::NotAuthentic));
}

#[test]
fn a_hail_to_another_ledger_is_refused() {
    let (_, hail) = Client::start(&pair(1), &psk(9), &pair(2).public(), Timestamp(0), seed(3)).unwrap();
    assert_eq!(Server::read(&pair(5), &hail[2..], seed(4)).err(), Some(ChannelError::NotAuthentic));
}

#[test]
fn any_changed_byte_of_the_handshake_is_refused() {
    let (gateway, ledger) = (pair(1), pair(2));
    let (_, hail) = Client::start(&gateway, &psk(9), &ledger.public(), Timestamp(0), seed(3)).unwrap();
    for at in 2..hail.len() {
        let mut bad = hail.clone();
        bad[at] ^= 1;
        assert!(Server::read(&ledger, &bad[2..], seed(4)).is_err(), "byte {at}");
    }
    let (_, answer) = Server::read(&ledger, &hail[2..], seed(4)).unwrap().answer(&psk(9)).unwrap();
    for at in 2..answer.len() {
        let (client, _) = Client::start(&gateway, &psk(9), &ledger.public(), Timestamp(0), seed(3)).unwrap();
        let mut bad = answer.clone();
        bad[at] ^= 1;
        assert!(client.finish(&bad[2..]).is_err(), "byte {at}");
    }
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(format!("{:?}", psk(7)), "Psk(..)");
    assert!(!format!("{:?}", pair(7)).contains(&data_encoding::HEXLOWER.encode(&[7; 32])));
    let text = pair(7).public().to_string();
    assert_eq!(text.parse::<PublicKey>().unwrap(), pair(7).public());
    assert!("short".parse::<PublicKey>().is_err());
}

#[test]
fn a_message_that_does_not_fit_a_frame_is_refused() {
    let (ours, _) = connected();
    let (mut seal, _) = ours.split();
    assert!(seal.seal(&vec![0; MESSAGE_BYTES_MAX]).is_ok());
    assert_eq!(seal.seal(&vec![0; MESSAGE_BYTES_MAX + 1]), Err(ChannelError::TooLong(MESSAGE_BYTES_MAX + 1)));
}

/// The vectors of `ledger/README.md`, which a stranger checks an own client against.
#[test]
fn the_vectors_in_the_readme_hold() {
    use crate::ingest::{Reply, Request};
    let readme = include_str!("../../../README.md");
    let vector = |name: &str| {
        let line = readme.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix("= "));
        data_encoding::HEXLOWER.decode(line.unwrap_or_else(|| panic!("no vector {name}")).as_bytes()).unwrap()
    };
    let (gateway, ledger) = (pair(1), pair(2));
    assert_eq!(vector("ledger_public"), ledger.public().0, "{}", ledger.public());
    let now = Timestamp(1_763_700_000_000_000);
    let (client, hail) = Client::start(&gateway, &psk(9), &ledger.public(), now, seed(3)).unwrap();
    assert_eq!(vector("frame_1"), hail, "{}", data_encoding::HEXLOWER.encode(&hail));
    let (theirs, answer) = Server::read(&ledger, &hail[2..], seed(4)).unwrap().answer(&psk(9)).unwrap();
    assert_eq!(vector("frame_2"), answer, "{}", data_encoding::HEXLOWER.encode(&answer));
    let (mut up, _) = client.finish(&answer[2..]).unwrap().split();
    let (mut down, _) = theirs.split();
    let mut sent = up.seal(&Request::Hello { seen: 0 }.encode()).unwrap();
    assert_eq!(vector("frame_3"), sent, "{}", data_encoding::HEXLOWER.encode(&sent));
    sent = up.seal(&Request::Ping { number: 5 }.encode()).unwrap();
    assert_eq!(vector("frame_4"), sent, "{}", data_encoding::HEXLOWER.encode(&sent));
    sent = down.seal(&Reply::Pong { number: 5 }.encode()).unwrap();
    assert_eq!(vector("frame_5"), sent, "{}", data_encoding::HEXLOWER.encode(&sent));
}

proptest! {
    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
        cuts in prop::collection::vec(1usize..64, 1..40),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|m| frames::frame(m).unwrap()).collect();
        let (mut splitter, mut got, mut rest, mut turn) = (Splitter::new(), Vec::new(), stream.as_slice(), 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts[turn % cuts.len()].min(rest.len()));
            splitter.push(now);
            while let Some(frame) = splitter.next_frame().unwrap() {
                got.push(frame.to_vec());
            }
            (rest, turn) = (later, turn + 1);
        }
        prop_assert_eq!(got, messages);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut splitter = Splitter::new();
        splitter.push(&bytes);
        while let Ok(Some(_)) = splitter.next_frame() {}
        prop_assert!(Server::read(&pair(2), &bytes, seed(4)).is_err());
        let (ours, _) = connected();
        let (_, mut open) = ours.split();
        prop_assert!(open.open(&bytes).is_err());
    }
}

#[test]
fn a_key_with_which_every_secret_comes_to_the_same_is_known() {
    // RFC 7748, section 6.1, and the cofactor: 0, 1, two of order 8, p - 1, p, p + 1; and 0 with the bit that nobody reads.
    for low in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
    ] {
        assert!(low.parse::<PublicKey>().unwrap().is_low_order(), "{low}");
    }
    for fine in [pair(1).public(), pair(2).public(), PublicKey([9; 32]), PublicKey([0xff; 32])] {
        assert!(!fine.is_low_order(), "{fine}");
    }
}
