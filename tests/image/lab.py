"""What the scenarios share: a clinic round one box, made once and copied for each scenario that needs it fresh."""

import copy
import re
import shutil
import time

import versions
from sensor import Browser, Cable, Mqtt, Sensor
from vm import OUT, Box, Stuck, tool

ORDERS = b"""# one sensor on the cable, one on the network, two by radio, one athlete
enrol strap-1 p0
enrol strap-2 p0
bond heart-1 F0:F1:F2:F3:F4:01 just-works heart-rate,battery
bond thermo-1 F0:F1:F2:F3:F4:02 123456 thermometer
enrol imu-1 p1 F0:F1:F2:F3:F4:04
bond heart-2 F0:F1:F2:F3:F4:01 just-works
athlete ann
assign strap-1 ann
# an output, switched off and without its signing key, so that nothing is sent; a colleague; a rule to be edited
disable webhook-out
set webhook-out host hooks.example.org
grant webhook-out http:hooks.example.org:443
secret webhook-out token token.txt
user add dora clinician
checkout heart-rate-ceiling
"""
RULE = "heart-rate-ceiling"
RULE_FILES = ("rule.toml", "rule.rhai", "cases.txt", "README.md", ".base")
# Sealed readings leave the journal after half an hour; here they stay, so that what is there can be counted on a slow machine, too.
SETTINGS = b"[journal]\nhorizon_s = 86400\n"
HEALTHY = r"health [\d.]+s: slot ([AB]) is healthy and confirmed"


class Clinic:
    """A box and the people and sensors round it."""

    def __init__(self, name, image=None):
        folder = OUT / "test" / name
        shutil.rmtree(folder, ignore_errors=True)
        self.box = Box(folder, image or versions.disk(versions.BASE))
        self.password = self.code = self.name = self.authority = self.recovery = self.colleague = None
        self.cable = self.radio = None

    def healthy(self, seconds=240):
        """Waits until a slot is confirmed; which one."""
        return self.box.wait(HEALTHY, seconds)[1]

    def version(self):
        """The version the screen last named."""
        return re.findall(r"Pitchside (\S+), slot [AB]", self.box.console())[-1]

    def read_screen(self):
        """What a clinic reads off the screen at the first start."""
        page = self.box.wait(r"Pitchside (?P<version>\S+), slot (?P<slot>[AB]), (?P<name>\S+)\s+page.*\s+authority +SHA-256 (?P<sum>\w+)\s+"
                             r"sign in as +admin\s+password +(?P<password>\S+)\s+stick code +(?P<code>\S+)", 240)
        self.name, self.password, self.code, self.sum = page["name"], page["password"], page["code"], page["sum"]

    def stick(self, files, seconds=240):
        """Plugs a stick in, waits until the box has read it, pulls it; what it wrote."""
        self.box.plug_stick({"code.txt": self.code.encode(), **files})
        self.box.wait(r"stick: (done|code.txt does not)", seconds)
        time.sleep(3)
        return self.box.pull_stick()

    def claim(self):
        """The first stick: proves who stands there, brings the orders, takes authority and cards away."""
        read = self.stick({"orders.txt": ORDERS, "settings.toml": SETTINGS, "token.txt": b"tk_1\n"})
        result = read("result.txt")
        # A box without a radio enrols all the same; the second sensor at one address is refused.
        for words in ("settings taken", "enrolled strap-1", "strap-1 measures ann", "enrolled heart-1 at F0:F1:F2:F3:F4:01", "enrolled thermo-1 at",
                      "enrolled imu-1", "could not enrol heart-2", "webhook-out: host is hooks.example.org",
                      "webhook-out: was granted http:hooks.example.org:443", "webhook-out: the secret token was set", "webhook-out: was switched off",
                      "dora signs in with", f"rules/{RULE} is on the stick"):
            if words not in result:
                raise Stuck(f"the stick says: {result}")
        if 'class = "P1"' not in read("cards/imu-1.txt"):
            raise Stuck("no card for the device that speaks PS/1 by radio")
        self.colleague = read("users/dora.txt").strip()
        self.draft = {name: self.box.on_stick(name) for name in (f"rules/{RULE}/{file}" for file in RULE_FILES)}
        self.authority = read("ca.pem")
        self.recovery = self.box.on_stick("recovery.txt")
        self.cable, self.radio = (Sensor(read(f"cards/{name}.txt")) for name in ("strap-1", "strap-2"))

    def publish(self):
        """A rule, edited on the stick it was checked out to; only its README, so that it goes on saying what it said."""
        self.draft[f"rules/{RULE}/README.md"] += b"Ours.\n"
        said = self.stick({"orders.txt": f"publish {RULE}\n".encode(), **self.draft})("result.txt")
        if f"published {RULE}@2" not in said:
            raise Stuck(f"the stick says: {said}")

    def keeps_its_rule(self):
        """Raises unless the rule it published is in force, beside the image's others."""
        rules = "/data/box/rules"
        told = self.box.run(f"tail -n1 {rules}/{RULE}/README.md; ls {rules}/*/.library | wc -l; ls -d /usr/share/pitchside/rules/*/ | wc -l").split()
        if told[0] != "Ours." or int(told[1]) != int(told[2]) - 1:
            raise Stuck(f"the published rule, those that follow the image, those of the image: {told}")

    def connect_cable(self, seconds=120):
        self.cable.connect(lambda: Cable(self.box.folder / "cable"), seconds)

    def connect_mqtt(self, seconds=120):
        self.radio.connect(lambda: Mqtt(self.box.mqtt, self.radio.name, self.name, self.authority), seconds)

    def browser(self):
        return Browser(self.box.page, self.name, self.authority, "admin", self.password)

    def browser_of_a_colleague(self):
        return Browser(self.box.page, self.name, self.authority, "dora", self.colleague)

    def stored(self):
        """Readings the box holds of strap-1, and whether its chain verifies, asked on the box."""
        as_pitchside = "setpriv --reuid=pitchside --regid=pitchside --init-groups"
        # Each by itself: a command that fails must say why, not count as none.
        told = self.box.run(f"{as_pitchside} pitchside --json readings --device strap-1 --last 1000", 120)
        chain = self.box.run(f"{as_pitchside} pitchside blocks verify >/dev/null; echo chain $?", 120)
        return told.count('"id"'), chain.split()[-1] == "0"


