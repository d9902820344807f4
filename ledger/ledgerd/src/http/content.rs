//! Contents of releases, for boxes (slices by group, as other boxes answer) and for people (ranges of bytes). Only what a
//! release in the log names.

use http::header::{CONTENT_RANGE, HeaderValue};
use http::{Response, StatusCode};
use ledger_block::content::{Ask, ContentId, Groups, Shape};
use ledger_log::{KnownContent, Log, StorageError};

use super::{Answer, BRIEF, BYTES, FOREVER, answer, refuse};

/// Bytes one answer to a range has at most.
const RANGE_BYTES_MAX: u64 = 1 << 20;

/// What is answered under `/content/`.
pub(super) fn look_up(
    log: &Log,
    path: &str,
    query: Option<&str>,
    range: Option<&str>,
) -> Result<Option<Answer>, StorageError> {
    // The name parses as 64 digits or not at all: nothing else of a path reaches the disk.
    let bare = path.strip_prefix("/content/").and_then(|name| name.parse::<ContentId>().ok());
    let ask = match (bare, query) {
        (Some(content), None) => return ranged(log, content, range),
        _ => match Ask::parse(path, query) {
            Ok(ask) => ask,
            Err(error) => return Ok(Some(refuse(StatusCode::BAD_REQUEST, &error.to_string()))),
        },
    };
    let Some(known) = held(log, ask.content())? else { return Ok(None) };
    Ok(match ask {
        Ask::Held(_) => Shape::new(known.size).map(|shape| found(BRIEF, Groups::all(shape).encode())),
        Ask::Slice(content, span) => {
            let slice = log.contents().slice(content, known.size, span)?;
            Some(slice.map_or_else(
                || refuse(StatusCode::BAD_REQUEST, "the content has no such groups"),
                |slice| found(FOREVER, slice),
            ))
        }
    })
}

fn found(cache: &'static str, body: Vec<u8>) -> Answer {
    answer(StatusCode::OK, BYTES, cache, body)
}

/// A content a release names, if it is here.
fn held(log: &Log, content: ContentId) -> Result<Option<KnownContent>, StorageError> {
    match log.content(&content.0)? {
        Some(known) if log.contents().is_whole(content)? => Ok(Some(known)),
        _ => Ok(None),
    }
}

/// One range, `bytes=<first>-<last>` (RFC 9110, 14.1.2), cut at the bound: `Content-Range` says what was given.
fn ranged(log: &Log, content: ContentId, range: Option<&str>) -> Result<Option<Answer>, StorageError> {
    let Some(known) = held(log, content)? else { return Ok(None) };
    let ends = range.and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let first: u64 = first.parse().ok()?;
        let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
        (first <= last).then_some((first, last))
    });
    let Some((first, last)) = ends else {
        let text = "ask for one range of at most a megabyte, e.g. curl -r 0-1048575, or for groups";
        return Ok(Some(refuse(StatusCode::BAD_REQUEST, text)));
    };
    if first >= known.size {
        let mut refused: Response<_> = refuse(StatusCode::RANGE_NOT_SATISFIABLE, "beyond the content's end");
        put_range(&mut refused, &format!("bytes */{}", known.size));
        return Ok(Some(refused));
    }
    let last = last.min(known.size - 1).min(first + (RANGE_BYTES_MAX - 1));
    let length = usize::try_from(last - first + 1).unwrap_or_default();
    let Some(bytes) = log.contents().read(content, first, length)?.filter(|bytes| bytes.len() == length) else {
        return Ok(None);
    };
    // Without the tree's hashes beside them nobody has checked these bytes since they were written.
    let mut given = answer(StatusCode::PARTIAL_CONTENT, BYTES, BRIEF, bytes);
    put_range(&mut given, &format!("bytes {first}-{last}/{}", known.size));
    Ok(Some(given))
}

fn put_range(answer: &mut Answer, range: &str) {
    if let Ok(value) = HeaderValue::from_str(range) {
        answer.headers_mut().insert(CONTENT_RANGE, value);
    }
}
