//! Who is offered what, and when. Decided anew each time it matters: at a status, at every pull, before a start, when the
//! ledger has news. Denied unless everything holds.

use ledger_block::release::{ReleaseId, SecurityCounter, Target, Version};
use pitchside_model::DeviceId;
use pitchside_release::policy::Thing;
use pitchside_store::SensorFirmware;
use pitchside_wire::firmware::{Battery, Down, Phase, Wait, WaitCode};

use super::devices::{Desk, Seat};
use super::shelf::Offer;
use super::vitals::BATTERY_MIN;

/// When a device asks again, in seconds: while there is nothing for it, and while there is something, but not now.
pub(super) const NOTHING_S: u32 = 3_600;
pub(super) const NOT_NOW_S: u32 = 60;
/// Why a device waits for an image that is still fetched.
pub(super) const NOT_HERE: &str = "its image is not here yet";

/// What there is for a device.
pub(super) enum Verdict {
    /// This, now.
    Offer(Box<Offer>),
    /// Something, but not now, and why.
    Held(&'static str),
    /// Nothing, and why not the newest release that was made for it.
    Nothing(Option<String>),
}

impl Desk {
    fn thing(&self, device: &DeviceId, seat: &Seat) -> Thing {
        let said = self.rows.get(device).map_or(0, |row| row.counter);
        let version = seat.status.version;
        Thing {
            name: device.to_string(),
            target: Target::Sensor,
            component: seat.component.clone(),
            hardware: seat.hardware.clone(),
            installed: Some(Version::new(version.major, version.minor, version.patch)),
            // A device that says less than it once did is held to what it said.
            counter: SecurityCounter(said.max(seat.status.counter)),
        }
    }

    /// Has the releases for what has just been said to be here fetched.
    pub(super) fn make_ready(&self, device: &DeviceId) {
        let Some(seat) = self.seats.get(device) else { return };
        self.parts.shelf.seen(&self.thing(device, seat));
    }

    pub(super) fn verdict(&self, device: &DeviceId) -> Verdict {
        let Some(seat) = self.seats.get(device) else { return Verdict::Nothing(None) };
        let thing = self.thing(device, seat);
        match self.parts.shelf.choose(&thing) {
            Ok(Some(offer)) => self.judge(device, offer),
            Ok(None) => Verdict::Nothing(self.parts.shelf.why_not(&thing)),
            // About the box, not about this device: `doctor` says it.
            Err(refused) => {
                tracing::debug!(%device, %refused, "no firmware is offered");
                Verdict::Nothing(None)
            }
        }
    }

    /// Whether a release that was offered may still be handed out.
    pub(super) fn still(&self, device: &DeviceId, id: &ReleaseId) -> Verdict {
        let Some(seat) = self.seats.get(device) else { return Verdict::Nothing(None) };
        match self.parts.shelf.accept(id, &self.thing(device, seat)) {
            Ok(offer) => self.judge(device, offer),
            Err(refused) => {
                tracing::info!(%device, release = %id, %refused, "firmware is handed out no more");
                Verdict::Nothing(None)
            }
        }
    }

    /// What only this box knows: halts of its own, what failed before, training, batteries, what lies on the shelf.
    fn judge(&self, device: &DeviceId, offer: Offer) -> Verdict {
        if self.parts.shelf.barred().bars(device.as_str(), &offer.id, offer.manifest().version) {
            return Verdict::Nothing(None);
        }
        if !offer.whole {
            return Verdict::Held(NOT_HERE);
        }
        let roster = self.parts.roster.load();
        let athlete = roster.get(device.as_str()).and_then(|row| row.athlete.as_ref());
        if athlete.is_some_and(|athlete| self.vitals.trains(athlete, self.parts.clock.now())) {
            return Verdict::Held("its athlete trains");
        }
        match self.vitals.battery(device) {
            Battery::Percent(..BATTERY_MIN) => Verdict::Held("its battery is low"),
            Battery::Unknown => Verdict::Held("its battery is not known"),
            Battery::Percent(_) | Battery::Mains => Verdict::Offer(Box::new(offer)),
        }
    }

