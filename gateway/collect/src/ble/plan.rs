//! In which order a connected device is asked for what: pure, from the characteristics that it names.
//!
//! Devices name their characteristics in any order, and some values mean nothing before others are known: a temperature is of the
//! core or of the skin as Temperature Type says, and carries a time worth having once the clock is set. So first all that is
//! set and read once, then what is subscribed to, and last what only the log shows. Of what profiles name in their features two
//! are read, of Blood Pressure and of RSC: where a value does not set a bit, only they say whether the device looks for what it
//! stands for. CSC and Cycling Power say again in the flags of each value what it holds, and of the status of PLX only bits that
//! are set mean anything to the decoders.
//!
//! A device may have a characteristic more than once: the temperatures of the air and of the ground, two batteries. A stream is
//! of one, so only the first is listened to, in the order of its attributes; the others are named ([`Plan::passed_over`]).

use std::collections::BTreeMap;

use pitchside_model::Profiles;

use super::profile::{self, Manner};

/// A characteristic as a device names it, with whatever it is reached by.
#[derive(Debug, Clone)]
pub struct Found<C> {
    /// 16-bit UUID of its service.
    pub service: u16,
    /// 16-bit UUID.
    pub uuid: u16,
    /// Where it stands among the device's attributes: the order in which the device itself names them.
    pub handle: u16,
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
    /// The device is told that its clock is not ahead of UTC.
    SetZone,
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
    /// Subscribed to, read before, and read again whenever nothing came for a while: what it notifies, and whether it does, is a
    /// setting of its own (ES Trigger Setting, Environmental Sensing Service).
    Watch,
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
        matches!(self, Self::Subscribe { .. } | Self::Watch | Self::Poll)
    }

    /// Whether its values go to the intake.
    pub const fn is_listened_to(self) -> bool {
        self.measures() || matches!(self, Self::ReadFirst | Self::ReadOnce)
    }
}

/// What is done with the characteristics of a device.
#[derive(Debug)]
pub struct Plan<C> {
    /// First things first; in the device's own order within each.
    pub steps: Vec<(Step, Found<C>)>,
    /// Characteristics that the device has more than once, and how many of each are not listened to.
    pub passed_over: BTreeMap<u16, usize>,
}

/// What to do with the characteristics of a device with these profiles.
pub fn plan<C>(profiles: Profiles, found: Vec<Found<C>>) -> Plan<C> {
    let mut steps: Vec<(Step, Found<C>)> =
        found.into_iter().filter_map(|found| Some((step(profiles, &found)?, found))).collect();
    // One that nothing can be had of does not stand in the way of one that can be listened to.
    steps.sort_by_key(|(step, found)| (*step == Step::Unusable, found.handle));
    let (mut taken, mut passed_over) = (Vec::new(), BTreeMap::new());
    steps.retain(|(step, found)| {
        let streams = step.is_listened_to() || *step == Step::Unusable;
        let again = streams && taken.contains(&found.uuid);
        if again {
            *passed_over.entry(found.uuid).or_default() += 1;
        } else if streams {
            taken.push(found.uuid);
        }
        !again
    });
    steps.sort_by_key(|(step, found)| (rank(*step), found.handle));
    Plan { steps, passed_over }
}

/// Whatever is subscribed to is of one rank: the device's own order holds.
const fn rank(step: Step) -> u8 {
    match step {
        // Whoever is told another zone may move its clock.
        Step::SetZone => 0,
        Step::SetClock => 1,
        Step::ReadFirst => 2,
        Step::ReadOnce => 3,
        Step::Subscribe { .. } | Step::Watch | Step::Poll | Step::Unusable => 4,
        Step::Tell => 5,
    }
}

