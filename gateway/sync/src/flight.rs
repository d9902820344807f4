//! Parcels on their way. Pure: what to say next, and what a reply means for whom. Blocks are uploaded strictly in order,
//! since the ledger sequences a chain in order.

use std::collections::BTreeMap;

use ledger_block::Hash;
use ledger_block::SignedHeader;
use ledger_block::ingest::{CHUNK_BYTES_MAX, SignedTransaction};
use ledger_block::merkle::leaf_hash;

use crate::fault::Fault;
use crate::outbox::Parcel;

/// How far a parcel has come on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// To be offered, or offered again.
    Held,
    /// Offered; the ledger has not said what it lacks.
    Offered,
    /// Its payload is being sent; so many bytes are there.
    Sending(u64),
    /// All is sent; R1 is awaited.
    Sent,
    /// R1 came, with this place; R2 is awaited.
    Sequenced(u64),
}

/// One parcel on its way.
#[derive(Debug, Clone)]
pub struct Flight {
    /// The parcel.
    pub parcel: Parcel,
    /// Hash of its leaf.
    pub leaf: Hash,
    /// For a block: BLAKE3 and length of its payload.
    pub payload: Option<(Hash, u64)>,
    /// How far it is.
    pub stage: Stage,
    /// How often the ledger found its payload wrong.
    pub mismatches: u32,
    /// How often the ledger held it back for want of an earlier one.
    pub gaps: u32,
}

/// A piece of a payload to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Of which parcel.
    pub number: u64,
    /// BLAKE3 of the whole.
    pub payload: Hash,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: usize,
}

/// The window of parcels on their way, by number.
#[derive(Debug, Default)]
pub struct Flights(BTreeMap<u64, Flight>);

impl Flights {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a parcel in.
    ///
    /// # Errors
    /// It is neither a block header nor a transaction.
    pub fn board(&mut self, parcel: Parcel) -> Result<(), Fault> {
        let payload = if SignedTransaction::is_one(&parcel.leaf) {
            None
        } else {
            let header = SignedHeader::verify(&parcel.leaf).map_err(|_| Fault::Parcel(parcel.number))?;
            Some((header.header().payload_digest, header.header().payload_length))
        };
        let (number, leaf) = (parcel.number, leaf_hash(&parcel.leaf));
        self.0.insert(number, Flight { parcel, leaf, payload, stage: Stage::Held, mismatches: 0, gaps: 0 });
        Ok(())
    }

    /// The flight of a leaf.
    pub fn by_leaf(&mut self, leaf: &Hash) -> Option<&mut Flight> {
        self.0.values_mut().find(|flight| flight.leaf == *leaf)
    }

    /// The flight whose payload is awaited or being sent.
    pub fn by_payload(&mut self, payload: &Hash) -> Option<&mut Flight> {
        let is_on_its_way = |flight: &Flight| matches!(flight.stage, Stage::Offered | Stage::Sending(_) | Stage::Sent);
        self.0.values_mut().find(|f| f.payload.is_some_and(|(hash, _)| hash == *payload) && is_on_its_way(f))
    }

    /// The next parcel to offer. One that the ledger held back for want of an earlier one waits until all earlier ones are
    /// sequenced.
    pub fn to_offer(&mut self, is_first_time: impl Fn(u64) -> bool) -> Option<&mut Flight> {
        let mut earlier_done = true;
        for flight in self.0.values_mut() {
            if flight.stage == Stage::Held && (is_first_time(flight.parcel.number) || earlier_done) {
                return Some(flight);
            }
            earlier_done &= matches!(flight.stage, Stage::Sequenced(_));
        }
        None
    }

    /// The next piece to send: of the first parcel that lacks any. A parcel behind one that is still offered waits, so
    /// that payloads are complete in the order of the chain.
    pub fn to_send(&self) -> Option<Piece> {
        for flight in self.0.values() {
            match (flight.stage, flight.payload) {
                (Stage::Offered, Some(_)) => return None,
                (Stage::Sending(offset), Some((payload, length))) => {
                    let rest = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
                    let length = rest.min(CHUNK_BYTES_MAX);
                    return Some(Piece { number: flight.parcel.number, payload, offset, length });
                }
                _ => {}
            }
        }
        None
    }

    /// A piece has been sent.
    pub fn sent(&mut self, piece: &Piece) {
        let Some(flight) = self.0.get_mut(&piece.number) else { return };
        let total = flight.payload.map_or(0, |(_, length)| length);
        let offset = piece.offset.saturating_add(piece.length as u64);
        flight.stage = if offset >= total { Stage::Sent } else { Stage::Sending(offset) };
    }

    /// A parcel has arrived.
    pub fn land(&mut self, number: u64) {
        self.0.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_block::{BlockIndex, ClockState, GatewayKey, Header, Incarnation};
    use pitchside_model::Timestamp;

    fn parcel(number: u64, length: u64) -> Parcel {
        let key = GatewayKey::new(&[1; 32]);
        let header = Header {
            gateway: key.id(),
            incarnation: Incarnation(0),
            index: BlockIndex(number),
            previous: [0; 32],
            sealed_at: Timestamp(0),
            clock: ClockState::Unset,
            segment_root: [0; 32],
            payload_length: length,
            payload_digest: [u8::try_from(number).unwrap(); 32],
            rules: [0; 32],
            plugins: [0; 32],
            firmware: [0; 32],
            checkpoint: None,
        };
        Parcel { number, leaf: SignedHeader::sign(header, &key).unwrap().bytes().to_vec() }
    }

    #[test]
    fn payloads_are_sent_in_the_order_of_the_chain() {
        let mut flights = Flights::default();
        flights.board(parcel(1, 100_000)).unwrap();
        flights.board(parcel(2, 10)).unwrap();
        while let Some(flight) = flights.to_offer(|_| true) {
            flight.stage = Stage::Offered;
        }
        flights.by_payload(&[2; 32]).unwrap().stage = Stage::Sending(0);
        assert_eq!(flights.to_send(), None, "the first has not been answered yet");
        flights.by_payload(&[1; 32]).unwrap().stage = Stage::Sending(30_000);
        let mut offsets = Vec::new();
        while let Some(piece) = flights.to_send() {
            offsets.push((piece.number, piece.offset, piece.length));
            flights.sent(&piece);
        }
        assert_eq!(offsets, [(1, 30_000, 61_440), (1, 91_440, 8_560), (2, 0, 10)]);
    }

    #[test]
    fn a_parcel_held_back_waits_for_the_earlier_ones() {
        let mut flights = Flights::default();
        flights.board(parcel(1, 1)).unwrap();
        flights.board(parcel(2, 1)).unwrap();
        let first = flights.to_offer(|_| false).unwrap();
        assert_eq!(first.parcel.number, 1);
        first.stage = Stage::Sent;
        assert!(flights.to_offer(|_| false).is_none());
        let leaf = leaf_hash(&parcel(1, 1).leaf);
        flights.by_leaf(&leaf).unwrap().stage = Stage::Sequenced(7);
        assert_eq!(flights.to_offer(|_| false).unwrap().parcel.number, 2);
        assert!(flights.board(Parcel { number: 3, leaf: vec![1] }).is_err());
    }
}
