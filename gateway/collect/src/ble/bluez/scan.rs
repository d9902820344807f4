//! One adapter: listening for the devices that are looked for, until it is gone.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use bluer::monitor::{
    Monitor, MonitorEvent, MonitorHandle, MonitorManager, Pattern, RssiSamplingPeriod, Type, data_type,
};
use bluer::{Adapter, AdapterEvent, Address, DeviceEvent, DeviceProperty, DiscoveryFilter, DiscoveryTransport};
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use pitchside_model::BleAddress;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::core::AdapterName;
use super::super::radio::{RadioEvent, Target, Targets};
use super::{AdapterConfig, Scan, address};

/// A device is reported no more often than this.
const SEEN_EVERY: Duration = Duration::from_secs(1);
/// BlueZ may never answer a monitor it does not support.
const MONITOR_WITHIN: Duration = Duration::from_secs(5);
/// Pause before an active scan is begun again.
const SCAN_AGAIN: Duration = Duration::from_secs(2);
/// First bytes of the Flags of nearly every LE device: general or limited discoverable or neither, with or without classic
/// Bluetooth. Since BlueZ 5.69 monitors no longer match lists of services.
const FLAGS: [u8; 12] = [0x06, 0x04, 0x05, 0x02, 0x01, 0x00, 0x1A, 0x18, 0x19, 0x1E, 0x0A, 0x16];
/// BlueZ says it takes 16 patterns a monitor, and up to August 2026 counts their bytes in eight bits: eight overflow its heap
/// and bluetoothd crashes (bluez pull request 2398). So there are several monitors.
const PATTERNS_MAX: usize = 6;
/// Strength of a device whose strength is not told.
const RSSI_UNKNOWN: i16 = -100;

/// What listening on one adapter takes.
pub(super) struct AdapterTask {
    pub adapter: Adapter,
    pub name: AdapterName,
    pub own: BleAddress,
    pub config: AdapterConfig,
    /// Somebody is being connected.
    pub busy: watch::Sender<bool>,
    pub targets: Targets,
    pub events: mpsc::Sender<RadioEvent>,
}

type Sightings = SelectAll<BoxStream<'static, (Address, i16)>>;

impl AdapterTask {
    /// Listens until `stop`; the adapter's name.
    pub(super) async fn run(self, stop: CancellationToken) -> AdapterName {
        let up = RadioEvent::AdapterUp { adapter: self.name.clone(), address: self.own, slots: self.config.slots };
        if self.events.send(up).await.is_ok() {
            tokio::select! {
                () = stop.cancelled() => {}
                result = self.listen() => if let Err(error) = result {
                    tracing::warn!(adapter = %self.name, %error, "BLE: listening failed");
                }
            }
            let _ = self.events.send(RadioEvent::AdapterDown { adapter: self.name.clone() }).await;
        }
        self.name
    }

    async fn listen(&self) -> bluer::Result<()> {
        let monitor = match self.config.scan {
            Scan::Passive => self.passive().await,
            Scan::Active => None,
        };
        match monitor {
            Some((_manager, handles)) => {
                tracing::info!(adapter = %self.name, scan = "passive", "BLE: listening");
                self.sightings(handles).await
            }
            None => {
                tracing::info!(adapter = %self.name, scan = "active", "BLE: listening");
                tokio::select! {
                    result = self.sightings(Vec::new()) => result,
                    result = self.active() => result,
                }
            }
        }
    }

