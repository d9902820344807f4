//! When a block header may enter: its gateway is enrolled, and it continues that gateway's chain.

use ledger_block::SignedHeader;
use ledger_block::header::GENESIS;
use ledger_block::ingest::DeviceId;
use ledger_block::ingest::{Code, Head, PAYLOAD_BYTES_MAX, Refusal, Role};

use super::Verdict;
use crate::objects::StorageError;
use crate::state::{Block, Change, State};

/// Incarnations and indexes beyond this would not fit the index.
const NUMBER_MAX: u64 = i64::MAX as u64;

pub(super) fn admit(state: &dyn State, by: Option<&DeviceId>, signed: &SignedHeader) -> Result<Verdict, StorageError> {
    let header = signed.header();
    let (incarnation, index, hash) = (header.incarnation.0, header.index.0, signed.hash());
    let Some(member) = state.member_by_signing(&header.gateway.0)?.filter(|member| member.role == Role::Gateway) else {
        return Ok(Verdict::refuse(Code::NotEnrolled, format_args!("gateway {}", header.gateway)));
    };
    if by.is_some_and(|by| *by != member.name) {
        return Ok(Verdict::refuse(Code::WrongGateway, format_args!("it belongs to {}", member.name)));
    }
    if incarnation > NUMBER_MAX || index > NUMBER_MAX {
        return Ok(Verdict::refuse(Code::Malformed, "an incarnation or index beyond 2^63"));
    }
    if header.payload_length > PAYLOAD_BYTES_MAX {
        return Ok(Verdict::refuse(Code::TooLarge, format_args!("a payload of {} bytes", header.payload_length)));
    }
    let kept = |code, stands, detail: String| Verdict::Evidence {
        refusal: Refusal::because(code, detail),
        gateway: member.name.clone(),
        stands,
    };
    // The index runs through across incarnations, so whoever stands at this index stands at this place in the chain.
    if let Some(standing) = state.block(&member.name, index)? {
        let detail = format!("block {index} of {}, leaf {}", member.name, standing.head.leaf);
        return Ok(kept(Code::Conflict, Some(standing.head.leaf), detail));
    }
    let head = state.head(&member.name)?;
    let next = head.map_or(0, |head| head.index + 1);
    if index > next {
        let detail = format_args!("block {index} came, {next} is the next of {}", member.name);
        return Ok(Verdict::refuse(Code::Gap, detail));
    }
    if incarnation < head.map_or(0, |head| head.incarnation) {
        return Ok(Verdict::refuse(Code::OldIncarnation, format_args!("incarnation {incarnation}")));
    }
    if header.previous != head.map_or(GENESIS, |head| head.hash) {
        let detail = format!("block {index} of {} names another block before it", member.name);
        return Ok(kept(Code::Fork, head.map(|head| head.leaf), detail));
    }
    Ok(Verdict::Admit(vec![Change::Block(Block {
        gateway: member.name,
        head: Head { incarnation, index, hash, leaf: 0 },
        payload: header.payload_digest,
        payload_bytes: header.payload_length,
    })]))
}
