#!/usr/bin/env bash
# The longer proofs. Prints each one's name and how long it took; stops at the first that fails.
#
# What is quickest to fail comes first. Virtual machines under emulation wait more than they work, so the fuzzing runs beside them,
# gives way to them (nice) and is written to target/nightly-beside.log, shown at the end. The machines get twice the patience for it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export IMAGE_TEST_PATIENCE=${IMAGE_TEST_PATIENCE:-2} BLE_TEST_PATIENCE=${BLE_TEST_PATIENCE:-2}

run() {
  local started=$SECONDS
  echo "nightly: $1" >&2
  shift
  "$@"
  echo "nightly: ok after $((SECONDS - started)) s" >&2
}

audit() {
  command -v cargo-deny >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny
  cargo deny --log-level error check licenses bans sources
  # The database of advisories is a repository elsewhere; where it cannot be reached, that is said, not passed over.
  if cargo deny --log-level error fetch db; then
    cargo deny --log-level error check --disable-fetch advisories
  else
    echo "nightly: the database of advisories cannot be reached: advisories were not checked" >&2
  fi
}

run "licences, bans, sources, advisories" audit
# A board without an operating system: the device's side must not need `std`. Only rustup can fetch that target.
if command -v rustup >/dev/null 2>&1; then
  rustup --quiet target add thumbv7em-none-eabihf
  run "the device's side builds for a bare Cortex-M4" \
    cargo build --quiet --target-dir target/bare -p pitchside-wire -p pitchside-device-sdk --target thumbv7em-none-eabihf
fi
run "200 kills under load" cargo run --quiet -p pitchside-tests --bin pitchside-crash -- --kills 200
run "the appliance image" make --no-print-directory image
run "fuzz targets, compiled" tests/tools/fuzz.sh build

set -m # a process group of its own
(
  renice -n 19 -p $BASHPID >/dev/null
  run "fuzz targets, 120 s each" tests/tools/fuzz.sh 120
) >target/nightly-beside.log 2>&1 &
beside=$!
set +m
# Whoever ends this early ends what runs beside it too.
trap 'kill -- -$beside 2>/dev/null || true' EXIT

run "Bluetooth with real BlueZ and virtual sensors" make --no-print-directory test-ble
run "the appliance in virtual machines, power cuts and bad disks included" make --no-print-directory image-test ARGS=all

if wait "$beside"; then
  grep '^nightly:\|^fuzz:\|^stat::number_of_executed_units' target/nightly-beside.log >&2
else
  cat target/nightly-beside.log >&2
  exit 1
fi
