use std::sync::atomic::{AtomicI64, Ordering};

use rustls_pki_types::{ServerName, UnixTime};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;

use super::*;

const SET: Timestamp = Timestamp::from_seconds(1_800_000_000);
const DAYS: i64 = 86_400;

fn days(time: Timestamp, days: i64) -> Timestamp {
    time.plus_micros(days * DAYS * 1_000_000)
}

#[test]
fn a_certificate_is_made_anew_before_it_ends_and_when_the_clock_was_turned() {
    let made = Validity::of(SET);
    assert!(!is_due(made, SET) && !is_due(made, days(SET, 365)));
    assert!(is_due(made, days(SET, 367)), "within 30 days of its end");
    assert!(is_due(made, days(SET, 4_000)));
    assert!(!is_due(made, days(SET, -1)) && is_due(made, days(SET, -2)), "the clock was set back");
    let unset = Validity::of(Timestamp::from_seconds(60));
    assert!(!is_due(unset, Timestamp::from_seconds(90 * DAYS)), "nothing better can be made yet");
    assert!(is_due(unset, SET), "now it is set");
    assert!(is_due(made, Timestamp::from_seconds(60)), "it was lost again");
}

#[test]
fn a_certificate_of_a_set_clock_lives_no_longer_than_browsers_take() {
    let Validity { from, to, unset } = Validity::of(SET);
    assert_eq!((to.micros_since(from) / 1_000_000 / DAYS, unset), (397, false));
}

/// Whether a client at this instant that trusts the box's authority takes what it is shown.
fn taken(renewing: &Renewing, at: Timestamp) -> bool {
    let provider = Arc::clone(&renewing.maker.provider);
    let mut roots = RootCertStore::empty();
    roots.add(renewing.maker.authority.clone()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let shown = renewing.current();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(at.millis().unsigned_abs()));
    let name = ServerName::try_from("box.local").unwrap();
    verifier.verify_server_cert(&shown.cert[0], &shown.cert[1..], &name, &[], at).is_ok()
}

#[test]
fn a_box_that_starts_without_the_time_or_runs_for_years_is_always_trusted() {
    let dir = tempfile::tempdir().unwrap();
    ensure_authority(dir.path(), "test").unwrap();
    let millis = Arc::new(AtomicI64::new(0));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let maker = maker(dir.path(), "test", &["box.local".to_owned()], provider).unwrap();
    let served = Served(Arc::new(Renewing::new(maker, Clock::Manual(Arc::clone(&millis))).unwrap()));
    let renewing = &served.0;
    for client in [SET, days(SET, 1_000)] {
        assert!(taken(renewing, client), "the clients know the time, the box does not");
    }
    let first = renewing.current();
    for day in (0..2_000).step_by(50) {
        let now = days(SET, day);
        millis.store(now.millis(), Ordering::Release);
        let left = served.until().micros_since(now) / 1_000_000 / DAYS;
        assert!((30..=397).contains(&left), "day {day}: {left} days are left, and it was made anew");
        for skew in [-1, 0, 1] {
            assert!(taken(renewing, days(now, skew).plus_micros(3_600_000_000 * -skew)), "day {day}");
        }
    }
    assert!(!Arc::ptr_eq(&first, &renewing.current()));
    let same = renewing.current();
    assert!(Arc::ptr_eq(&same, &renewing.current()), "made once, shown often");
}