    /// Offers a device what there is for it. `asked`: it hears also that there is nothing.
    pub(super) fn decide(&mut self, device: &DeviceId, asked: bool) {
        let Some(seat) = self.seats.get(device) else { return };
        let (sent_away, willing) = (seat.sent_away, seat.status.willing);
        let rests = seat.status.phase == Phase::Idle;
        let verdict = match (willing, rests) {
            (true, _) => self.verdict(device),
            // It takes nothing yet, whatever there is: images that came to nothing wear flash out.
            (false, true) => match self.verdict(device) {
                Verdict::Offer(_) => Verdict::Held("its flash rests after images that came to nothing"),
                other => other,
            },
            (false, false) => Verdict::Nothing(None),
        };
        let (waits, held) = match &verdict {
            Verdict::Held(why) => (true, Some((*why).to_owned())),
            Verdict::Nothing(why) => (false, why.clone()),
            Verdict::Offer(_) => (false, None),
        };
        if let Some(seat) = self.seats.get_mut(device) {
            seat.waits = waits;
            seat.sent_away = if matches!(verdict, Verdict::Offer(_)) { false } else { asked || sent_away };
        }
        self.hold(device, held.as_deref());
        let wait = |code, after_s| Down::Wait(Wait { code, after_s, digest: [0; 32] });
        match verdict {
            Verdict::Offer(offer) => self.offer(device, &offer, asked || sent_away),
            Verdict::Held(..) if asked => self.say(device, &wait(WaitCode::NotNow, NOT_NOW_S)),
            Verdict::Nothing(_) if asked => self.say(device, &wait(WaitCode::Nothing, NOTHING_S)),
            Verdict::Held(..) | Verdict::Nothing(_) => {}
        }
    }

    /// Says an offer, once it is stored that it was made: what a device reports of anything else counts for nothing.
    fn offer(&mut self, device: &DeviceId, offer: &Offer, again: bool) {
        let Some(row) = self.rows.get(device).cloned() else { return };
        if row.release != Some(offer.id.0) {
            let manifest = offer.manifest();
            let row = SensorFirmware {
                release: Some(offer.id.0),
                target: Some(manifest.version.to_string()),
                size: manifest.size,
                have: 0,
                attempts: 0,
                stage: None,
                reason: 0,
                text: String::new(),
                reported_at: None,
                held: None,
                ..row
            };
            if !self.keep(row, None) {
                return;
            }
            tracing::info!(%device, release = %offer.id, version = %manifest.version, "firmware is offered");
        } else if !again {
            return;
        }
        self.say(device, &Down::Offer(offer.signed_bytes()));
    }

    /// A device is told not to go on: it is offered the same again when it may.
    pub(super) fn send_away(&mut self, device: &DeviceId, waits: bool) {
        if let Some(seat) = self.seats.get_mut(device) {
            (seat.sent_away, seat.waits) = (true, waits);
        }
    }

    /// Why a device is not offered anything now, for `firmware status`.
    pub(super) fn hold(&mut self, device: &DeviceId, why: Option<&str>) {
        let Some(row) = self.rows.get(device).filter(|row| row.held.as_deref() != why) else { return };
        let row = SensorFirmware { held: why.map(str::to_owned), ..row.clone() };
        self.keep(row, None);
    }

    /// Looks at everybody, or at those who wait.
    pub(super) fn look(&mut self, waiting: bool) {
        let releases: Vec<_> = self.parts.shelf.known().releases().into_iter().map(|(id, _)| id).collect();
        releases.iter().for_each(|release| self.count(release));
        let devices: Vec<DeviceId> =
            self.seats.iter().filter(|(_, seat)| !waiting || seat.waits).map(|(device, _)| device.clone()).collect();
        for device in devices {
            self.decide(&device, false);
        }
    }
}
