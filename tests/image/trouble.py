"""What is tried with power that goes and disks that fail, each on a copy of the clinic's box. As in `scenarios`."""

import copy
import re
import secrets
import time

import time_servers
import versions
from lab import SETTINGS, Clinic, running, started_copy, stopped, stopped_copy
from publisher import Ledger, Publisher
from vm import OUT, REPO, Stuck, tool


# --- Power cuts -------------------------------------------------------------------------------------------------------------

def power_cuts_in_the_first_start(state, points=6):
    whole = Clinic("first-none")
    state["copies"] = [whole]
    whole.box.power_on()
    whole.box.wait("handing over", 300)
    handed = whole.box.uptime()
    whole.read_screen()
    length = whole.box.uptime()
    whole.box.cut_power()
    for point in range(points):
        trial = Clinic(f"first-{point}")
        state["copies"].append(trial)
        trial.box.power_on()
        # The interesting part begins where the data partition is made.
        time.sleep(handed * 0.8 + (length - handed * 0.8) * (point + 0.5) / points)
        trial.box.cut_power()
        trial.box.skip_console()
        trial.box.power_on()
        trial.read_screen()
        trial.healthy()
        trial.claim()
        trial.box.cut_power()
    return f"{points} cuts, each time one box with one identity, claimed afterwards"


# A bond as BlueZ keeps it, of a radio this machine has not; bluetoothd leaves it alone.
BOND = "/var/lib/bluetooth/0A:0B:0C:0D:0E:0F/F0:F1:F2:F3:F4:05"


def power_cuts_in_a_factory_reset(state, points=4):
    """The first and the last on a disk that keeps what is discarded."""
    begun_again = 0
    for point in [None, *range(points)]:
        trial = started_copy(state, f"reset-{point}", keeps_discarded=point in (0, points - 1))
        key = trial.box.run("cat /data/box/keys/root.key").strip()
        bond, gone = secrets.token_hex(16).upper(), secrets.token_hex(16)
        # A bond's key, and one that a file was deleted with long ago: what lies in no file must go, too.
        trial.box.run(f"mkdir -p {BOND} && printf '[LongTermKey]\\nKey=%s\\n' {bond} >{BOND}/info && echo {gone} >/data/gone && sync && rm /data/gone && sync")
        old = trial.name
        trial.box.plug_stick({"code.txt": trial.code.encode(), "factory-reset.txt": b""})
        trial.box.wait("factory reset asked for", 200)
        trial.box.wait("data: factory reset", 400)
        if point is not None:
            time.sleep(0.4 * point)
            trial.box.cut_power()
            keys_gone = "data: keys destroyed" in trial.box.console()[trial.box.seen:]
            trial.box.skip_console()
            trial.box.power_on()
            if not keys_gone:
                trial.box.wait("data: factory reset", 400)
                begun_again += 1
        trial.read_screen()
        trial.healthy()
        trial.box.cut_power()
        if trial.name == old:
            raise Stuck("the box kept its name: the data partition is the old one")
        left = raw(trial)
        for what, secret in (("root key", bytes.fromhex(key)), ("root key, as text", key.encode()), ("Bluetooth bond", bond.encode()),
                             ("deleted file", gone.encode())):
            if secret in left:
                raise Stuck(f"the old {what} is still on the disk (cut {point})")
    if not begun_again:
        raise Stuck("no cut came before the keys were gone: nothing was learnt of that")
    return f"{points + 1} resets, {points} of them cut short, {begun_again} before the keys were gone, two on disks that ignore discards: each ended in a new box, no old key anywhere on the disk"


def raw(trial):
    """The whole disk of a box that is off."""
    image = trial.box.folder / "raw.img"
    tool("qemu-img", "convert", "-O", "raw", trial.box.disk, image)
    content = image.read_bytes()
    image.unlink()
    return content


# --- Bad data partitions and clocks -----------------------------------------------------------------------------------------

# A sound one, of a log that is nowhere.
POLICY = b"log log.example/1+dd8b4c84+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\nquorum none\n"


