//! The README's lists of quantities and units are the code's: whoever writes a reader needs nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pitchside_model::{Quantity, Unit};

const README: &str = include_str!("../README.md");

/// What stands between two texts, with its lines made one.
fn between(start: &str, end: &str) -> String {
    let from = README.split_once(start).unwrap_or_else(|| panic!("no {start:?}")).1;
    let text = from.split_once(end).unwrap_or_else(|| panic!("no {end:?} after {start:?}")).0;
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_quantity_is_listed_under_its_number() {
    let axes = ("18 to 20 acceleration_x to _z", "18 acceleration_x, 19 acceleration_y, 20 acceleration_z");
    let listed = between("\nQuantities: ", ".\n").replace(axes.0, axes.1);
    let real: Vec<String> = Quantity::all().map(|one| format!("{} {}", one.code(), one.name())).collect();
    assert_eq!(listed, real.join(", "));
}

#[test]
fn every_unit_is_listed_in_the_order_of_its_number() {
    let listed = between("Units (UCUM), from 0: `", "`");
    let real: Vec<&str> = (0..=u8::MAX).map_while(Unit::from_code).map(Unit::ucum).collect();
    assert_eq!(listed, real.join(" "));
}

#[test]
fn the_usual_unit_of_every_quantity_is_listed() {
    let listed = between("Usual units, by quantity from 0: ", ".\n");
    let real: Vec<String> = Quantity::all().map(|one| one.unit().code().to_string()).collect();
    assert_eq!(listed, real.join(" "));
}
