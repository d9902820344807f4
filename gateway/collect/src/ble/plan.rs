//! In which order a connected device is asked for what: pure, from the characteristics that it names.
//!
//! Devices name their characteristics in any order, and some values mean nothing before others are known: a temperature is of the
//! core or of the skin as Temperature Type says, and carries a time worth having once the clock is set. So first all that is
//! set and read once, then what is subscribed to, and last what only the log shows. Of the other profiles none needs a read: what
//! CSC, Cycling Power, RSC and PLX name in their features, the flags of each value say again.

use pitchside_model::Profiles;

use super::profile::{self, Manner};

/// A characteristic as a device names it, with whatever it is reached by.
#[derive(Debug, Clone)]
pub struct Found<C> {
    /// 16-bit UUID of its service.
    pub service: u16,
    /// 16-bit UUID.
    pub uuid: u16,
    /// It can be read.
    pub reads: bool,
    /// It can be written, with an answer.
    pub writes: bool,
    /// It notifies.
    pub notifies: bool,
    /// It indicates.
    pub indicates: bool,
    /// What it is reached by.
    pub by: C,
}

/// What is done with a characteristic, in the order in which it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The device's clock is set.
    SetClock,
    /// Read once; if that fails, nothing after it is worth having.
    ReadFirst,
    /// Read once.
    ReadOnce,
    /// Subscribed to.
    Subscribe {
        /// Read before, so that a subscription to changes has a beginning.
        read: bool,
        /// It speaks by itself, so silence means something is wrong.
        streams: bool,
    },
    /// Read now, and again and again.
    Poll,
    /// It is wanted, and can be neither subscribed to nor read.
    Unusable,
    /// Read for the log.
    Tell,
}

impl Step {
    /// Whether readings come of it.
    pub const fn measures(self) -> bool {
        matches!(self, Self::Subscribe { .. } | Self::Poll)
    }

    /// Whether its values go to the intake.
    pub const fn is_listened_to(self) -> bool {
        self.measures() || matches!(self, Self::ReadFirst | Self::ReadOnce)
    }
}

/// What to do with the characteristics of a device with these profiles, first things first; in the device's own order within each.
pub fn plan<C>(profiles: Profiles, found: Vec<Found<C>>) -> Vec<(Step, Found<C>)> {
    let mut steps: Vec<(Step, Found<C>)> =
        found.into_iter().filter_map(|found| Some((step(profiles, &found)?, found))).collect();
    steps.sort_by_key(|(step, _)| rank(*step));
    steps
}

/// Whatever is subscribed to is of one rank: the device's own order holds.
const fn rank(step: Step) -> u8 {
    match step {
        Step::SetClock => 0,
        Step::ReadFirst => 1,
        Step::ReadOnce => 2,
        Step::Subscribe { .. } | Step::Poll | Step::Unusable => 3,
        Step::Tell => 4,
    }
}

fn step<C>(profiles: Profiles, found: &Found<C>) -> Option<Step> {
    if found.uuid == profile::DATE_TIME {
        return found.writes.then_some(Step::SetClock);
    }
    if found.service == profile::DEVICE_INFORMATION {
        let told = profiles.contains(Profiles::DEVICE_INFORMATION) && profile::is_information(found.uuid);
        return told.then_some(Step::Tell);
    }
    let manner = profile::wanted(profiles, found.service, found.uuid)?.manner;
    let read = manner == Manner::Read && found.reads;
    Some(match manner {
        Manner::ReadFirst | Manner::ReadOnce if !found.reads => Step::Unusable,
        Manner::ReadFirst => Step::ReadFirst,
        Manner::ReadOnce => Step::ReadOnce,
        _ if found.notifies || found.indicates => Step::Subscribe { read, streams: manner == Manner::Streams },
        _ if read => Step::Poll,
        _ => Step::Unusable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(service: u16, uuid: u16, flags: &str) -> Found<()> {
        let has = |flag| flags.contains(flag);
        let (reads, writes, notifies, indicates) = (has('r'), has('w'), has('n'), has('i'));
        Found { service, uuid, reads, writes, notifies, indicates, by: () }
    }

    fn planned(profiles: Profiles, found: &[Found<()>]) -> Vec<(u16, Step)> {
        plan(profiles, found.to_vec()).into_iter().map(|(step, found)| (found.uuid, step)).collect()
    }

    const SPEAKS: Step = Step::Subscribe { read: false, streams: false };

    #[test]
    fn a_thermometer_is_asked_for_its_site_and_told_the_time_before_it_may_speak() {
        let steps = planned(
            Profiles::all(),
            &[
                found(0x1809, 0x2A1C, "i"),
                found(0x180A, 0x2A29, "r"),
                found(0x1809, 0x2A1E, "n"),
                found(0x1809, 0x2A1D, "r"),
                found(0x1809, 0x2A08, "rw"),
            ],
        );
        let expected = [
            (0x2A08, Step::SetClock),
            (0x2A1D, Step::ReadFirst),
            (0x2A1C, SPEAKS),
            (0x2A1E, SPEAKS),
            (0x2A29, Step::Tell),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn what_is_asked_for_depends_on_the_enrolment_and_on_what_the_characteristic_can_do() {
        let device = [
            found(0x180D, 0x2A37, "n"),
            found(0x180D, 0x2A38, "r"),
            found(0x181A, 0x2A6E, "rn"),
            found(0x181A, 0x2A76, "r"),
            found(0x181A, 0x2A77, "w"),
            found(0x180A, 0x2A50, "r"),
            found(0x180A, 0x2A2A, "r"),
            found(0x1805, 0x2A08, "r"),
        ];
        let all = [
            (0x2A38, Step::ReadOnce),
            (0x2A37, Step::Subscribe { read: false, streams: true }),
            (0x2A6E, Step::Subscribe { read: true, streams: false }),
            (0x2A76, Step::Poll),
            (0x2A77, Step::Unusable),
            (0x2A50, Step::Tell),
        ];
        assert_eq!(planned(Profiles::all(), &device), all);
        assert_eq!(planned(Profiles::HEART_RATE, &device), all[..2]);
        assert_eq!(planned(Profiles::BATTERY, &device), []);
    }

    proptest! {
        #[test]
        fn no_order_puts_a_subscription_before_what_it_depends_on(
            named in Just(profile::SERVICES).prop_flat_map(|services| {
                let all: Vec<(u16, u16)> = services
                    .iter()
                    .flat_map(|service| service.characteristics.iter().map(|of| (service.uuid, of.uuid)))
                    .chain([(0x1809, profile::DATE_TIME)])
                    .collect();
                Just(all).prop_shuffle()
            }),
        ) {
            let device: Vec<_> = named.iter().map(|(service, uuid)| found(*service, *uuid, "rwni")).collect();
            let steps = planned(Profiles::all(), &device);
            prop_assert_eq!(steps.len(), device.len());
            let first = steps.iter().position(|(_, step)| step.measures()).unwrap();
            prop_assert!(steps[first..].iter().all(|(_, step)| step.measures()), "{:?}", steps);
            prop_assert_eq!(steps[0].1, Step::SetClock);
        }
    }
}
