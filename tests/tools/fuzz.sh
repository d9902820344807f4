#!/usr/bin/env bash
# Runs each fuzz target for so many seconds, on the stable toolchain: fuzz.sh SECONDS [TARGET ...]; fuzz.sh build only compiles them
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift || true
command -v cargo-fuzz >/dev/null 2>&1 || { echo "fuzz: installing cargo-fuzz" >&2; cargo install --locked --quiet cargo-fuzz; }
# Sanitizer coverage is a nightly flag; RUSTC_BOOTSTRAP lets the pinned toolchain take it for this build alone.
export RUSTC_BOOTSTRAP=1
if [ "$seconds" = build ]; then
  exec cargo fuzz build --fuzz-dir . --sanitizer none
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
for target in "${targets[@]}"; do
  echo "fuzz: $target for $seconds s" >&2
  cargo fuzz run --fuzz-dir . --sanitizer none "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -print_final_stats=1
done
