"""A clinic for one scenario: a fresh box in the guest, fresh bonds, a fresh bluetoothd, sensors on the air.

The gateway runs as a user of its own, as it does in the image: what it may know of bonds a root process copies for it.
"""

import json
import re
import shlex

import guest as machine
from air import Adapter, Air
from guest import Guest, Stuck, until

ADDRESSES = {"hci0": "C0:FF:EE:00:00:01", "hci1": "C0:FF:EE:00:00:02"}
BOX, EMPTY, BONDS = "/data/box", "/data/empty", "/run/pitchside/bonds"
PITCHSIDE, LEDGERD = "/data/bin/pitchside", "/data/bin/ledgerd"


class Lab:
    """The guest and its adapters; lives as long as the test."""

    async def __aenter__(self):
        self.folder = machine.MADE / "run"
        machine.shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.air = Air()
        sockets = {name: self.folder / name for name in ADDRESSES}
        self.adapters = {name: await Adapter.served(self.air, sockets[name], ADDRESSES[name]) for name in ADDRESSES}
        self.guest = Guest(self.folder, list(sockets.values()))
        try:
            self.booted = await self.guest.boot()
            # Made once: every scenario begins with a copy of it. Rules and plugins have tests of their own.
            await self.guest.run(f"chown -R pitchside: /data && su -s /bin/sh pitchside -c '{PITCHSIDE} init --dir {EMPTY} --name box --rules /none --plugins /none --json'",
                                 180)
        except BaseException:
            self.guest.off()
            raise
        return self

    async def __aexit__(self, *_):
        self.guest.off()

    def clinic(self, **settings):
        return Clinic(self, **settings)


