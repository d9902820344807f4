//! Alerts that somebody resets by hand. The record comes first, then the rules: cut off between the two, the rules hear of it when they
//! hear the journal again, at the same place.

use pitchside_model::{AlertId, Timestamp};

use super::RulesTask;

impl RulesTask {
    /// Does what was asked for.
    pub(super) async fn look_at_resets(&mut self) {
        let store = self.parts.store.clone();
        let asked = match tokio::task::spawn_blocking(move || store.waiting_resets()).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => return tracing::warn!(%error, "which alerts to reset could not be read"),
            Err(error) => return tracing::warn!(%error, "which alerts to reset could not be read"),
        };
        // An alert of the record that the rules have yet to come to would be raised after its reset.
        if asked.is_empty() || self.worker.is_none() || self.feed.is_behind() {
            return;
        }
        // What the rules have just said of them comes first.
        if !self.recorded().await {
            return;
        }
        for alert in asked {
            let (store, position, now) = (self.parts.store.clone(), self.position(), self.parts.clock.now());
            let recorded = tokio::task::spawn_blocking(move || store.record_reset(alert, position, now)).await;
            match recorded {
                Ok(Ok(Some(step))) => {
                    tracing::info!(%alert, "an alert was reset by hand");
                    self.reset(alert, now).await;
                    self.recorder.recorded(vec![step]).await;
                    self.recorded().await;
                }
                Ok(Ok(None)) => tracing::info!(%alert, "an alert that was to be reset is over by itself"),
                Ok(Err(error)) => {
                    return tracing::error!(%alert, %error, "an alert could not be reset; it stays asked for");
                }
                Err(error) => return tracing::error!(%alert, %error, "an alert could not be reset; it stays asked for"),
            }
        }
    }

    async fn reset(&mut self, alert: AlertId, at: Timestamp) {
        let Some(worker) = &mut self.worker else { return };
        match worker.reset(alert, at).await {
            // Rules that know nothing of it, as after another version took their place, have nothing to forget.
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the rules did not answer; they start anew from the journal");
                self.give_up();
            }
        }
    }

    /// Before the journal is heard again: what was reset meanwhile.
    pub(super) async fn recall_resets(&mut self) {
        let store = self.parts.store.clone();
        match tokio::task::spawn_blocking(move || store.done_resets()).await {
            Ok(Ok(done)) => self.resets = done.into(),
            Ok(Err(error)) => {
                tracing::error!(%error, "what was reset could not be read; the rules try again");
                self.give_up();
            }
            Err(error) => {
                tracing::error!(%error, "what was reset could not be read; the rules try again");
                self.give_up();
            }
        }
    }

    /// Does again what was done up to a gateway time, or all that is left: it was recorded and told then.
    pub(super) async fn reset_again_up_to(&mut self, up_to: Option<Timestamp>) {
        while let Some((position, alert)) = self.resets.pop_front_if(|(at, _)| up_to.is_none_or(|up_to| *at <= up_to)) {
            self.reset(alert, position).await;
        }
    }
}
