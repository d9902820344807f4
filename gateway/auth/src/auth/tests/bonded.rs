//! Devices the host has bonded with.

use super::*;
use pitchside_model::{BleAddress, Bond, Bonding, Pairing, PayloadKind, Profiles};

const STRONG: Bond = Bond { secure_connections: true, authenticated: true, key_bits: 128 };
const ADDRESS: BleAddress = BleAddress([0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 1]);

fn add(gateway: &mut Gateway, id: &str, pairing: Pairing) {
    let bonding = Bonding { pairing, profiles: Profiles::HEART_RATE };
    let record = enrol::bonded(name(id), ADDRESS, bonding, None, &kek(), gateway.now).unwrap();
    gateway.store.devices.lock().insert(name(id), record);
    gateway.auth.refresh(gateway.now).unwrap();
}

#[test]
fn a_bonded_device_speaks_with_the_assurance_of_its_bond_until_it_is_revoked() {
    let mut gateway = Gateway::new();
    add(&mut gateway, "strap", Pairing::Code(Some(123_456)));
    let login = gateway.auth.admit_bonded(&name("strap"), &STRONG).unwrap();
    let payload = Payload { kind: PayloadKind::Gatt { characteristic: 0x2A37 }, bytes: vec![0, 60], topic: None };
    let message = login.vouch(LINK, payload.clone()).unwrap();
    assert_eq!(message.assurance(), Assurance::Bonded);
    assert_eq!(gateway.auth.revoke(&name("strap"), gateway.now).unwrap()[0].link, LINK);
    assert!(login.vouch(LINK, payload).is_err());
    assert_eq!(gateway.auth.admit_bonded(&name("strap"), &STRONG).unwrap_err().cause(), &Cause::Revoked);
    assert!(gateway.auth.radio_devices().is_empty(), "nobody looks for a revoked device");
}

#[test]
fn a_bond_weaker_than_its_enrolment_is_refused() {
    let mut gateway = Gateway::new();
    add(&mut gateway, "coded", Pairing::Code(None));
    add(&mut gateway, "plain", Pairing::JustWorks);
    let unauthenticated = Bond { authenticated: false, ..STRONG };
    assert!(gateway.auth.admit_bonded(&name("plain"), &unauthenticated).is_ok());
    for (device, bond) in [
        ("coded", unauthenticated),
        ("plain", Bond { secure_connections: false, ..STRONG }),
        ("plain", Bond { key_bits: 56, ..STRONG }),
    ] {
        assert_eq!(gateway.auth.admit_bonded(&name(device), &bond).unwrap_err().cause(), &Cause::WeakBond, "{bond:?}");
    }
}

#[test]
fn no_other_class_is_let_in_by_a_bond_and_a_bonded_device_by_nothing_else() {
    let mut gateway = Gateway::new();
    gateway.enrol("strap-07", Class::P1);
    add(&mut gateway, "strap", Pairing::JustWorks);
    let refused = |device: &str| gateway.auth.admit_bonded(&name(device), &STRONG).unwrap_err().cause().clone();
    assert_eq!(refused("strap-07"), Cause::WrongClass);
    assert_eq!(refused("nobody"), Cause::UnknownDevice);
    assert_eq!(gateway.auth.admit_wired(&name("strap")).unwrap_err().cause(), &Cause::WrongClass);
    assert_eq!(
        gateway.auth.admit_password("strap", b"", "127.0.0.1", gateway.now).unwrap_err().cause(),
        &Cause::Password
    );
}

#[test]
fn a_row_whose_secret_came_from_another_device_is_looked_for_by_nobody() {
    let mut gateway = Gateway::new();
    add(&mut gateway, "one", Pairing::JustWorks);
    add(&mut gateway, "two", Pairing::JustWorks);
    {
        let mut devices = gateway.store.devices.lock();
        let secret = devices["one"].secret.clone();
        devices.get_mut("two").unwrap().secret = secret;
    }
    gateway.auth.refresh(gateway.now).unwrap();
    let ids: Vec<_> = gateway.auth.radio_devices().into_iter().map(|device| device.id.to_string()).collect();
    assert_eq!(ids, ["one"]);
}