fn step<C>(profiles: Profiles, found: &Found<C>) -> Option<Step> {
    if profile::is_clock(found.uuid) {
        return found.writes.then_some(Step::SetClock);
    }
    if found.uuid == profile::LOCAL_TIME {
        return found.writes.then_some(Step::SetZone);
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
        _ if read && found.notifies && found.service == profile::ENVIRONMENT => Step::Watch,
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
        Found { service, uuid, handle: 0, reads, writes, notifies, indicates, by: () }
    }

    /// With the handles of the order in which they stand.
    fn numbered(found: &[Found<()>]) -> Vec<Found<()>> {
        found.iter().zip(1..).map(|(found, handle)| Found { handle, ..found.clone() }).collect()
    }

    fn planned(profiles: Profiles, found: &[Found<()>]) -> Vec<(u16, Step)> {
        let plan = plan(profiles, numbered(found));
        assert!(plan.passed_over.is_empty(), "{:?}", plan.passed_over);
        plan.steps.into_iter().map(|(step, found)| (found.uuid, step)).collect()
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
    fn a_cuff_and_a_foot_pod_are_asked_what_they_look_for_before_they_may_speak() {
        let device = [
            found(0x1810, 0x2A35, "i"),
            found(0x1810, 0x2A49, "r"),
            found(0x1814, 0x2A53, "n"),
            found(0x1814, 0x2A54, "r"),
        ];
        let cuff = [(0x2A49, Step::ReadOnce), (0x2A35, SPEAKS)];
        assert_eq!(planned(Profiles::BLOOD_PRESSURE, &device), cuff);
        let foot_pod = [(0x2A54, Step::ReadOnce), (0x2A53, SPEAKS)];
        assert_eq!(planned(Profiles::RUNNING_SPEED, &device), foot_pod);
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
            (0x2A6E, Step::Watch),
            (0x2A76, Step::Poll),
            (0x2A77, Step::Unusable),
            (0x2A50, Step::Tell),
        ];
        assert_eq!(planned(Profiles::all(), &device), all);
        assert_eq!(planned(Profiles::HEART_RATE, &device), all[..2]);
        assert_eq!(planned(Profiles::BATTERY, &device), []);
    }

    #[test]
    fn a_clock_is_told_its_zone_before_its_time_and_both_only_if_they_can_be_written() {
        let steps = planned(
            Profiles::THERMOMETER,
            &[found(0x1809, 0x2A1C, "i"), found(0x1805, 0x2A2B, "rwn"), found(0x1805, 0x2A0F, "rw")],
        );
        assert_eq!(steps, [(0x2A0F, Step::SetZone), (0x2A2B, Step::SetClock), (0x2A1C, SPEAKS)]);
        let shown = [found(0x1809, 0x2A1C, "i"), found(0x1805, 0x2A2B, "rn"), found(0x1805, 0x2A0F, "r")];
        assert_eq!(planned(Profiles::THERMOMETER, &shown), [(0x2A1C, SPEAKS)]);
    }

    #[test]
    fn of_several_instances_of_a_characteristic_the_first_is_listened_to_and_the_others_are_named() {
        let at = |handle, service, uuid, flags| Found { handle, ..found(service, uuid, flags) };
        // As the bus has them: in no order. Air and ground, two batteries and two sites, a temperature nobody can read.
        let device = vec![
            at(0x40, 0x180F, 0x2A19, "rn"),
            at(0x21, 0x181A, 0x2A6E, "rn"),
            at(0x12, 0x181A, 0x2A6E, "r"),
            at(0x30, 0x180F, 0x2A19, "r"),
            at(0x11, 0x181A, 0x2A6E, "w"),
            at(0x24, 0x181A, 0x2A6F, "r"),
            at(0x51, 0x1809, 0x2A08, "w"),
            at(0x52, 0x1805, 0x2A08, "w"),
            at(0x62, 0x180A, 0x2A29, "r"),
            at(0x61, 0x180A, 0x2A29, "r"),
        ];
        let Plan { steps, passed_over } = plan(Profiles::all(), device);
        let steps: Vec<_> = steps.iter().map(|(step, found)| (found.handle, *step)).collect();
        let expected = [
            // Every clock is set: none of them becomes a stream.
            (0x51, Step::SetClock),
            (0x52, Step::SetClock),
            (0x12, Step::Poll),
            (0x24, Step::Poll),
            (0x30, Step::Poll),
            (0x61, Step::Tell),
            (0x62, Step::Tell),
        ];
        assert_eq!(steps, expected);
        assert_eq!(passed_over, BTreeMap::from([(0x2A19, 1), (0x2A6E, 2)]));
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
