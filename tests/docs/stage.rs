//! What happens in the clinic while somebody reads: stage directions.
//!
//! | direction | does |
//! | --- | --- |
//! | `a box` | a clinic of its own at work, with a ledger and without rules; `strap-1` on ada; `acme-1` on bea, read by the plugin `acme-strap`; the ledger's `policy` in the reader's folder |
//! | `strap-1 measures 165 for 30s, 110 for 40s` | so many heart rates, one a second by the clinic's clock |
//! | `strap-1 sends 01 01 d5 02` | a payload of the maker's own |
//! | `acme-1 has 3 readings` | waits until so many are stored |
//! | `sealed` | what is open is sealed, and has its receipt R2 |
//! | `the library has home-assistant-sensor` | the box is given that plugin of the repository |
//! | `the ledger has it` | waits until no transaction waits for the ledger |
//! | `1 alert` | waits until so many are recorded |
//! | `escalated to 1` | the clock goes on until the newest alert is so many levels higher |
//! | `easy-day in force` | waits until the box has taken up its newest version |
//! | `… until the shadow of easy-day speaks` | over and over, until its log holds something |
//! | `… until shaky is off` | over and over, until a rule was switched off for its faults |
//! | `… until acme-strap logs "took over"` | over and over, until the plugin's log says so |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gatewayd::rulebook::standing;
use pitchside_model::PluginName;
use pitchside_tests::{Clinic, Running, Sensor, Told, until};
use pitchside_wire::Content;
use tokio::time::timeout;

/// How long something may be done over and over.
const OVER_AND_OVER: Duration = Duration::from_secs(60);

/// The clinic, once there is one.
#[derive(Default)]
pub struct Stage {
    clinic: Option<Running>,
    sensors: BTreeMap<String, Sensor>,
}

impl Stage {
    /// The settings of the box, if there is one.
    pub fn config(&self) -> Option<PathBuf> {
        self.clinic.as_ref().map(|clinic| clinic.dir().join("pitchside.toml"))
    }

    /// The ledger's policy, if there is a ledger: what an outsider has of it.
    pub fn policy(&self) -> Option<PathBuf> {
        self.clinic.as_ref().map(|clinic| clinic.dir().join("ledger/policy"))
    }

    /// The id of the newest alert.
    pub fn newest_alert(&self) -> String {
        let alerts = self.clinic.as_ref().map(|clinic| clinic.alerts()).unwrap_or_default();
        alerts.last().map(|row| row.alert.id.to_string()).expect("an alert")
    }

    /// Does what a direction says.
    pub async fn direct(&mut self, direction: &str) -> Result<(), String> {
        let (deed, end) = match direction.split_once(" until ") {
            Some((deed, end)) => (deed, Some(end)),
            None => (direction, None),
        };
        let Some(end) = end else { return self.once(deed).await };
        let over_and_over = async {
            while !self.has_come(end)? {
                self.once(deed).await?;
            }
            Ok(())
        };
        timeout(OVER_AND_OVER, over_and_over).await.unwrap_or_else(|_| Err("it did not come".to_owned()))
    }

    fn clinic(&self) -> Result<&Running, String> {
        self.clinic.as_ref().ok_or_else(|| "there is no box yet: `a box`".to_owned())
    }

