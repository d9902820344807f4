use std::time::Duration;

use super::*;
use crate::password::PasswordHash;

const LIMITS: fn() -> Limits = Limits::default;

fn stored(role: Role) -> StoredUser {
    StoredUser { role, password: PasswordHash::new(b"correct horse", &[1; 16]).unwrap() }
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

#[test]
fn only_the_cookie_that_was_given_out_is_known() {
    let (table, now) = (SignIns::new(), Instant::now());
    let (cookie, _) = table.begin(name("ada"), &stored(Role::Viewer), [1; 32], &LIMITS(), now);
    assert_eq!(cookie.len(), 43, "256 bits in base64url");
    assert_eq!(table.find(&cookie, &LIMITS(), now).unwrap().user, name("ada"));
    assert!(table.find("", &LIMITS(), now).is_none());
    assert!(table.find(&cookie[..42], &LIMITS(), now).is_none());
}

#[test]
fn it_ends_with_time_and_with_idleness_but_not_under_an_open_stream() {
    let (table, now, limits) = (SignIns::new(), Instant::now(), LIMITS());
    let (cookie, who) = table.begin(name("ada"), &stored(Role::Viewer), [1; 32], &limits, now);
    let (idle, idle_who) = table.begin(name("ben"), &stored(Role::Viewer), [2; 32], &limits, now);
    let place = who.open_stream(1).unwrap();
    assert!(who.open_stream(1).is_none(), "streams are bounded");
    let later = now + limits.sign_in_idle_max;
    table.sweep(&limits, later);
    assert!(idle_who.ended.is_cancelled());
    assert!(table.find(&idle, &limits, later).is_none());
    assert!(table.find(&cookie, &limits, later).is_some());
    drop(place);
    assert!(who.open_stream(1).is_some());
    assert!(table.find(&cookie, &limits, now + limits.sign_in_time_max).is_none());
    assert!(who.ended.is_cancelled());
}

#[test]
fn a_full_table_ends_the_idlest() {
    let (table, now) = (SignIns::new(), Instant::now());
    let limits = Limits { sign_ins_max: 3, sign_ins_per_user_max: 2, ..LIMITS() };
    let at = |s| now + Duration::from_secs(s);
    let (_, first) = table.begin(name("ada"), &stored(Role::Viewer), [1; 32], &limits, at(0));
    let (_, second) = table.begin(name("ada"), &stored(Role::Viewer), [2; 32], &limits, at(1));
    let (_, third) = table.begin(name("ada"), &stored(Role::Viewer), [3; 32], &limits, at(2));
    assert!(first.ended.is_cancelled() && !second.ended.is_cancelled(), "own bound");
    table.begin(name("ben"), &stored(Role::Viewer), [4; 32], &limits, at(3));
    table.begin(name("cyd"), &stored(Role::Viewer), [5; 32], &limits, at(4));
    assert!(second.ended.is_cancelled() && !third.ended.is_cancelled(), "everybody's bound");
    assert_eq!(table.len(), 3);
}

#[test]
fn a_changed_role_or_password_and_a_removed_user_end_it() {
    let (table, now) = (SignIns::new(), Instant::now());
    let (_, ada) = table.begin(name("ada"), &stored(Role::Admin), [1; 32], &LIMITS(), now);
    let (_, ben) = table.begin(name("ben"), &stored(Role::Viewer), [2; 32], &LIMITS(), now);
    table.keep_only(&name("ada"), Some(&stored(Role::Admin)));
    assert!(!ada.ended.is_cancelled());
    table.keep_only(&name("ada"), Some(&stored(Role::Viewer)));
    assert!(ada.ended.is_cancelled() && !ben.ended.is_cancelled());
    table.keep_only(&name("ben"), None);
    assert!(ben.ended.is_cancelled() && table.is_empty());
}