def copied(clinic, name, disk=None, variables=None):
    """A box as `clinic`'s is now (which must be off), or was when these files were kept; to be broken apart from it."""
    other = Clinic.__new__(Clinic)
    other.__dict__.update(clinic.__dict__)
    # Its own sensors' ends: a session with one box is none with another.
    other.cable, other.radio = copy.deepcopy(clinic.cable), copy.deepcopy(clinic.radio)
    folder = OUT / "test" / name
    shutil.rmtree(folder, ignore_errors=True)
    other.box = Box(folder, disk or clinic.box.disk, variables or clinic.box.variables)
    return other


def stopped(clinic, seconds=120):
    """Waits for a machine that was told to stop, then takes its power."""
    end = time.monotonic() + seconds
    while clinic.box.process.poll() is None:
        if time.monotonic() > end:
            break
        time.sleep(0.5)
    clinic.box.cut_power()


def running(state):
    """The clinic, its box on and healthy."""
    clinic = state["clinic"]
    if clinic.box.process is None:
        clinic.box.skip_console()
        clinic.box.power_on()
        clinic.healthy(400)
    return clinic


def off(state):
    """The clinic, its box shut down."""
    clinic = state["clinic"]
    if clinic.box.process:
        clinic.cable.unlink(); clinic.radio.unlink()
        clinic.box.run("sync; systemctl --no-block poweroff", check=False)
        stopped(clinic)
    return clinic


def stopped_copy(state, name):
    """The clinic's box as it is, off, to be broken without breaking it."""
    trial = copied(off(state), name)
    state.setdefault("copies", []).append(trial)
    return trial


def started_copy(state, name, keeps_discarded=False):
    """The same, running and healthy; on a disk that keeps what is discarded, if asked."""
    trial = stopped_copy(state, name)
    trial.box.keeps_discarded = keeps_discarded
    trial.box.power_on()
    trial.healthy(400)
    return trial
