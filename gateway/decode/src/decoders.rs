//! The way in: a payload somebody has vouched for, to readings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use pitchside_model::{Authentic, DeviceId, Payload, PayloadKind, PluginName, Reading, Timestamp};
use pitchside_script::manifest::KEPT_BYTES_MAX;

use crate::error::{DecodeError, Fault, Text};
use crate::plugin::kept::Unkept;
use crate::plugin::message::{Ask, Decoded, Outcome};
use crate::plugin::states::Held;
use crate::plugin::worker::Turn;
use crate::plugin::{Plugin, Status, Trial, check};
use crate::tolerance::Tolerances;
use crate::{gatt, senml, wave};

/// All decoders of a gateway.
#[derive(Debug, Default)]
pub struct Decoders {
    tolerances: Tolerances,
    /// Held for as long as a look takes, never across a call.
    plugins: RwLock<BTreeMap<PluginName, Slot>>,
    /// How often another plugin was taken in.
    generation: AtomicU64,
    /// Circumference of the wheels that are counted; no profile tells.
    wheel_mm: Option<u16>,
    /// Whose time the clocks of sensors keep that nobody can set; UTC unless it is said.
    zone: Option<Arc<dyn gatt::Zone>>,
    /// What is remembered of devices that speak GATT profiles. Held for the microseconds of one value.
    gatt: Mutex<gatt::Devices>,
}

/// A plugin, and the version of it on trial.
#[derive(Debug, Clone)]
struct Slot {
    plugin: Arc<Plugin>,
    trial: Option<Arc<Trial>>,
}

impl Slot {
    fn new(plugin: Plugin) -> Self {
        Self { plugin: Arc::new(plugin), trial: None }
    }
}

impl Decoders {
    /// With these plugins; a name that comes twice stands for the last.
    pub fn new(tolerances: Tolerances, plugins: impl IntoIterator<Item = Plugin>) -> Self {
        let plugins = plugins.into_iter().map(|p| (p.name().clone(), Slot::new(p))).collect();
        Self { tolerances, plugins: RwLock::new(plugins), ..Self::default() }
    }

