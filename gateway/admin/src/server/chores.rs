//! What the server does on its own: sends out changed tiles and the status, and signs out who may no longer be in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::events::Event;
use crate::routes::App;

/// How often changed tiles go out.
const TILES_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn publish_tiles(app: Arc<App>, stopping: CancellationToken) {
    let mut ticks = interval(TILES_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        // Nobody listens: nothing is written out. What changes meanwhile goes out once, when somebody comes.
        if app.parts.events.listeners() == 0 {
            continue;
        }
        let tiles = app.parts.board.changed();
        if !tiles.is_empty() {
            app.parts.events.publish(&Event::Tiles { now: app.parts.clock.now().into(), tiles });
        }
    }
}

/// How often the status goes out.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn publish_status(app: Arc<App>, stopping: CancellationToken) {
    let mut ticks = interval(STATUS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if app.parts.events.listeners() == 0 {
            continue;
        }
        match stopping.run_until_cancelled(timeout(app.limits.handler_time_max, app.parts.view.status())).await {
            Some(Ok(Ok(status))) => app.parts.events.publish(&Event::Status { status }),
            Some(Ok(Err(error))) => tracing::warn!(%error, "the status could not be published"),
            Some(Err(_)) => tracing::warn!("the status took too long"),
            None => {}
        }
    }
}

/// Signs people out who were removed or whose role or password changed.
pub(super) async fn check_users(app: Arc<App>, stopping: CancellationToken) {
    let mut ticks = interval(app.limits.user_check_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        app.parts.sign_ins.sweep(&app.limits, Instant::now());
        let (users, sign_ins) = (Arc::clone(&app.parts.users), app.parts.sign_ins.clone());
        let check = tokio::task::spawn_blocking(move || {
            for name in sign_ins.users() {
                match users.find(&name) {
                    Ok(stored) => sign_ins.keep_only(&name, stored.as_ref()),
                    Err(error) => tracing::warn!(%error, "could not check whether those signed in still may be"),
                }
            }
        });
        if check.await.is_err() {
            tracing::error!("checking those signed in panicked");
        }
    }
}
