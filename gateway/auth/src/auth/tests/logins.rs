//! Passwords and cables.

use super::*;
use crate::login::{LoginEnded, Role};
use pitchside_model::PayloadKind;

const PASSWORD: &[u8] = b"correct horse battery";
const HOME: &str = "192.0.2.7:50000";

fn add(gateway: &mut Gateway, id: &str, role: Role) {
    let record =
        enrol::password(name(id), role, PASSWORD, None, PASSWORD_COST, &kek(), &mut random(), gateway.now).unwrap();
    gateway.store.devices.lock().insert(name(id), record);
    gateway.auth.refresh(gateway.now).unwrap();
}

impl Gateway {
    /// Why a wrong password is refused.
    fn guess(&self, name: &str, peer: &str) -> Cause {
        self.auth.admit_password(name, b"guess", peer, self.now).unwrap_err().cause().clone()
    }
}

fn payload() -> Payload {
    Payload { kind: PayloadKind::SenmlJson, bytes: b"[]".to_vec(), topic: None }
}

#[test]
fn a_hub_speaks_with_the_assurance_of_its_password_until_it_is_revoked() {
    let mut gateway = Gateway::new();
    add(&mut gateway, "hub-1", Role::Hub);
    let login = gateway.auth.admit_password("hub-1", PASSWORD, HOME, gateway.now).unwrap();
    let message = login.vouch(LINK, payload()).unwrap();
    assert_eq!((message.device().as_str(), message.assurance(), message.link()), ("hub-1", Assurance::Password, LINK));
    let ended = gateway.auth.revoke(&name("hub-1"), gateway.now).unwrap();
    assert_eq!(ended[0].link, LINK);
    assert_eq!(login.vouch(LINK, payload()), Err(LoginEnded::Ended));
    assert!(!login.is_live());
    assert_eq!(
        gateway.auth.admit_password("hub-1", PASSWORD, HOME, gateway.now).unwrap_err().cause(),
        &Cause::Password
    );
}

#[test]
fn an_app_listens_to_what_it_was_granted_and_says_nothing() {
    let mut gateway = Gateway::new();
    let role = Role::App { filters: vec!["alerts/#".to_owned()] };
    add(&mut gateway, "board", role.clone());
    let login = gateway.auth.admit_password("board", PASSWORD, HOME, gateway.now).unwrap();
    assert_eq!(login.role(), &role);
    assert_eq!(login.vouch(LINK, payload()), Err(LoginEnded::Listener));
    // Whoever widens its rights in the database breaks the seal on its password.
    gateway.store.devices.lock().get_mut("board").unwrap().filters.push("#".to_owned());
    let ended = gateway.auth.refresh(gateway.now).unwrap();
    assert!(ended.is_empty() && !login.is_live(), "it was on no link yet, and has ended all the same");
    assert_eq!(
        gateway.auth.admit_password("board", PASSWORD, HOME, gateway.now).unwrap_err().cause(),
        &Cause::Password
    );
}

#[test]
fn unknown_names_wrong_passwords_and_devices_without_one_are_told_apart_by_nobody() {
    let mut gateway = Gateway::new();
    add(&mut gateway, "hub-1", Role::Hub);
    gateway.enrol("strap-07", Class::P1);
    let long = [b'x'; 300];
    for (name, password) in [
        ("hub-1", &b"wrong password"[..]),
        ("hub-2", PASSWORD),
        ("strap-07", PASSWORD),
        ("a/b", PASSWORD),
        ("hub-1", &long),
    ] {
        let refusal = gateway.auth.admit_password(name, password, HOME, gateway.now).unwrap_err();
        assert_eq!((refusal.cause(), refusal.answer()), (&Cause::Password, None), "{name}");
    }
}

#[test]
fn guessing_passwords_is_limited_by_name_known_or_not() {
    let mut gateway = Gateway::new();
    add(&mut gateway, "hub-1", Role::Hub);
    for name in ["hub-1", "nobody"] {
        let causes: Vec<_> = (0..8).map(|port| gateway.guess(name, &format!("192.0.2.9:{port}"))).collect();
        assert_eq!(causes.iter().filter(|cause| **cause == Cause::RateLimited).count(), 3, "{name}");
    }
    gateway.now = gateway.now.plus_micros(4_000_000);
    gateway.auth.admit_password("hub-1", PASSWORD, "192.0.2.9:9", gateway.now).unwrap();
}