class Clinic:
    """`slots`, `scan`, `adapters`, `turn`, `stall`, `more`: the settings. `log`: more of it."""

    def __init__(self, lab, slots=6, scan="passive", adapters=("hci0",), turn=60, stall=20, more="", log="pitchside=info,gatewayd=info", running=True):
        self.lab, self.guest, self.air, self.names = lab, lab.guest, lab.air, adapters
        self.sensors, self.tasks, self.log, self.running = [], {}, log, running
        radios = "\n".join(f'[[ble]]\nadapter = "{name}"\nslots = {slots}\nscan = "{scan}"' for name in adapters)
        self.settings = f'{radios}\n[bluetooth]\nturn_s = {turn}\nstall_s = {stall}\nbonds = "{BONDS}"\n{more}'

    async def __aenter__(self):
        self.since = self.guest.here()
        await self.guest.run(f"rm -rf {BOX} /var/lib/bluetooth/* {BONDS}; cp -a {EMPTY} {BOX}; mkdir -p {BONDS}; chmod 755 /run/pitchside")
        text = await self.guest.run(f"cat {BOX}/pitchside.toml")
        # A block every few seconds, so that what was stored is sealed while the test looks.
        text = re.sub(r"^ble = \[\]\n", "", text, flags=re.M).replace("interval_ms = 60000", "interval_ms = 5000")
        for section in re.findall(r"^\[\w+\]$", self.settings, re.M):
            text = re.sub(rf"^{re.escape(section)}\n(\w+ = .*\n)*", "", text, flags=re.M)
        await self.guest.write(f"{BOX}/pitchside.toml", text + "\n" + self.settings)
        try:
            for name in self.names:
                self.tasks[name] = await self.guest.plug(name)
            self.tasks["bluetoothd"] = await self.guest.bluetoothd()
            self.tasks["bonds"] = await self.guest.background(f"{PITCHSIDE} device bonds --out {BONDS} --follow")
            await self.guest.run(f"until dbus-send --system --print-reply --dest=org.bluez /org/bluez/{self.names[-1]} "
                                 "org.freedesktop.DBus.Properties.Get string:org.bluez.Adapter1 string:Address; do sleep 0.1; done")
            if self.running:
                await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        for sensor in self.sensors:
            await sensor.off()
            self.air.remove_controller(sensor.controller)
        await self.stop()
        for task in ("bonds", "bluetoothd", *self.names):
            if task in self.tasks:
                await self.guest.kill(self.tasks.pop(task))

    async def start(self):
        since = self.guest.here()
        self.tasks["gateway"] = await self.guest.background(
            f"su -s /bin/sh pitchside -c 'exec env PITCHSIDE_LOG=warn,{self.log} {PITCHSIDE} --config {BOX}/pitchside.toml run'")
        for name in self.names:
            await self.guest.hears(rf"listening.*adapter={name}", 60, since)

    async def stop(self, how="TERM"):
        if "gateway" in self.tasks:
            await self.guest.kill(self.tasks.pop("gateway"), how)

    async def switch_on(self, *sensors):
        for sensor in sensors:
            self.sensors.append(sensor)
            await sensor.on()

    # --- The gateway's own words ----------------------------------------------------------------------------------------------

    async def cli(self, words, stdin="", check=True, seconds=60):
        command = f"{PITCHSIDE} --config {BOX}/pitchside.toml {words}"
        fed = f"printf %s {shlex.quote(stdin)} | " if stdin else ""
        told = "cat /data/box/stderr;" if check else ""
        return await self.guest.run(f"su -s /bin/sh pitchside -c {shlex.quote(fed + command + ' 2>/data/box/stderr')} || "
                                    f"{{ code=$?; {told} (exit $code); }}", seconds, check)

    async def enrol(self, sensor, code=None, just_works=False, profiles=None):
        """Enrols a bonded sensor. `code`: the one printed on it; none: it is told while it pairs."""
        words = f"device enrol {sensor.name} --class bonded --address {sensor.address}"
        if profiles:
            words += f" --profiles {profiles}"
        if just_works:
            await self.cli(words + " --just-works")
        elif code is not None:
            await self.cli(words + " --code-stdin", f"{code:06}")
        else:
            await self.cli(words)

    async def card(self, name, address):
        """Enrols a PS/1 device; the secret it is given."""
        out = f"/data/{name}.card"
        await self.guest.run(f"rm -f {out}")
        await self.cli(f"device enrol {name} --class p1 --address {address} --out {out}")
        return await self.guest.run(f"cat {out}")

    async def readings(self, device, last=1000):
        return json.loads(await self.cli(f"--json readings --device {device} --last {last}"))

    async def values(self, device, quantity, assurance="bonded"):
        """Values of a quantity, oldest first; all of them must have this assurance."""
        found = [row for row in await self.readings(device) if row["quantity"] == quantity and row["value"] is not None]
        strange = {row["assurance"] for row in found} - {assurance}
        if strange:
            raise Stuck(f"{device}: readings with assurance {strange}, not {assurance}")
        return [row["value"] for row in reversed(found)]

    async def gaps(self, device):
        return [(row["quantity"], row["gap"]) for row in await self.readings(device) if row["gap"]]

    async def stored(self, device, quantity, at_least, seconds=40, **other):
        """Waits until so many values are durable."""
        async def look():
            values = await self.values(device, quantity, **other)
            return values if len(values) >= at_least else None
        return await until(f"{at_least} values of {quantity} of {device}", seconds, look, every=0.3)

    async def gap(self, device, quantity, reason, seconds=40):
        async def look():
            return (quantity, reason) in await self.gaps(device)
        await until(f"a gap {reason} in {quantity} of {device}", seconds, look, every=0.3)

    async def bonds(self):
        """What the host says of its bonds, as root: device -> (bond, code compared, bits)."""
        rows = json.loads(await self.guest.run(f"{PITCHSIDE} --json device bonds 2>/dev/null", check=False) or "[]")
        return {row["device"]: (row["bond"], row["code_compared"], row["key_bits"]) for row in rows}

    async def doctor(self, what):
        """Evidence of one finding."""
        said = json.loads(await self.cli("--json doctor", check=False))
        found = said["findings"] if isinstance(said, dict) else said
        return next((f for f in found if f["what"] == what), None)

    async def sealed(self, device):
        """Blocks verify, and hold what the device sent."""
        async def look():
            return any(row["sealed"] for row in await self.readings(device))
        await until(f"a sealed reading of {device}", 40, look, every=0.5)
        await self.cli("blocks verify")
        return True

    def said(self, pattern):
        return re.findall(pattern, self.guest.said()[self.since:])

    async def hears(self, pattern, seconds=30, since=None):
        return await self.guest.hears(pattern, seconds, self.since if since is None else since)
