//! Weeks before the run: the squad's training, generated, heard by the rules and sealed as it would have been. Every value
//! follows from the day and the athlete, so that the same history comes out each time; only its dates move.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ledger_block::{BlockIndex, ClockState, GatewayKey, Incarnation};
use pitchside_config::Settings;
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{
    AlertEvent, Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp,
    Value,
};
use pitchside_rules::replay::ENGINE_VERSION;
use pitchside_rules::{Engine, RuleSet};
use pitchside_seal::{BootCounter, SealInput, seal};
use pitchside_store::{Marks, NewBlock, RootKey, RowId, RuleChange, RuleText, Tables};

use super::squad::SQUAD;
use crate::adapters::athletes::load_ring;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::plugins::streams::Streams;
use crate::random::OsRandom;
use crate::rulebook::{in_words, read_texts, to_text};

const DAY_S: i64 = 86_400;
/// When training begins, in seconds of the day (UTC), and how long it lasts.
const BEGINS_S: i64 = 16 * 3_600;
const LASTS_S: i64 = 45 * 60;
/// Seconds in a block.
const BLOCK_S: i64 = 5 * 60;
/// Seconds between readings of a core temperature.
const TEMPERATURE_S: i64 = 15;
/// Readings of a strap in one message.
const MESSAGE_S: i64 = 5;
/// One day in so many nobody trains.
const REST_EVERY: i64 = 7;

/// Makes the history of so long a time, up to yesterday; says how much it is.
pub fn make(settings: &Settings, length: Duration) -> anyhow::Result<String> {
    let identity = Identity::load(&settings.gateway.key_dir)?;
    let root = RootKey::new(*identity.derive("pitchside/1/store")?);
    let tables = Tables::attach(&settings.gateway.data_dir, root)?;
    let folder = settings.rules.dir.as_ref().context("the demo has rules")?;
    let set = RuleSet::read(folder).map_err(|problems| in_words("the demo's rules", &problems))?;
    let streams = Streams::read(settings.plugins.dir.as_deref(), &tables)?;
    let set = Arc::new(streams.with(set).0);
    let today = Clock::System.now().0.div_euclid(DAY_S * MICROS_PER_SECOND);
    let days = i64::try_from(length.as_secs()).unwrap_or(i64::MAX) / DAY_S;
    let first = today - days.clamp(1, 366);
    let rules = set
        .rules()
        .iter()
        .map(|rule| Ok(to_text(rule.name().as_str(), &read_texts(&folder.join(rule.name().as_str()))?)))
        .collect::<anyhow::Result<Vec<RuleText>>>()?;
    let texts: Vec<RuleText> = rules.into_iter().chain(streams.texts_of(&set)?).collect();
    let rules = texts.iter().map(|text| (text.name.clone(), text.text_hash)).collect();
    let at = Timestamp(first * DAY_S * MICROS_PER_SECOND);
    tables.note_rules(RuleChange { at, set_hash: set.hash(), rules, engine: ENGINE_VERSION.to_owned() }, texts)?;
    let engine = Engine::new(Arc::clone(&set)).map_err(|problems| in_words("the demo's rules", &problems))?;
    let ring = load_ring(&tables, &identity)?;
    let mut scribe = Scribe { tables, key: GatewayKey::new(&identity.sign), ring, engine, rules: set.hash() };
    let (mut readings, mut blocks, mut alerts) = (0, 0, 0);
    for day in (first..today).filter(|day| day.rem_euclid(REST_EVERY) != 0) {
        let squad = athletes(day)?;
        for begin in (0..LASTS_S).step_by(usize::try_from(BLOCK_S)?) {
            let entries = training(day, begin, &squad);
            readings += entries.iter().map(|entry| entry.readings.len()).sum::<usize>();
            let end = Timestamp((day * DAY_S + BEGINS_S + begin + BLOCK_S) * MICROS_PER_SECOND);
            alerts += scribe.block(&entries, end)?;
            blocks += 1;
        }
    }
    Ok(format!("{readings} readings in {blocks} blocks with {alerts} alerts"))
}

/// Hears, seals and stores.
struct Scribe {
    tables: Tables,
    key: GatewayKey,
    ring: pitchside_seal::KeyRing,
    engine: Engine,
    rules: [u8; 32],
}

impl Scribe {
    /// One block; how many alerts were raised in it.
    fn block(&mut self, entries: &[Entry], sealed_at: Timestamp) -> anyhow::Result<usize> {
        let events = self.engine.feed(entries).events;
        let steps = self.tables.record_alerts(&events, sealed_at)?;
        let ids: Vec<_> = steps.iter().map(|step| step.id).collect();
        self.tables.set_alerts_delivered(&ids, sealed_at)?;
        let (key, previous) = self.tables.next_block()?.context("a new box waits for nothing")?;
        let sealed = seal(&SealInput {
            key: &self.key,
            incarnation: Incarnation(key.incarnation),
            index: BlockIndex(key.index),
            previous,
            sealed_at,
            clock: ClockState::Free,
            rules: self.rules,
            plugins: [0; 32],
            firmware: [0; 32],
            checkpoint: None,
            entries,
            alerts: &events,
            keys: &self.ring,
            entropy: OsRandom.bytes()?,
            boot: BootCounter(self.tables.boot()),
        })?;
        let block = NewBlock {
            key,
            hash: sealed.header.hash(),
            sealed_at,
            header: sealed.header.bytes().to_vec(),
            payload: sealed.payload,
            readings: entries.iter().map(|entry| entry.readings.len() as u64).sum(),
            rows_up_to: RowId(0),
            alerts_up_to: ids.last().copied(),
        };
        self.tables.put_block(block, Marks::default())?;
        Ok(events.iter().filter(|event| matches!(event, AlertEvent::Raised(_))).count())
    }
}

