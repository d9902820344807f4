//! Which rules were switched off: written down for commands and the doctor, and put back when an admin asks.

use pitchside_model::RuleName;

use super::RulesTask;
use crate::rulebook::standing::{self, Standing};

impl RulesTask {
    /// Puts back what was asked for; writes down how the rules do, if that changed.
    pub(super) async fn look_at_standing(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        let store = self.parts.store.clone();
        let asked = match tokio::task::spawn_blocking(move || store.take_again()).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => return tracing::warn!(%error, "which rules to put back could not be read"),
            Err(error) => return tracing::warn!(%error, "which rules to put back could not be read"),
        };
        for rule in asked.iter().filter_map(|name| RuleName::parse(name).ok()) {
            self.stale = true;
            match worker.again(&rule).await {
                Ok(true) => tracing::info!(%rule, "a rule that was switched off runs again"),
                Ok(false) => tracing::info!(%rule, "there is no rule of this name that is off"),
                Err(error) => tracing::error!(%rule, %error, "the rule could not be put back; ask again"),
            }
        }
        if !self.stale {
            return;
        }
        let standing: Vec<Standing> = match worker.status().await {
            Ok(status) => status.into_iter().map(Standing::from).collect(),
            Err(error) => return tracing::warn!(%error, "the rules do not say how they do"),
        };
        self.stale = false;
        if self.standing.as_ref() == Some(&standing) {
            return;
        }
        let (store, kept) = (self.parts.store.clone(), standing.clone());
        match tokio::task::spawn_blocking(move || standing::write(&store, &kept)).await {
            Ok(Ok(())) => self.standing = Some(standing),
            Ok(Err(error)) => tracing::warn!(%error, "how the rules do could not be written down"),
            Err(error) => tracing::warn!(%error, "how the rules do could not be written down"),
        }
    }
}