def data_full(state):
    trial = started_copy(state, "full")
    # A new session could not be kept either: this one is from before.
    trial.connect_cable()
    trial.box.run("dd if=/dev/zero of=/data/fill bs=1M 2>/dev/null; sync; true", 200)
    trial.cable.say("heart_rate", "beat/min", [99] * 3)
    try:
        trial.cable.receipts(20)
        raise AssertionError("a receipt on a full disk")
    except (Stuck, OSError) as silence:
        said = str(silence) or type(silence).__name__
    told = trial.stick({"ledger.policy": POLICY})("result.txt")
    if "ledger.policy could not be kept" not in told:
        raise Stuck(f"a file for a full disk: {told}")
    trial.box.run("rm /data/fill; sync")
    trial.cable.unlink()
    trial.connect_cable()
    trial.cable.receipts(120)
    running = trial.box.run("systemctl show pitchside.service -P NRestarts").strip()
    trial.box.cut_power()
    if running != "0":
        raise Stuck(f"the gateway was restarted {running} times")
    return f"no receipt while full ({said}), all of it once there was room"


def data_corrupt(state):
    trial = stopped_copy(state, "corrupt")
    write_data(trial, b"\xa5" * (160 << 20))
    trial.box.power_on()
    trial.box.wait(r"NOT WORKING: the data partition is corrupt", 400)
    trial.box.cut_power()
    return "not mounted, not formatted, said on the screen"


def data_damaged_a_little(state):
    trial = stopped_copy(state, "damaged")
    # The first superblock and group descriptors: what a torn write of a dying disk leaves.
    write_data(trial, b"\xa5" * 8192)
    trial.box.power_on()
    trial.box.wait(r"data: damaged, repairing", 400)
    trial.healthy(400)
    count, verified = trial.stored()
    trial.box.cut_power()
    if not verified or not count:
        raise Stuck(f"{count} readings, chain {verified}")
    return f"repaired from the copies, {count} readings there, chain verifies"


def data_read_only(state):
    trial = started_copy(state, "read-only")
    # A new session could not be kept either: this one is from before. What is open for writing no mount command takes away; an
    # error of the file system does (`errors=remount-ro`).
    trial.connect_cable()
    trial.box.run("disk=$(awk '$2 == \"/data\" { print $1; exit }' /proc/mounts); echo 1 >/sys/fs/ext4/${disk#/dev/}/trigger_fs_error")
    trial.cable.say("heart_rate", "beat/min", [98] * 3)
    try:
        trial.cable.receipts(20)
        raise AssertionError("a receipt for what could not be written")
    except (Stuck, OSError):
        pass
    answer = trial.box.run("/usr/lib/pitchside/healthy; echo $?", check=False).split()[-1]
    trial.box.cut_power()
    if answer == "0":
        raise Stuck("the health check is content")
    return "no receipt, and the health check says why"


def data_missing(state):
    trial = stopped_copy(state, "missing")
    trial.box.power_on()
    trial.healthy(400)
    trial.box.run("sfdisk --version >/dev/null 2>&1; sync; systemctl --no-block poweroff", check=False)
    stopped(trial)
    tool("sh", "-ec", f"qemu-img convert -O raw {trial.box.disk} {trial.box.folder}/raw.img && sfdisk -q --delete {trial.box.folder}/raw.img 5 "
                      f"&& qemu-img convert -O qcow2 {trial.box.folder}/raw.img {trial.box.disk}; rm {trial.box.folder}/raw.img".replace(str(OUT), "/out"))
    trial.box.skip_console()
    trial.box.power_on()
    trial.box.wait(r"NOT WORKING: the data partition is missing", 400)
    trial.box.cut_power()
    return "said on the screen; no reading is taken into memory instead"


