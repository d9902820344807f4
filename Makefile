# The two commands a newcomer needs: `make demo` and `make test`.
CARGO ?= cargo
SETUP := tests/tools/setup.sh
WEB := gateway/web
# A newer node than the distribution's, where setup had to fetch one.
export PATH := $(CURDIR)/$(WEB)/node_modules/.node/node_modules/node/bin:$(PATH)
ARGS ?=

.PHONY: demo test bench nightly lint fuzz web build clean image image-test test-ble
.DEFAULT_GOAL := build

demo: build ## one clinic on this machine; ARGS="--for 60s --speed 10 --json"
	@target/debug/pitchside demo $(ARGS)

build: web
	@$(SETUP) build
	@$(CARGO) build --quiet --workspace --bins

web: $(WEB)/dist/index.html

$(WEB)/dist/index.html: $(WEB)/node_modules/.installed $(shell find $(WEB)/src $(WEB)/index.html $(WEB)/vite.config.ts 2>/dev/null)
	@cd $(WEB) && npm run --silent build

$(WEB)/node_modules/.installed: $(WEB)/package-lock.json
	@$(SETUP) web
	@echo "web: installing the packages of package-lock.json with npm" >&2
	@cd $(WEB) && npm ci --silent --no-audit --no-fund && touch node_modules/.installed

test: build ## everything that fits a commit: lints, unit, scenario, command-line, browser tests
	@$(SETUP) build web browser interop
	@cd $(WEB) && npm run --silent test
	@python3 gateway/wire/examples/ps1_p0.py
	@python3 tests/image/own_disk.py
	@python3 tests/image/without_machine.py
	@target/python/bin/python gateway/wire/examples/ps1_p1_p2.py
	@target/python/bin/python tests/interop/ps1.py
	@target/python/bin/python tests/interop/apps.py
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@$(CARGO) test --workspace --quiet
	@cd $(WEB) && npm run --silent test:browser

lint:
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: web ## a table of speeds beside mosquitto and the disk, as ratios
	@$(SETUP) build bench
	@$(CARGO) build --release --quiet --workspace --bins
	@target/release/pitchside-bench $(ARGS)

nightly: test ## longer proofs: 200 kills, image and Bluetooth in virtual machines, long fuzzing, dependency audit; needs root
	@tests/tools/nightly.sh

image: web ## the bootable appliance image, signed update and SBOM in images/out; needs root; ARGS="--locked"
	@$(SETUP) build image
	@$(CARGO) build --release --quiet -p pitchside-gatewayd
	@images/build $(ARGS)

image-test: web ## boots the image in QEMU: readings, update, rollback; ARGS=all also power cuts and bad disks; needs root
	@$(SETUP) build image
	@$(CARGO) build --release --quiet -p pitchside-gatewayd
	@$(CARGO) build --quiet -p pitchside-gatewayd -p ledgerd --bins
	@tests/image/main.py $(ARGS)

test-ble: ## Bluetooth in a virtual machine: real BlueZ, virtual sensors; ARGS="a_wrong_passkey" tries that alone
	@$(SETUP) build ble
	@$(CARGO) build --quiet -p pitchside-gatewayd -p ledgerd -p pitchside-tests --bin pitchside --bin ledgerd --bin pitchside-board
	@tests/ble/guest.sh
	@target/python/bin/python tests/ble/main.py $(ARGS)

fuzz: ## each fuzz target for SECONDS (60)
	@tests/tools/fuzz.sh $(or $(SECONDS),60)

clean:
	@$(CARGO) clean
	@rm -rf $(WEB)/dist $(WEB)/node_modules