/// Somebody on a day.
struct Trains {
    athlete: AthleteId,
    strap: DeviceId,
    capsule: DeviceId,
    epoch: Epoch,
    /// Beats a minute at full effort.
    top: i64,
    /// Where the core temperature would end up, in hundredths of a degree.
    heat: i64,
    noise: u64,
}

/// The squad with its form of the day. In the demo straps and pills have other names: what they say is counted.
fn athletes(day: i64) -> anyhow::Result<Vec<Trains>> {
    let mut names: Vec<&str> = SQUAD.iter().map(|wearable| wearable.athlete).collect();
    names.dedup();
    let hot = day.rem_euclid(5) == 2;
    (0i64..)
        .zip(names)
        .map(|(at, name)| {
            let noise = mixed(day.unsigned_abs() * 31 + at.unsigned_abs());
            let form = i64::try_from(noise % 21)? - 10;
            Ok(Trains {
                athlete: AthleteId::parse(name)?,
                strap: DeviceId::parse(&format!("belt-{name}"))?,
                capsule: DeviceId::parse(&format!("capsule-{name}"))?,
                epoch: Epoch(day.unsigned_abs()),
                top: 160 + 2 * at + form / 2,
                heat: 3_855 + 4 * form + if hot { 110 } else { 0 },
                noise,
            })
        })
        .collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014): numbers that look random and are the same each time.
const fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the squad's sensors say in one block, in the order of arrival.
fn training(day: i64, begin: i64, squad: &[Trains]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for second in begin..begin + BLOCK_S {
        let now = Timestamp((day * DAY_S + BEGINS_S + second) * MICROS_PER_SECOND);
        for who in squad {
            if second % MESSAGE_S == MESSAGE_S - 1 {
                let rates = (0..MESSAGE_S).rev().map(|ago| (ago, rate(who, second - ago)));
                let readings = rates.map(|(ago, rate)| {
                    let at = now.plus_micros(-ago * MICROS_PER_SECOND);
                    reading(Quantity::HEART_RATE, at, now, Decimal::integer(rate))
                });
                entries.push(who.says(&who.strap, second / MESSAGE_S, readings.collect()));
            }
            if second % TEMPERATURE_S == 0 {
                let core = Decimal { mantissa: core(who, second), exponent: -2 };
                let readings = vec![reading(Quantity::CORE_TEMPERATURE, now, now, core)];
                entries.push(who.says(&who.capsule, second / TEMPERATURE_S, readings));
            }
        }
    }
    entries
}

fn reading(quantity: Quantity, device_time: Timestamp, gateway_time: Timestamp, value: Decimal) -> Reading {
    let (unit, quality) = (quantity.unit(), Quality::empty());
    Reading { quantity, unit, device_time, gateway_time, quality, value: Value::Number(value) }
}

impl Trains {
    fn says(&self, device: &DeviceId, seq: i64, readings: Vec<Reading>) -> Entry {
        Entry {
            device: device.clone(),
            athlete: Some(self.athlete.clone()),
            assurance: Assurance::Noise,
            epoch: self.epoch,
            seq: Seq(seq.unsigned_abs()),
            readings,
        }
    }
}

/// Ten minutes of warming up, then four minutes hard and two easy, by turns.
fn rate(who: &Trains, second: i64) -> i64 {
    let jitter = i64::try_from(mixed(who.noise ^ second.unsigned_abs()) % 5).unwrap_or(0) - 2;
    let aim = match second {
        0..600 => 100 + second / 12,
        _ if (second - 600) % 360 < 240 => who.top + (second - 600) / 240,
        _ => who.top - 35,
    };
    aim + jitter
}

/// From 37.2 towards where the day's heat ends, in hundredths of a degree: half of the way in a quarter of an hour.
fn core(who: &Trains, second: i64) -> i64 {
    let (rest, half) = (3_720, 900);
    let mut gap = who.heat - rest;
    let (halvings, part) = (second / half, second % half);
    for _ in 0..halvings {
        gap /= 2;
    }
    who.heat - gap + gap / 2 * part / half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_day_is_the_same_and_messages_come_in_order() {
        let squad = athletes(20_000).unwrap();
        let entries = training(20_000, 0, &squad);
        assert_eq!(entries, training(20_000, 0, &athletes(20_000).unwrap()));
        let arrivals: Vec<i64> = entries.iter().map(|entry| entry.readings[0].gateway_time.0).collect();
        assert!(arrivals.is_sorted());
        let rates = entries.iter().filter(|entry| entry.device.as_str() == "belt-ada").count();
        assert_eq!(rates as i64, BLOCK_S / MESSAGE_S);
    }

    #[test]
    fn some_get_too_hot_on_hot_days_and_nobody_on_others() {
        let hottest = |day| athletes(day).unwrap().iter().map(|who| core(who, LASTS_S - 1)).max().unwrap();
        let days: Vec<i64> = (20_000..20_030).collect();
        let hot = days.iter().filter(|day| hottest(**day) > 3_950).count();
        assert!((1..10).contains(&hot), "{hot} of 30");
    }
}
