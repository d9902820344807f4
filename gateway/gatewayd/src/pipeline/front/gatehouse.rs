//! The front as a gate sees it.

use std::sync::Arc;

use async_trait::async_trait;
use pitchside_auth::Role;
use pitchside_collect::{Admission, Channel, CloseReason, Inbound, Intake, Link, Outbound, Refused, Rights};
use pitchside_model::{LinkId, Medium};

use super::message::Came;
use super::{Front, Open};
use crate::pipeline::batch::Batch;

/// The front as a gate sees it.
#[derive(Clone)]
pub struct Gatehouse(pub Arc<Front>);

#[async_trait]
impl Intake for Gatehouse {
    async fn admit(&self, ask: Admission) -> Result<Rights, Refused> {
        let front = &self.0;
        let (Some(name), Some(password)) = (ask.username, ask.password) else {
            return Ok(Rights::Ps1 { device: ask.client });
        };
        let (auth, now) = (Arc::clone(&front.auth), front.clock.now());
        let (peer, device) = (Arc::clone(&ask.peer), front.roster.known(&name));
        let login = tokio::task::spawn_blocking(move || auth.admit_password(&name, &password, &peer, now))
            .await
            .map_err(|_| Refused::Busy)?
            .map_err(|refusal| {
                front.metrics.refused(refusal.word());
                let device = device.as_ref().map(tracing::field::display);
                tracing::info!(link = ask.link.0, peer = %ask.peer, device, reason = %refusal, "sign-in refused");
                if refusal.is_busy() { Refused::Busy } else { Refused::BadCredentials }
            })?;
        let rights = match login.role() {
            Role::Hub => Rights::Hub { device: login.device().clone() },
            Role::App { filters } => Rights::App { name: login.device().clone(), filters: filters.clone() },
        };
        front.logins.lock().insert(ask.link, Arc::new(login));
        Ok(rights)
    }

    async fn opened(&self, link: Link) {
        let front = &self.0;
        let mut login = front.logins.lock().remove(&link.id);
        if link.medium == Medium::Serial
            && let Some(device) = &link.device
        {
            match front.auth.admit_wired(device) {
                Ok(wired) => login = Some(Arc::new(wired)),
                Err(refusal) => {
                    tracing::warn!(%device, reason = %refusal, "a wired line is not let in; enrol its device")
                }
            }
        }
        if let (Medium::Ble, Some(device), Some(bond)) = (link.medium, &link.device, &link.bond) {
            match front.auth.admit_bonded(device, bond) {
                Ok(bonded) => login = Some(Arc::new(bonded)),
                Err(refusal) => {
                    front.metrics.refused(refusal.word());
                    tracing::warn!(%device, ?bond, reason = %refusal, "a bonded link is not let in");
                }
            }
        }
        if let Some(login) = &login {
            login.attach(link.id);
            link.authenticated();
        }
        // Between the sign-in and now the right to be here may have been taken away.
        let revoked = login.as_ref().is_some_and(|login| !login.is_live());
        let answering = front.answering(link.clone());
        front.links.lock().insert(link.id, Open { link: link.clone(), answering, login, device: None, refusals: 0 });
        if revoked {
            let _ = link.send(Outbound::Close(CloseReason::Revoked));
        }
    }

    async fn take(&self, link: &Link, inbound: Vec<Inbound>) {
        let front = &self.0;
        let now = front.clock.now();
        let mut batch = Batch::default();
        for item in inbound {
            let came = Came::after(item.waited, now);
            match item.channel {
                Channel::Handshake | Channel::Up => front.frame(link, item, came, &mut batch).await,
                Channel::Topic(_) | Channel::Line { .. } | Channel::Gatt { .. } => {
                    front.plain(link, item, came, &mut batch).await
                }
            }
        }
        if batch.is_empty() {
            return;
        }
        let answering = front.links.lock().get(&link.id).map(|open| open.answering.clone());
        match answering {
            Some(answering) => front.commit(&answering, batch).await,
            None => tracing::error!(link = link.id.0, "bytes of a link that was never opened"),
        }
    }

    async fn closed(&self, link: LinkId) {
        let front = &self.0;
        front.auth.closed(link);
        front.logins.lock().remove(&link);
        let (open, elsewhere) = {
            let mut links = front.links.lock();
            let Some(open) = links.remove(&link) else { return };
            let of = |open: &Open| open.login.as_ref().map(|login| login.device().clone());
            // A hub may have several connections, and one that takes over is there before the old one is gone.
            let elsewhere =
                of(&open).is_some_and(|device| links.values().any(|other| of(other).as_ref() == Some(&device)));
            (open, elsewhere)
        };
        let (device, ended) = match (&open.device, &open.login) {
            (Some(device), _) => {
                front.metrics.devices_connected.dec();
                (device.clone(), false)
            }
            (None, Some(_)) if elsewhere => return,
            // A hub has no other way to say that it stops in good order.
            (None, Some(login)) => (login.device().clone(), open.link.reason() == CloseReason::Finished),
            (None, None) => return,
        };
        let (uptime, now) = (front.clock.uptime(), front.clock.now());
        let gaps = {
            let mut streams = front.streams.lock();
            if ended { streams.ended(&device, uptime, now) } else { streams.disconnected(&device, uptime, now) }
        };
        front.record(gaps).await;
    }
}
