//! Sentences about the whole system: every test is one clinic with real TCP, pseudo-terminals, SQLite files and worker
//! processes.
//!
//! | module | is about |
//! | --- | --- |
//! | `acknowledged` | who acknowledged an alert, told to apps over MQTT and kept for those who come later |
//! | `delivery` | who is told of alerts, and when; the dead-man's switch |
//! | `drills` | the dead-man's switch while something stays broken |
//! | `events` | alerts on the page's stream of events, told again to whoever comes back |
//! | `door` | who gets in, and who is put out |
//! | `firmware` | firmware to sensors, and what keeps it from them |
//! | `misfits` | firmware that is not what it says, or that a sensor does not bear |
//! | `releases` | a release from its signers to a clinic's shelf |
//! | `frames` | frames again, in another order, cut, changed, too long |
//! | `gate` | what an MQTT client may not do |
//! | `payloads` | what cannot be a reading, and times that cannot be right |
//! | `channels` | the library's outputs as an admin sets them up: webhook, push, mail |
//! | `outputs` | alerts that leave the box as was granted |
//! | `packages` | plugins as packages: signed, let in or refused, tried, at work without a restart |
//! | `derived` | streams that plugins derive, for rules |
//! | `discovery` | hubs that announce their sensors, and what is kept of it |
//! | `plugins` | decoders that misbehave |
//! | `resets` | alerts that latch, and how somebody ends them |
//! | `rules` | rules that misbehave; alerts and where they go |
//! | `rulebook` | rules an admin tries, publishes, rolls back, replays, watches |
//! | `shadows` | rules in the shadow that are switched off and on, and what is kept of them |
//! | `restart` | what a gateway knows after it was ended |
//! | `commit` | no answer before the commit |
//! | `full` | a disk without room |
//! | `trials` | what an admin sets, trusts and distrusts while versions of a decoder come and go |
//! | `trouble` | a ledger that is down, or not one |
//! | `hindsight` | rules published after an alert, and what its evidence names and shows |
//! | `proof` | evidence, and what happens to it when a byte changes |
//! | `kept` | steps of alerts that an output's script fails on, or that find no room to wait |
//! | `stalls` | receivers of alerts that are away or stall |
//! | `quiet` | quiet hours of outputs, and what comes in between; routes nobody follows |
//! | `receiver` | no scenarios: a receiver of alerts, for `channels`, `delivery`, `drills`, `kept`, `quiet` and `stalls` |
//! | `cable` | a sensor on a serial line |
//! | `crash` | kill -9 under load |
//! | `backup` | a box lost, restored, asked how it is, destroyed |
//! | `erasure` | what a running box lets go of when an athlete is erased |
//! | `lost` | erased athletes, foreign keys and lost data after that |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acknowledged;
mod backup;
mod cable;
mod channels;
mod commit;
mod crash;
mod delivery;
mod derived;
mod discovery;
mod door;
mod drills;
mod erasure;
mod events;
mod firmware;
mod frames;
mod full;
mod gate;
mod hindsight;
mod kept;
mod lost;
mod memory;
mod misfits;
mod outputs;
mod packages;
mod payloads;
mod plugins;
mod proof;
mod quiet;
mod receiver;
mod releases;
mod resets;
mod restart;
mod rulebook;
mod rules;
mod shadows;
mod stalls;
mod trials;
mod trouble;

use pitchside_tests::{Running, Sensor};

/// The others notice nothing: strap s7 measures, is receipted, and is stored once.
async fn all_goes_on(clinic: &Running) {
    let mut s7 = clinic.sensor("s7").await;
    goes_on(clinic, &mut s7).await;
}

/// As [`all_goes_on`], for a strap that was there before.
async fn goes_on(clinic: &Running, s7: &mut Sensor) {
    let before = clinic.values("s7");
    s7.heart_rate(72).await;
    assert_eq!(clinic.values("s7"), [before, vec!["heart_rate 72".to_owned()]].concat());
}