def clock_at_1970(state):
    """The image's own date is the floor; that the clock is right is said once a server answers for it, and no longer than chrony runs."""
    trial = stopped_copy(state, "1970")
    trial.box.power_on("-rtc", "base=1970-01-01T00:00:00")
    trial.healthy(400)
    now, uptime, epoch = map(int, trial.box.run("date +%s; cut -d. -f1 /proc/uptime; stat -c %Y /usr/lib/clock-epoch").split())
    if now - uptime < epoch - 600:
        raise Stuck(f"the box began at {now - uptime}, its image is of {epoch}")
    flag = "/run/pitchside-clock/synchronised"
    if trial.box.run(f"stat -c '%U %a' /run/pitchside-clock; ls {flag} 2>/dev/null; true").split() != ["root", "755"]:
        raise Stuck("said to be right before anybody answered for it")
    trial.connect_cable()
    trial.cable.say("heart_rate", "beat/min", [101] * 3)
    trial.cable.receipts()
    _, verified = trial.stored()
    # Nobody has set the clock: what is sealed now must say so. Blocks from before the copy was made are of another clock.
    as_pitchside = "setpriv --reuid=pitchside --regid=pitchside --init-groups"
    trial.box.run(f"until {as_pitchside} pitchside blocks list --last 1 | grep -qw unset; do sleep 2; done", 200)
    time_servers.start_one(trial.box)
    servers = time_servers.named_by_network_or_stick(trial)
    trial.box.run(f"until [ -e {flag} ]; do sleep 1; done", 120)
    said = trial.box.run(f"setpriv --reuid=pitchside --regid=pitchside --init-groups stat -c '%U %a' {flag}").split()
    trial.box.run(f"systemctl stop chrony; while [ -e {flag} ]; do sleep 1; done", 120)
    trial.box.cut_power()
    if said != ["root", "644"] or not verified:
        raise Stuck(f"the word for a right clock is {said}, chain {verified}")
    return ("begins at the image's own date, readings taken, blocks say that nobody set the clock, chain verifies; said to be right only while "
            f"chrony answers for it; {servers}")


def write_data(trial, content):
    """Writes over the beginning of the data partition of a box that is off."""
    garbage = trial.box.folder / "garbage"
    garbage.write_bytes(content)
    offset = (1 + 2 * 96 + 2 * 256) << 20
    tool("qemu-io", "-f", "qcow2", "-c", f"write -s {garbage} {offset} {len(content)}".replace(str(OUT), "/out"), trial.box.disk)


def a_slow_stick_is_given_up(state):
    trial = started_copy(state, "slow")
    versions.next_version()
    trial.box.plug_stick({"code.txt": trial.code.encode(), "update.raucb": versions.bundle(versions.NEXT)}, bytes_a_second=200_000)
    trial.box.wait(r"stick: update refused: the stick did not give it", 400)
    trial.box.wait(r"stick: done", 60)
    left = trial.box.run("ls /data")
    trial.box.cut_power()
    if "update.raucb" in left:
        raise Stuck("the part that was read is still there")
    return "given up after three minutes, nothing kept of it"


def a_stick_called_like_the_slots_gets_nothing(state):
    """A stick whose partitions have the names of the box's own: plugged in while it runs, and there when it starts."""
    trial = started_copy(state, "imposter")
    names = ("boot-a", "boot-b", "root-a", "root-b", "data")
    stick = trial.box.folder / "imposter.img"
    with open(stick, "wb") as image:
        image.truncate(64 << 20)
    table = "label: gpt\\n" + "".join(f"size=8MiB, name={name}\\n" for name in names)
    tool("sh", "-ec", f"printf '{table}' | sfdisk -q {stick}".replace(str(OUT), "/out"))
    look = ("cat /run/pitchside/disk /proc/sys/kernel/hostname; for name in " + " ".join(names) +
            "; do readlink -f /dev/disk/pitchside/$name; done; findmnt -n -o SOURCE /data")
    before = trial.box.run(look).split()
    trial.box.plug_disk(stick)
    trial.box.run("until grep -qsx PARTNAME=data /sys/class/block/sd*/uevent; do sleep 1; done; udevadm settle", 120)
    beside = trial.box.run(look).split()
    install = "RAUC_META_PITCHSIDE_COUNTER=999999999 /usr/lib/pitchside/may-install"
    trial.box.run(install)
    # Not even where the names were bent.
    bent = trial.box.run(f"ln -sfn /dev/sda4 /dev/disk/pitchside/root-b; {install}; echo $?", check=False)
    trial.box.run("systemctl --no-block reboot", check=False)
    trial.healthy(400)
    after = trial.box.run(look).split()
    trial.box.cut_power()
    if not before == beside == after or len(before) != 8 or not all(device.startswith(f"/dev/{before[0]}") for device in before[2:]):
        raise Stuck(f"{before}, with the stick {beside}, started with it {after}")
    if "root-b is not on the disk" not in bent or bent.split()[-1] != "1":
        raise Stuck(f"a slot on the stick: {bent}")
    return f"names and data stay on {before[0]}, also over a start with the stick; a slot that leads to the stick is refused"