    /// Advertisement monitors; none if this BlueZ has none to offer.
    async fn passive(&self) -> Option<(MonitorManager, Vec<MonitorHandle>)> {
        let register = async {
            let manager = self.adapter.monitor().await?;
            let mut handles = Vec::new();
            for flags in FLAGS.chunks(PATTERNS_MAX) {
                let patterns = flags.iter().map(|flags| Pattern::new(data_type::FLAGS, 0, &[*flags])).collect();
                let monitor = Monitor {
                    monitor_type: Type::OrPatterns,
                    rssi_sampling_period: Some(RssiSamplingPeriod::All),
                    patterns: Some(patterns),
                    ..Monitor::default()
                };
                handles.push(manager.register(monitor).await?);
            }
            bluer::Result::Ok((manager, handles))
        };
        let why = match timeout(MONITOR_WITHIN, register).await {
            Ok(Ok(registered)) => return Some(registered),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!(
            adapter = %self.name, %why,
            "BLE: no passive scan here: scanning actively instead. Set `Experimental = true` in /etc/bluetooth/main.conf and restart bluetooth"
        );
        None
    }

    /// Keeps an active scan going, except while somebody is being connected: many controllers do one at a time.
    async fn active(&self) -> bluer::Result<()> {
        let mut busy = self.busy.subscribe();
        loop {
            if busy.wait_for(|busy| !*busy).await.is_err() {
                return Ok(());
            }
            let filter = DiscoveryFilter {
                transport: DiscoveryTransport::Le,
                duplicate_data: true,
                ..DiscoveryFilter::default()
            };
            self.adapter.set_discovery_filter(filter).await?;
            let mut scan = pin!(self.adapter.discover_devices().await?);
            tokio::select! {
                // What it finds is told by the adapter's and the devices' own events.
                () = async { while scan.next().await.is_some() {} } => {}
                _ = busy.wait_for(|busy| *busy) => {}
            }
            // The pause also lets BlueZ end the scan that was dropped.
            sleep(SCAN_AGAIN).await;
        }
    }

    /// Reports the devices that are looked for, from whatever BlueZ says of them.
    async fn sightings(&self, monitors: Vec<MonitorHandle>) -> bluer::Result<()> {
        let mut targets = self.targets.clone();
        // The first that ends ends all: BlueZ has let go of us.
        let ending = |handle: MonitorHandle| handle.map(Some).chain(stream::once(ready(None))).boxed();
        let mut monitor: SelectAll<_> = monitors.into_iter().map(ending).collect();
        let mut changes = pin!(self.adapter.events().await?);
        let mut said: HashMap<Address, Instant> = HashMap::new();
        loop {
            let known: Vec<Address> =
                targets.borrow_and_update().iter().flat_map(Target::addresses).map(|at| Address(at.0)).collect();
            let mut devices = Sightings::new();
            for known in &known {
                self.follow(*known, &mut devices).await;
                // Heard before it was looked for: BlueZ does not say so again.
                if let Ok(handle) = self.adapter.device(*known)
                    && let Ok(Some(rssi)) = handle.rssi().await
                {
                    self.seen(*known, Some(rssi), &mut said).await;
                }
            }
            said.retain(|address, _| known.contains(address));
            loop {
                tokio::select! {
                    changed = targets.changed() => match changed {
                        Ok(()) => break,
                        // The gateway stops, and we with it.
                        Err(_) => std::future::pending().await,
                    },
                    Some(event) = monitor.next(), if !monitor.is_empty() => match event {
                        Some(MonitorEvent::DeviceFound(found)) if known.contains(&found.device) => {
                            self.seen(found.device, None, &mut said).await;
                        }
                        Some(MonitorEvent::DeviceLost(lost)) if known.contains(&lost.device) => self.lost(lost.device).await,
                        Some(_) => {}
                        None => return Ok(()),
                    },
                    event = changes.next() => match event {
                        Some(AdapterEvent::DeviceAdded(added)) if known.contains(&added) => {
                            self.follow(added, &mut devices).await;
                            self.seen(added, None, &mut said).await;
                        }
                        Some(AdapterEvent::DeviceRemoved(removed)) if known.contains(&removed) => self.lost(removed).await,
                        Some(_) => {}
                        None => return Ok(()),
                    },
                    Some((device, rssi)) = devices.next(), if !devices.is_empty() => self.seen(device, Some(rssi), &mut said).await,
                }
            }
        }
    }

    /// Follows what BlueZ says of one device: each advertisement that changes its strength.
    async fn follow(&self, device: Address, devices: &mut Sightings) {
        let Ok(handle) = self.adapter.device(device) else { return };
        let Ok(events) = handle.events().await else { return };
        let strengths = events.filter_map(move |DeviceEvent::PropertyChanged(property)| {
            ready(match property {
                DeviceProperty::Rssi(rssi) => Some((device, rssi)),
                _ => None,
            })
        });
        devices.push(strengths.boxed());
    }

    async fn seen(&self, device: Address, rssi: Option<i16>, said: &mut HashMap<Address, Instant>) {
        if said.get(&device).is_some_and(|said| said.elapsed() < SEEN_EVERY) {
            return;
        }
        said.insert(device, Instant::now());
        let handle = self.adapter.device(device);
        let bonded = match &handle {
            Ok(handle) => handle.is_paired().await.unwrap_or(false),
            Err(_) => false,
        };
        let rssi = match (rssi, &handle) {
            (Some(rssi), _) => rssi,
            (None, Ok(handle)) => handle.rssi().map(|rssi| rssi.ok().flatten()).await.unwrap_or(RSSI_UNKNOWN),
            (None, Err(_)) => RSSI_UNKNOWN,
        };
        let event = RadioEvent::Seen { adapter: self.name.clone(), address: address(device), rssi, bonded };
        // The runner is there as long as we are.
        let _ = self.events.send(event).await;
    }

    async fn lost(&self, device: Address) {
        let event = RadioEvent::Lost { adapter: self.name.clone(), address: address(device) };
        let _ = self.events.send(event).await;
    }
}
