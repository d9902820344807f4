//! What a simulated sensor is told: one TOML file. The README beside this shows one of each kind.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use pitchside_model::DeviceId;
use serde::Deserialize;

use crate::heat::Climate;
use crate::mqtt::stream::Address;

/// One sensor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spec {
    /// Its name.
    pub device: String,
    /// How it gets to the gateway.
    pub link: LinkSpec,
    /// What it is.
    pub sensor: SensorSpec,
    /// How it is replayed.
    #[serde(default)]
    pub replay: ReplaySpec,
    /// What goes wrong with it.
    #[serde(default)]
    pub faults: Faults,
}

/// How it gets to the gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "over")]
pub enum LinkSpec {
    /// PS/1 over MQTT.
    Mqtt {
        /// The enrolment file.
        secret_file: PathBuf,
        /// Where.
        to: Address,
    },
    /// PS/1 over a serial line.
    Serial {
        /// The enrolment file.
        secret_file: PathBuf,
        /// Where the gateway finds the line: a link to the pseudo-terminal this sensor makes.
        path: PathBuf,
    },
    /// A name and a password over MQTT, no PS/1.
    Password {
        /// One line: the password.
        password_file: PathBuf,
        /// Where.
        to: Address,
    },
}

/// What it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum SensorSpec {
    /// Heart rate and RR intervals, once a second.
    ChestStrap {
        /// A recording with `heart_rate`.
        recording: PathBuf,
    },
    /// ECG at 360 Hz, a waveform frame a second.
    EcgPatch {
        /// A recording with `microvolt`.
        recording: PathBuf,
    },
    /// Power, cadence and speed, once a second.
    PowerMeter {
        /// A recording with `power`, `cadence`, `speed`.
        recording: PathBuf,
    },
    /// Core temperature of a wearer the heat-balance model describes, every ten seconds.
    CorePill {
        /// Where the wearer is, and doing what.
        #[serde(default)]
        climate: ClimateSpec,
    },
    /// Heart rate, speed and air temperature relayed, once a second.
    Hub {
        /// A recording with `heart_rate`, `speed`, `temperature`.
        recording: PathBuf,
        /// In which words.
        #[serde(default)]
        format: HubFormat,
    },
}

/// What a hub speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HubFormat {
    /// Its maker's JSON: `plugins/sports-hub-json`.
    #[default]
    Vendor,
    /// SenML in JSON.
    Senml,
}

/// How it is replayed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplaySpec {
    /// Seconds of recording a second.
    pub speed: f64,
    /// Seconds into the recording (or into the exercise) at the start.
    pub offset_s: f64,
    /// Seconds of wall time; to the end of the recording if left out.
    pub duration_s: Option<f64>,
    /// Wall time of the start, milliseconds since 1970, so that a squad starts together; now if left out.
    pub start_unix_ms: Option<i64>,
    /// How far the device's clock is ahead of the truth.
    pub clock_skew_ms: i64,
    /// Seconds after the last reading by which all receipts must be there.
    pub linger_s: f64,
}

impl Default for ReplaySpec {
    fn default() -> Self {
        Self { speed: 1.0, offset_s: 0.0, duration_s: None, start_unix_ms: None, clock_skew_ms: 0, linger_s: 30.0 }
    }
}

/// What goes wrong, by seconds of recording since the start.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// No skin contact.
    pub contact_lost: Option<Stretch>,
    /// The link is cut; the sensor goes on measuring and sends what it has when it is back.
    pub unplugged: Option<Stretch>,
}

/// A stretch of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Begins.
    pub at_s: f64,
    /// Lasts.
    pub for_s: f64,
}

impl Stretch {
    /// Whether a moment lies in it.
    pub fn holds(stretch: Option<Self>, played_us: i64) -> bool {
        stretch.is_some_and(|s| (s.at_s..s.at_s + s.for_s).contains(&(played_us as f64 / 1e6)))
    }
}

/// Defaults: a match in the afternoon sun, played hard by somebody not used to the heat; 39.5 Cel after an hour and a few
/// minutes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClimateSpec {
    /// Air temperature.
    pub air_cel: f64,
    /// Mean radiant temperature.
    pub radiant_cel: f64,
    /// Relative humidity.
    pub humidity_percent: f64,
    /// Wind.
    pub wind_mps: f64,
    /// Metabolic rate.
    pub metabolic_wpm2: f64,
    /// Clothing.
    pub clothing_clo: f64,
    /// Used to the heat.
    pub acclimatised: bool,
}

impl Default for ClimateSpec {
    fn default() -> Self {
        Self {
            air_cel: 34.0,
            radiant_cel: 48.0,
            humidity_percent: 57.0,
            wind_mps: 1.0,
            metabolic_wpm2: 348.0,
            clothing_clo: 0.5,
            acclimatised: false,
        }
    }
}

impl From<ClimateSpec> for Climate {
    fn from(spec: ClimateSpec) -> Self {
        let ClimateSpec {
            air_cel,
            radiant_cel,
            humidity_percent,
            wind_mps,
            metabolic_wpm2,
            clothing_clo,
            acclimatised,
        } = spec;
        Self {
            air_cel,
            radiant_cel,
            humidity_percent,
            wind_mps,
            metabolic_wpm2,
            clothing_clo,
            acclimatised,
            standing: true,
        }
    }
}

impl Spec {
    /// Reads a file; paths in it are relative to the working directory.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let spec: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        DeviceId::parse(&spec.device).context("device")?;
        let ReplaySpec { speed, offset_s, duration_s, .. } = spec.replay;
        let positive = |s: f64| s.is_finite() && s > 0.0;
        let offset_fits = offset_s.is_finite() && offset_s >= 0.0;
        if !(0.01..=1_000.0).contains(&speed) || !offset_fits || !duration_s.is_none_or(positive) {
            bail!("replay: speed is 0.01 to 1000, offset_s at least 0, duration_s more than 0");
        }
        Ok(spec)
    }
}