#[test]
fn who_knows_the_password_may_come_as_often_as_it_likes() {
    let mut gateway = Gateway::with(Limits {
        password: Rate { burst: 2, refill_ms: 4_000 },
        password_peer: Rate { burst: 3, refill_ms: 4_000 },
        password_all: Rate { burst: 4, refill_ms: 4_000 },
        password_cost: PASSWORD_COST,
        ..Limits::default()
    });
    add(&mut gateway, "hub-1", Role::Hub);
    for _ in 0..50 {
        gateway.auth.admit_password("hub-1", PASSWORD, HOME, gateway.now).unwrap();
    }
}

#[test]
fn a_strangers_guesses_do_not_lock_the_owner_out() {
    let mut gateway = Gateway::new();
    add(&mut gateway, "hub-1", Role::Hub);
    let causes: Vec<_> = (0..200).map(|_| gateway.guess("hub-1", "192.0.2.66:1")).collect();
    assert_eq!(causes.last(), Some(&Cause::RateLimited));
    // Neither in that name nor by trying every other.
    let causes: Vec<_> = (0..500).map(|name| gateway.guess(&format!("name-{name}"), "192.0.2.66:1")).collect();
    assert_eq!(causes.iter().filter(|cause| **cause == Cause::Password).count(), 64 - 5);
    gateway.auth.admit_password("hub-1", PASSWORD, HOME, gateway.now).unwrap();
}

#[test]
fn many_strangers_together_get_no_more_than_the_box_can_bear() {
    let mut gateway = Gateway::new();
    let guesses = |gateway: &Gateway, strangers: std::ops::Range<u32>| {
        let cause = |n: u32| gateway.guess("hub-1", &std::net::Ipv4Addr::from_bits(n).to_string());
        strangers.filter(|n| cause(*n) == Cause::Password).count()
    };
    assert_eq!(guesses(&gateway, 0..1_000), 256);
    gateway.now = gateway.now.plus_micros(1_000_000);
    assert_eq!(guesses(&gateway, 1_000..2_000), 10);
}

#[test]
fn only_so_many_passwords_are_verified_at_a_time() {
    let turnstile = Turnstile::new(1, 0);
    assert_eq!(turnstile.pass(|| turnstile.pass(|| ())), Some(None));
    assert_eq!(turnstile.pass(|| ()), Some(()));
    let waiting = Turnstile::new(1, 8);
    let inside = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                waiting.pass(|| {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                })
            });
        }
    });
}

#[test]
fn a_cable_is_let_in_only_as_what_it_was_enrolled_as() {
    let mut gateway = Gateway::new();
    gateway.enrol("strap-07", Class::P1);
    let record = enrol::wired(name("scale"), None, gateway.now);
    gateway.store.devices.lock().insert(name("scale"), record);
    gateway.auth.refresh(gateway.now).unwrap();
    let login = gateway.auth.admit_wired(&name("scale")).unwrap();
    assert_eq!(login.vouch(LINK, payload()).unwrap().assurance(), Assurance::Wired);
    assert_eq!(gateway.auth.admit_wired(&name("strap-07")).unwrap_err().cause(), &Cause::WrongClass);
    assert_eq!(gateway.auth.admit_wired(&name("nobody")).unwrap_err().cause(), &Cause::UnknownDevice);
    assert_eq!(gateway.auth.admit_password("scale", b"", HOME, gateway.now).unwrap_err().cause(), &Cause::Password);
    gateway.auth.revoke(&name("scale"), gateway.now).unwrap();
    assert_eq!(login.vouch(LINK, payload()), Err(LoginEnded::Ended));
    assert_eq!(gateway.auth.admit_wired(&name("scale")).unwrap_err().cause(), &Cause::Revoked);
}
