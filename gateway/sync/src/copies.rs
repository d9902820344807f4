//! Fetching the sealed copies of keys that the ledger keeps beside the log: one short connection, for a box that was
//! restored and a person with the recovery key.

use ledger_block::ingest::{COPIES_MAX, Copy, Reply, Request};

use crate::config::SyncConfig;
use crate::connection::{Connection, connect};
use crate::fault::Fault;
use crate::outbox::Edge;

/// Copies taken at the most: what a ledger keeps for one gateway.
pub(crate) const ALL_MAX: usize = 65_536;

/// Every copy the ledger keeps for this gateway, in the order of their names.
///
/// # Errors
/// Not reachable, or the ledger said something else. What the copies hold is for the caller to check.
pub async fn fetch_copies(config: &SyncConfig, edge: &dyn Edge) -> Result<Vec<Copy>, Fault> {
    let Connection { requests, mut replies, writing } = connect(config, edge).await?;
    let all = async {
        let mut next = async |request: Request| {
            requests.send(request).await.map_err(|_| Fault::Closed)?;
            tokio::time::timeout(config.connect, replies.next()).await.map_err(|_| Fault::Slow)?
        };
        match next(Request::Hello { seen: 0 }).await? {
            Reply::Welcome { .. } => {}
            Reply::Refused { refusal, .. } => return Err(Fault::Refused(refusal)),
            _ => return Err(Fault::OutOfPlace("something before its welcome")),
        }
        let mut all: Vec<Copy> = Vec::new();
        loop {
            let after = all.last().map(|copy| copy.name);
            let page = match next(Request::Copies { after }).await? {
                Reply::Copies(page) => page,
                Reply::Refused { refusal, .. } => return Err(Fault::Refused(refusal)),
                _ => return Err(Fault::OutOfPlace("something before the copies that were asked for")),
            };
            let mut before = after;
            let rising = page.iter().all(|copy| before.replace(copy.name) < Some(copy.name));
            if !rising || all.len() + page.len() > ALL_MAX {
                return Err(Fault::OutOfPlace("copies out of order, or without end"));
            }
            let last = page.len() < COPIES_MAX;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    };
    let all = all.await;
    drop(requests);
    writing.abort();
    all
}
