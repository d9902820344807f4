//! When the trial of a new version is over, and how.

use pitchside_decode::plugin::Findings;
use pitchside_store::Candidate;

/// What a version is tried beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// One that runs.
    Running,
    /// One that does not compile, or that what is set does not fit, so that nothing can be compared with it.
    Broken,
    /// One that is switched off, or whose process is not up: for now nothing is compared, and nothing known of the new one.
    Away,
}

impl Beside {
    pub const fn of(enabled: bool, runs: bool, can_run: bool) -> Self {
        match (enabled, runs, can_run) {
            (true, true, _) => Self::Running,
            (true, false, false) => Self::Broken,
            (false, ..) | (true, false, true) => Self::Away,
        }
    }
}

/// Whether a version takes over, and why; none while that is open.
pub(super) fn verdict(found: &Findings, candidate: &Candidate, beside: Beside, late: bool) -> Option<(bool, String)> {
    if beside == Beside::Away {
        return None;
    }
    let compared = found.compared;
    if let Some(failure) = &found.failure {
        return Some((false, format!("it fails {failure}")));
    }
    if let (Some(difference), false) = (&found.difference, candidate.differ) {
        return Some((false, format!("it reads differently {difference}")));
    }
    if beside == Beside::Broken {
        return Some((true, "the version before does not run, so there was nothing to compare it with".to_owned()));
    }
    if compared < candidate.payloads && !late {
        return None;
    }
    if compared == 0 && found.begun > 0 {
        let why = "no two payloads of a device in a row were compared, so what it keeps of them was not tried; try it longer: --within";
        return Some((false, why.to_owned()));
    }
    if compared == 0 {
        return Some((false, "no payload of its came in that time, so nothing was compared; try it again".to_owned()));
    }
    let differently = match found.differences {
        0 => String::new(),
        n => format!(", {n} were read differently, as was allowed"),
    };
    Some((true, format!("{compared} of {} payloads were compared{differently}", candidate.payloads)))
}

#[cfg(test)]
mod tests {
    use pitchside_model::Timestamp;

    use super::*;

    #[test]
    fn a_version_takes_over_only_when_enough_was_read_alike() {
        let candidate = |differ| Candidate { sha256: [1; 32], payloads: 10, until: Timestamp(0), differ };
        let found = |compared, difference: bool, failure: bool| Findings {
            compared,
            difference: difference.then(|| "a payload of 2 bytes".to_owned()),
            differences: u32::from(difference),
            failure: failure.then(|| "on a payload of 2 bytes: too slow".to_owned()),
            ..Findings::default()
        };
        let beside =
            |found, differ, beside, late| verdict(&found, &candidate(differ), beside, late).map(|(yes, _)| yes);
        let says = |found, differ, late| beside(found, differ, Beside::Running, late);
        assert_eq!(says(found(9, false, false), false, false), None);
        assert_eq!(says(found(10, false, false), false, false), Some(true));
        assert_eq!(says(found(3, true, false), false, false), Some(false), "at the first difference");
        assert_eq!(says(found(10, true, false), true, false), Some(true));
        assert_eq!(says(found(10, false, true), true, false), Some(false), "a failure is never allowed");
        assert_eq!(says(found(2, false, false), false, true), Some(true), "after its time, with what there was");
        assert_eq!(says(found(0, false, false), false, true), Some(false), "nothing was seen of it");
        let begun = Findings { begun: 30, ..found(0, false, false) };
        assert_eq!(says(begun.clone(), false, false), None, "what it keeps is to be tried");
        let why = verdict(&begun, &candidate(false), Beside::Running, true);
        assert!(why.is_some_and(|(yes, why)| !yes && why.contains("what it keeps of them was not tried")));
        assert_eq!(beside(found(0, false, false), false, Beside::Broken, false), Some(true));
        assert_eq!(beside(found(0, false, true), false, Beside::Broken, false), Some(false));
        for late in [false, true] {
            assert_eq!(beside(found(10, true, true), true, Beside::Away, late), None, "on trial until it can be tried");
        }
    }

    #[test]
    fn a_version_takes_over_alone_only_from_one_that_does_not_compile() {
        assert_eq!(Beside::of(true, true, true), Beside::Running);
        assert_eq!(Beside::of(true, true, false), Beside::Running, "what ran before the correction runs on");
        assert_eq!(Beside::of(true, false, false), Beside::Broken);
        assert_eq!(Beside::of(true, false, true), Beside::Away, "its process is not up");
        for (runs, compiles) in [(true, true), (false, true), (false, false)] {
            assert_eq!(Beside::of(false, runs, compiles), Beside::Away, "switched off");
        }
    }
}