def a_confirmed_slot_that_rots_gives_way(state):
    trial = started_copy(state, "rot")
    slot = trial.box.run("/usr/lib/pitchside/slots get-current").strip()
    other = "B" if slot == "A" else "A"
    # Both slots are sound: the update before ended with the other one broken on purpose.
    said = trial.stick({"update.raucb": versions.bundle(trial.version())}, 600)("result.txt")
    if "update installed" not in said:
        raise Stuck(said)
    if trial.healthy(400) != other:
        raise Stuck("the update of the other slot did not boot")
    slot, other = other, slot
    # Behind the back of everything: blocks the kernel has not kept, in the middle of the root.
    trial.box.run(f"dd if=/dev/urandom of=/dev/disk/pitchside/root-{slot.lower()} bs=4096 count=2000 seek=200 conv=fsync,notrunc "
                  "oflag=direct; sync; systemctl --no-block reboot", check=False)
    began = len(trial.box.console())
    back = trial.healthy(900)
    tries = trial.box.console()[began:].count(f"slot {slot} (confirmed: yes)")
    trial.box.cut_power()
    if back != other:
        raise Stuck(f"slot {back}")
    return f"after {tries} failed starts of {slot}, slot {other} came up by itself"


def a_stick_carries_a_box_to_another_one(state):
    clinic = running(state)
    clinic.cable.unlink()
    # The key of the first stick is lost: one that is made now opens what is backed up from now on.
    said = clinic.stick({"orders.txt": b"recovery-key\n", "backup.txt": b""})("result.txt")
    if f"recovery-{clinic.name}.txt holds the key" not in said:
        raise Stuck(said)
    clinic.recovery = clinic.box.on_stick(f"recovery-{clinic.name}.txt")
    made = re.search(r"backup (\S+\.backup):", said)
    if not made:
        raise Stuck(said)
    backup = clinic.box.on_stick(made[1])
    if "every page is sound" not in clinic.box.on_stick("doctor.txt").decode():
        raise Stuck("the doctor's findings are not on the stick")
    other = Clinic("restored")
    other.box.power_on()
    other.read_screen()
    other.healthy()
    try:
        flipped = bytearray(backup)
        flipped[len(backup) // 2] ^= 1
        said = other.stick({"restore.backup": bytes(flipped), "restore.key": clinic.recovery})("result.txt")
        if "not restored" not in said:
            raise Stuck(f"a changed backup: {said}")
        read = other.stick({"restore.backup": backup, "restore.key": clinic.recovery})
        if "restored: " not in read("result.txt"):
            raise Stuck(read("result.txt"))
        # Whoever spoke last may be connected still.
        clinic.cable.unlink(); clinic.radio.unlink()
        other.authority, other.password, other.cable = read("ca.pem"), clinic.password, copy.deepcopy(clinic.cable)
        other.name, other.radio = clinic.name, copy.deepcopy(clinic.radio)
        if other.authority != clinic.authority:
            raise Stuck("another authority: clients would have to trust the box anew")
        said = other.stick({"restore.backup": backup, "restore.key": clinic.recovery})("result.txt")
        if "not restored: this backup was restored here before" not in said:
            raise Stuck(f"the same backup once more: {said}")
        other.connect_cable()
        other.cable.say("heart_rate", "beat/min", [64, 65])
        other.cable.receipts()
        count, verified = other.stored()
        # By the name, and its certificate, that the sensor was set to.
        other.connect_mqtt()
        called = other.box.run("cat /proc/sys/kernel/hostname").strip()
        if called != clinic.name or clinic.name not in other.box.run("cat /data/box/settings-1-appliance.toml"):
            raise Stuck(f"the machine is called {called}: sensors look for {clinic.name}")
        if other.box.run("cat /data/box/settings-2-clinic.toml").strip() != SETTINGS.decode().strip():
            raise Stuck("the clinic's settings did not come back as the clinic's")
        other.box.cut_power()
        other.box.skip_console()
        other.box.power_on()
        other.healthy()
        if other.box.run("cat /proc/sys/kernel/hostname").strip() != clinic.name:
            raise Stuck("the name is lost with the next start")
        left = other.box.run("ls -A /data/restore 2>&1 || true").strip()
    finally:
        other.box.cut_power()
    if count != 2 or not verified or "No such file" not in left:
        raise Stuck(f"{count} readings, chain verifies: {verified}, left behind: {left}")
    return f"a backup of {len(backup)} bytes; changed: refused; whole: the straps are known there and find it by its name, readings are sealed, nothing is left behind"


def a_release_of_the_ledger_updates_the_box(state):
    """From two signers and a publisher through a ledger into the other slot; the box is brought to that ledger by its stick."""
    versions.later()
    ledger = Ledger()
    try:
        publisher = Publisher(ledger)
        trial = stopped_copy(state, "ledger")
        (OUT / "test/relay.py").write_bytes((REPO / "tests/image/relay.py").read_bytes())
        trial.box.doors = "".join(f",guestfwd=tcp:10.0.2.{end}:{door}-cmd:python3 /out/test/relay.py {port}"
                                  for end, door, port in ((101, 7001, ledger.ingest), (102, 7002, ledger.http)))
        trial.box.power_on()
        slot = trial.healthy(400)
        settings = (f'{SETTINGS.decode()}[ledger]\naddress = "10.0.2.101:7001"\npublic_key = "{ledger.channel}"\npolicy = "/data/box/ledger.policy"\n'
                    '[firmware]\nrelease_policy = "/data/box/release.policy"\nledger_store = "10.0.2.102:7002"\nledger_store_wait_s_max = 0\n')
        read = trial.stick({"settings.toml": settings.encode(), "ledger.policy": (ledger.home / "policy").read_bytes(),
                            "release.policy": publisher.policy.read_bytes(),
                            "ledger.txt": b""})
        if "settings taken" not in read("result.txt"):
            raise Stuck(read("result.txt"))
        given = ledger.dir / "box"
        given.mkdir()
        for name in ("ledger-enrolment.toml", "ledger.psk"):
            (given / name).write_bytes(trial.box.on_stick(f"ledger/{name}"))
            (given / name).chmod(0o600)
        ledger.do("enrol-gateway", given / "ledger-enrolment.toml")
        publisher.publish_for_boxes(versions.bundle(versions.LATER), versions.LATER, (REPO / "images/security-counter").read_text().strip())
        started = time.monotonic()
        # Nothing is installed until nothing was measured of an athlete for ten minutes.
        trial.box.wait(r"update: installed, restarting into it", 1200)
        handed = time.monotonic() - started
        now = trial.healthy(400)
        if (now, trial.version()) == (slot, versions.LATER) or trial.version() != versions.LATER:
            raise Stuck(f"{trial.version()} in {now}, was in {slot}")
        said = trial.box.run("setpriv --reuid=pitchside --regid=pitchside --init-groups pitchside doctor | grep 'box update' || true", 120)
        if versions.LATER not in said or "not installed" in said:
            raise Stuck(f"the doctor says {said!r}")
        trial.box.cut_power()
        return f"published, fetched by hash, installed {handed:.0f} s after its rollout, runs in slot {now}"
    finally:
        ledger.close()


# What is tried on a copy of the clinic's box, or on a box of its own: several at a time. The longest first.
APART = [power_cuts_in_the_first_start, power_cuts_in_a_factory_reset, a_release_of_the_ledger_updates_the_box, a_confirmed_slot_that_rots_gives_way,
         a_slow_stick_is_given_up, a_stick_called_like_the_slots_gets_nothing, data_full, data_read_only, data_damaged_a_little, data_corrupt, data_missing, clock_at_1970]
TROUBLE = [a_stick_carries_a_box_to_another_one, *APART]