    /// Takes a plugin in, or another version in its place: whoever asks from now on asks this one. What was asked of the
    /// one before is answered by it; a trial beside it ends.
    pub fn set_plugin(&self, plugin: Plugin) {
        self.plugins.write().insert(plugin.name().clone(), Slot::new(plugin));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Rises whenever another plugin was taken in: what could not be read may be readable now.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes a plugin out; whether it was there.
    pub fn remove_plugin(&self, name: &PluginName) -> bool {
        self.plugins.write().remove(name).is_some()
    }

    /// Tries a new version beside the one that runs, or ends that; whether there is one that runs.
    pub fn set_trial(&self, name: &PluginName, trial: Option<Arc<Trial>>) -> bool {
        let mut plugins = self.plugins.write();
        let Some(slot) = plugins.get_mut(name) else { return false };
        let is_beside = |trial: &Arc<Trial>| slot.trial.as_ref().is_some_and(|beside| Arc::ptr_eq(beside, trial));
        // While it was not there, payloads passed it by.
        if let Some(trial) = trial.as_ref().filter(|trial| !is_beside(trial)) {
            trial.begin_anew();
        }
        slot.trial = trial;
        true
    }

    /// Wheels have this circumference in millimetres, so that what counts them has a speed; without it, or with 0, it has
    /// only a rate.
    #[must_use]
    pub fn wheel(mut self, circumference_mm: u16) -> Self {
        self.wheel_mm = Some(circumference_mm).filter(|mm| *mm > 0);
        self
    }

    /// Sensors whose clock cannot be set keep the time of this zone.
    #[must_use]
    pub fn zone(mut self, zone: Arc<dyn gatt::Zone>) -> Self {
        self.zone = Some(zone);
        self
    }

    /// Reads SenML, waveforms and the values of GATT characteristics: at once and without waiting. `now` is when the message
    /// arrived; readings carry it in whole milliseconds. What a device says of itself (its model, where it is worn) is no
    /// reading: the result is empty then, and [`Decoders::facts`] has it.
    pub fn native(&self, message: &Authentic<Payload>, now: Timestamp) -> Result<Vec<Reading>, DecodeError> {
        let payload = message.content();
        match payload.kind {
            PayloadKind::SenmlCbor => senml::reading::cbor(&payload.bytes, now, self.tolerances),
            PayloadKind::SenmlJson => senml::reading::json(&payload.bytes, now, self.tolerances),
            PayloadKind::Waveform => wave::reading(&payload.bytes, now, self.tolerances).map(|r| vec![r]),
            PayloadKind::Vendor => Err(DecodeError::NoPlugin),
            PayloadKind::Gatt { characteristic } => self.gatt(message, characteristic, now),
        }
    }

    fn gatt(
        &self,
        message: &Authentic<Payload>,
        characteristic: u16,
        now: Timestamp,
    ) -> Result<Vec<Reading>, DecodeError> {
        let context = gatt::Context {
            now,
            tolerances: self.tolerances,
            link: message.link(),
            zone: self.zone.as_deref().unwrap_or(&gatt::clock::Utc),
            wheel_mm: self.wheel_mm,
        };
        let mut devices = self.gatt.lock();
        devices
            .decode(message.device(), characteristic, &message.content().bytes, &context)
            .map_err(|fault| DecodeError::Gatt { characteristic, fault })
    }

    /// What a device that speaks GATT profiles said of itself, since it was first heard.
    pub fn facts(&self, device: &DeviceId) -> Vec<gatt::Fact> {
        self.gatt.lock().facts(device)
    }

    /// Forgets what was remembered of a device: it was revoked, or given to somebody else.
    pub fn forget(&self, device: &DeviceId) {
        self.gatt.lock().forget(device);
        for slot in self.plugins.read().values() {
            slot.plugin.forget(device);
            slot.trial.iter().for_each(|trial| trial.forget(device));
        }
    }

    /// Reads a vendor payload with the device's plugin, in its worker process.
    pub async fn vendor(
        &self,
        plugin: &PluginName,
        message: &Authentic<Payload>,
        now: Timestamp,
    ) -> Result<Vec<Reading>, DecodeError> {
        self.ask(plugin, message, now, Turn::First).await
    }

    /// Reads a vendor payload that was read before and comes again: what it would keep is not kept a second time.
    pub async fn vendor_repeated(
        &self,
        plugin: &PluginName,
        message: &Authentic<Payload>,
        now: Timestamp,
    ) -> Result<Vec<Reading>, DecodeError> {
        self.ask(plugin, message, now, Turn::Repeated).await
    }

    /// Reads a vendor payload that was kept because it could not be read before; `arrived` is when that was. Faults are not
    /// counted: what one device left behind must not switch the plugin off for the others. A device it is switched off
    /// for is heard, and heard again once a payload of it is read.
    pub async fn vendor_again(
        &self,
        plugin: &PluginName,
        message: &Authentic<Payload>,
        arrived: Timestamp,
    ) -> Result<Vec<Reading>, DecodeError> {
        self.ask(plugin, message, arrived, Turn::Again).await
    }

    async fn ask(
        &self,
        plugin: &PluginName,
        message: &Authentic<Payload>,
        now: Timestamp,
        turn: Turn,
    ) -> Result<Vec<Reading>, DecodeError> {
        let (device, payload) = (message.device(), message.content());
        match payload.kind {
            PayloadKind::Vendor => {}
            PayloadKind::SenmlCbor => return Err(DecodeError::NotVendor("SenML in CBOR")),
            PayloadKind::SenmlJson => return Err(DecodeError::NotVendor("SenML in JSON")),
            PayloadKind::Waveform => return Err(DecodeError::NotVendor("a waveform")),
            PayloadKind::Gatt { .. } => return Err(DecodeError::NotVendor("a GATT characteristic")),
        }
        let plugin = self.plugin(plugin).ok_or_else(|| DecodeError::UnknownPlugin(plugin.as_str().to_owned()))?;
        let name = || plugin.name().to_string();
        let nonsense = |(reading, fault): (usize, Fault)| {
            let error = DecodeError::Nonsense { plugin: name(), reading, fault };
            plugin.count_fault(device, &error.to_string(), turn);
            error
        };
        let unkept = |unkept: &Unkept| {
            let error = DecodeError::Unkept { plugin: name(), fault: unkept.fault() };
            plugin.count_fault(device, &error.to_string(), turn);
            error
        };
        let held = plugin.hold(device).await;
        let trial = self.trial_beside(&plugin, device);
        let ask = Ask {
            payload: payload.bytes.clone(),
            topic: payload.topic.as_deref().unwrap_or_default().to_owned(),
            state: held.as_ref().map(|held| held.kept().to_vec()).unwrap_or_default(),
        };
        // One that comes again changes nothing that is kept, and was compared when it came first.
        let beside = trial.filter(|_| turn != Turn::Repeated).map(|trial| (trial, ask.clone()));
        let Decoded { outcome, state } = plugin.decode(device, ask, turn).await?;
        let result = match outcome {
            Outcome::Readings(raw) => match check::readings(raw, plugin.outputs(), now, self.tolerances) {
                // A wrong clock, unit or number is the device's fault, and the script read it well.
                Err((reading, fault)) if fault.is_of_the_payload() => {
                    Err(DecodeError::Nonsense { plugin: name(), reading, fault })
                }
                checked => Ok(checked.map_err(nonsense)?),
            },
            Outcome::NotReadings(kind) => return Err(nonsense((1, Fault::NotReadings(Text::from(kind.as_str()))))),
            Outcome::Unkept(why) => return Err(unkept(&why)),
            Outcome::Refused(reason) => Err(DecodeError::Refused { plugin: name(), reason }),
            Outcome::Fault(reason) => return Err(plugin.fault(device, reason, turn)),
        };
        if state.as_ref().is_some_and(|state| state.len() > KEPT_BYTES_MAX) {
            return Err(unkept(&Unkept::TooLarge));
        }
        plugin.success(device);
        // While the device is held: its next payload comes to the trial after this one.
        if let Some((trial, ask)) = beside {
            let place = held.as_ref().map(Held::place).unwrap_or_default();
            trial.compare(device, place, ask, (now, self.tolerances), &result);
        }
        // Whatever was not read, or was read before, leaves all as it found it.
        if let (Some(held), Some(state), true) = (held, state, result.is_ok() && turn != Turn::Repeated) {
            held.keep(state);
        }
        result
    }

    /// The trial beside a plugin that is asked now. Where the plugin was replaced just now the payload passes the trial by, and the device
    /// begins anew there.
    fn trial_beside(&self, plugin: &Arc<Plugin>, device: &DeviceId) -> Option<Arc<Trial>> {
        let slot = self.plugins.read().get(plugin.name()).cloned()?;
        let (runs, trial) = (Arc::ptr_eq(&slot.plugin, plugin), slot.trial?);
        if !runs {
            trial.forget(device);
        }
        runs.then_some(trial)
    }

    /// A plugin, to look at or to switch on again.
    pub fn plugin(&self, name: &PluginName) -> Option<Arc<Plugin>> {
        self.plugins.read().get(name).map(|slot| Arc::clone(&slot.plugin))
    }

    /// How every plugin is.
    pub fn statuses(&self) -> Vec<Status> {
        self.plugins.read().values().map(|slot| slot.plugin.status()).collect()
    }
}
