#!/usr/bin/env bash
# Installs what a target needs and this machine lacks, and says so. Quick when nothing is missing.
#   setup.sh build|web|browser|interop|ble|bench|image ...
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }

for part in "$@"; do
  case "$part" in
    build) need cc gcc; need make make; need python3 python3; [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev) ;;
    web) need npm npm; need node nodejs ;;
    browser) need chromium chromium; need certutil libnss3-tools ;;
    interop) python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); need mosquitto_sub mosquitto-clients ;;
    # The guest's own kernel and BlueZ come from tests/ble/guest.sh.
    ble)
      python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
      need qemu-system-x86_64 qemu-system-x86; need mmdebstrap mmdebstrap; need cpio cpio; need strip binutils; need xz xz-utils
      [ -x /sbin/mke2fs ] || missing+=(e2fsprogs)
      [ -x /sbin/modprobe ] || missing+=(kmod)
      [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring) ;;
    bench) [ -x /usr/sbin/mosquitto ] || need mosquitto mosquitto; need node nodejs; need npm npm ;;
    # Everything else comes with the image's own tools: images/common.sh.
    image) need mmdebstrap mmdebstrap; need openssl openssl; [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring) ;;
    *) echo "setup: unknown part '$part'" >&2; exit 2 ;;
  esac
done

if ! command -v cargo >/dev/null 2>&1; then
  echo "setup: no Rust toolchain found; install Rust 1.95 or later first" >&2
  exit 1
fi

free_gb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
if [ ! -d target/debug ] && [ "$free_gb" -lt 10 ]; then
  echo "setup: $free_gb GB are free here; a first \`make test\` fills about 10 (half with CARGO_INCREMENTAL=0)" >&2
fi

if [ ${#missing[@]} -gt 0 ]; then
  echo "setup: installing with apt: ${missing[*]}" >&2
  as_root=(); [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# Vite 8 needs Node 20.19 or later. Where the distribution's is older, the npm registry ships one.
if [[ " $* " == *" web "* ]]; then
  version=$(node -p 'process.versions.node.split(".").slice(0, 2).map(Number).reduce((a, b) => a * 1000 + b)')
  if [ "$version" -lt 20019 ] && [ ! -x gateway/web/node_modules/.node/node_modules/node/bin/node ]; then
    echo "setup: node $(node --version) is too old for the web app; installing node 22 with npm under gateway/web" >&2
    npm install --silent --no-save --prefix gateway/web/node_modules/.node node@22
  fi
fi

# Other people's MQTT, Noise, CBOR and Bluetooth in Python, in a folder of their own, made anew when the first list changes; the
# second comes on top of it.
python_packages() {
  echo "setup: installing the packages of $1 with pip under target/python" >&2
  target/python/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$1"
  cp "$1" "$2"
}
if [[ " $* " == *" interop "* || " $* " == *" ble "* ]] && ! cmp -s tests/interop/requirements.txt target/python/installed.txt; then
  rm -rf target/python
  python3 -m venv target/python
  python_packages tests/interop/requirements.txt target/python/installed.txt
fi
if [[ " $* " == *" ble "* ]] && ! cmp -s tests/ble/requirements.txt target/python/installed-ble.txt; then
  python_packages tests/ble/requirements.txt target/python/installed-ble.txt
fi

# The peer of the rules in the benchmark, in a folder of its own. Without it that line is not measured.
if [[ " $* " == *" bench "* ]] && [ ! -d target/node-red/node_modules/node-red ]; then
  echo "setup: installing Node-RED with npm under target/node-red" >&2
  mkdir -p target/node-red
  npm install --silent --no-audit --no-fund --prefix target/node-red node-red@4.1 || echo "setup: Node-RED could not be installed" >&2
fi