    async fn once(&mut self, deed: &str) -> Result<(), String> {
        match deed.split_whitespace().collect::<Vec<_>>()[..] {
            ["a", "box"] => {
                let clinic = Clinic::new().strap("strap-1").athlete("ada");
                let clinic = clinic.strap("acme-1").athlete("bea").decoder("acme-strap");
                self.clinic = Some(clinic.ledger().start().await);
            }
            ["sealed"] => {
                let clinic = self.clinic()?;
                clinic.seal().await;
                clinic.synced().await;
            }
            ["the", "library", "has", plugin] => self.clinic()?.library_plugin(plugin),
            ["the", "ledger", "has", "it"] => {
                let tables = self.clinic()?.tables();
                let told = || tables.waiting_acts(1).expect("the database answers").is_empty().then_some(());
                until("the ledger to have it", told).await;
            }
            [count, "alert" | "alerts"] => {
                let count = count.parse().map_err(|_| format!("{count} is no number"))?;
                drop(self.clinic()?.alerted(count).await);
            }
            ["escalated", "to", level] => {
                let level: u8 = level.parse().map_err(|_| format!("{level} is no level"))?;
                let clinic = self.clinic()?;
                let reached = || clinic.alerts().pop()?.escalations.iter().any(|(to, _)| *to == level).then_some(());
                let time_passes = || {
                    clinic.advance(1);
                    reached()
                };
                until("the alert to escalate", time_passes).await;
            }
            [device, "has", count, "readings"] => {
                let count: usize = count.parse().map_err(|_| format!("{count} is no number"))?;
                let clinic = self.clinic()?;
                let there = || (clinic.values(device).len() + clinic.gaps(device).len() >= count).then_some(());
                until("the readings", there).await;
            }
            [rule, "in", "force"] => self.in_force(rule).await?,
            [device, "measures", ..] => {
                let phases = deed.split_once("measures").map_or("", |(_, phases)| phases);
                self.measure(device, phases).await?;
            }
            [device, "sends", ref bytes @ ..] => {
                let bytes: Result<Vec<u8>, _> = bytes.iter().map(|byte| u8::from_str_radix(byte, 16)).collect();
                let bytes = bytes.map_err(|error| error.to_string())?;
                self.clinic()?.advance(1);
                // Stored or refused: what is written on the page shows which.
                let (Told::Stored | Told::Refused(..)) = self.sensor(device).await?.says(Content::Vendor, bytes).await;
            }
            _ => return Err("no such direction; tests/docs/stage.rs has those there are".to_owned()),
        }
        Ok(())
    }

    async fn sensor(&mut self, device: &str) -> Result<&mut Sensor, String> {
        if !self.sensors.contains_key(device) {
            let sensor = self.clinic()?.sensor(device).await;
            self.sensors.insert(device.to_owned(), sensor);
        }
        self.sensors.get_mut(device).ok_or_else(|| format!("no sensor {device}"))
    }

    async fn measure(&mut self, device: &str, phases: &str) -> Result<(), String> {
        for phase in phases.split(',') {
            let (rate, seconds) = phase.trim().split_once(" for ").ok_or_else(|| format!("{phase}: `165 for 30s`"))?;
            let rate: i64 = rate.parse().map_err(|_| format!("{rate} is no rate"))?;
            let seconds: u32 = seconds.trim_end_matches('s').parse().map_err(|_| format!("{seconds} is no time"))?;
            for _ in 0..seconds {
                self.clinic()?.advance(1);
                self.sensor(device).await?.heart_rate(rate).await;
            }
        }
        Ok(())
    }

    /// The rules that came into force last are those with the newest version of this one.
    async fn in_force(&self, rule: &str) -> Result<(), String> {
        let tables = self.clinic()?.tables();
        let newest = tables.newest_rule_version(rule).map_err(|error| error.to_string())?;
        let newest = newest.ok_or_else(|| format!("{rule} was never published"))?;
        until("the box to take it up", || {
            let last = tables.rule_changes().expect("the database answers").pop()?;
            last.rules.iter().any(|(name, hash)| name == rule && *hash == newest.text_hash).then_some(())
        })
        .await;
        Ok(())
    }

    fn has_come(&self, end: &str) -> Result<bool, String> {
        let tables = self.clinic()?.tables();
        if let Some(rule) = end.strip_prefix("the shadow of ").and_then(|rest| rest.strip_suffix(" speaks")) {
            return tables.shadow_log(Some(rule), 1).map(|rows| !rows.is_empty()).map_err(|error| error.to_string());
        }
        if let Some(rule) = end.strip_suffix(" is off") {
            let standing = standing::read(tables).map_err(|error| error.to_string())?;
            return Ok(standing.iter().any(|row| row.rule == rule && row.off));
        }
        let (plugin, words) = end.split_once(" logs ").ok_or_else(|| format!("{end}: no such end"))?;
        let plugin = PluginName::parse(plugin).map_err(|error| error.to_string())?;
        let lines = tables.plugin_log(Some(&plugin), 100).map_err(|error| error.to_string())?;
        Ok(lines.iter().any(|line| line.text.contains(words.trim_matches('"'))))
    }
}
