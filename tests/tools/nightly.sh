#!/usr/bin/env bash
# The longer proofs. Prints each one's name and how long it took; stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

run() {
  local started=$SECONDS
  echo "nightly: $1" >&2
  shift
  "$@"
  echo "nightly: ok after $((SECONDS - started)) s" >&2
}

run "200 kills under load" cargo run --quiet -p pitchside-tests --bin pitchside-crash -- --kills 200
run "Bluetooth with real BlueZ and virtual sensors" make --no-print-directory test-ble
run "the appliance in virtual machines, power cuts and bad disks included" make --no-print-directory image-test ARGS=all
run "fuzz targets, 120 s each" tests/tools/fuzz.sh 120
# A board without an operating system: the device's side must not need `std`. Only rustup can fetch that target.
if command -v rustup >/dev/null 2>&1; then
  rustup --quiet target add thumbv7em-none-eabihf
  run "the device's side builds for a bare Cortex-M4" cargo build --quiet -p pitchside-wire -p pitchside-device-sdk --target thumbv7em-none-eabihf
fi
if command -v cargo-deny >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny; then
  run "licences, bans, sources" cargo deny --log-level error check licenses bans sources
fi
