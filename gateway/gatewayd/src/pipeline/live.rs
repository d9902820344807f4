//! Live values for MQTT subscribers: `live/{device}/{quantity}`, the tile of the page as JSON, when it has changed and at
//! most once a second.

use std::sync::Arc;
use std::time::Duration;

use pitchside_admin::Board;
use pitchside_collect::mqtt::{Gate, Qos};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Publishes until dropped. What does not fit is not kept: the next value comes in a second.
pub async fn publish(board: Arc<Board>, gate: Arc<Gate>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut revision = 0;
    loop {
        every.tick().await;
        let (now, tiles) = board.since(revision);
        revision = now;
        for tile in tiles {
            let topic = format!("live/{}/{}", tile.device, tile.quantity);
            let published = match serde_json::to_vec(&tile) {
                Ok(json) => gate.publish(&topic, json.into(), false, Qos::AtMostOnce).map_err(anyhow::Error::from),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = published {
                tracing::debug!(%error, "live values were left out");
                break;
            }
        }
    }
}
