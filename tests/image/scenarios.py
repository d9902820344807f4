"""What is tried with one clinic, from the first start on. Each function is a sentence; it returns what came out, or raises."""

import hashlib
import random
import re
import ssl
import time

import versions
from lab import Clinic, copied, stopped
from vm import Stuck


def the_same_inputs_build_the_same_bytes():
    versions.base()
    first = versions.fingerprints(versions.BASE)
    versions.build(versions.BASE)
    second = versions.fingerprints(versions.BASE)
    different = [name for name in first if first[name] != second.get(name)]
    if different or first.keys() != second.keys():
        raise Stuck(f"differ: {different}")
    return f"{len(first)} files alike, bundle's contents among them"


# --- One clinic, from the first start on ------------------------------------------------------------------------------------

def first_start_and_claim(state):
    versions.base()
    clinic = state["clinic"] = Clinic("clinic")
    clinic.box.power_on()
    clinic.read_screen()
    if clinic.healthy() != "A":
        raise Stuck("the first slot is A")
    confirmed = clinic.box.uptime()
    clinic.claim()
    if hashlib.sha256(ssl.PEM_cert_to_DER_cert(clinic.authority)).hexdigest() != clinic.sum:
        raise Stuck("the authority on the stick is not the one on the screen")
    health = clinic.browser().get("health")
    if not health["ok"]:
        raise Stuck(f"the page says: {health}")
    return f"{clinic.name} healthy after {confirmed:.0f} s, claimed from screen and stick, signed in"


def the_shut_doors(state):
    box = state["clinic"].box
    open_ports = box.run("ss -Htuln | awk '{print $1, $5}' | grep -v '127\\.\\|\\[::1\\]' | sed 's/ .*:/ /' | sort -u")
    beyond = [line for line in open_ports.split("\n") if line and line not in ("tcp 8443", "tcp 8883", "udp 5353", "udp 68", "udp 546")]
    exposure = box.run("systemd-analyze security --no-pager pitchside.service | tail -n1")
    figure = float(re.search(r": ([\d.]+)", exposure)[1])
    shells = box.run("systemctl list-units --no-legend --state=active 'getty*' 'serial-getty*' 'console-getty*' | wc -l; "
                     "cut -d: -f2 /etc/shadow | grep -vc '^!' ; touch /usr/x 2>/dev/null && echo writable; nft list ruleset | grep -c 'policy drop'", check=False).split()
    if beyond or figure >= 2.0 or shells != ["0", "0", "2"]:
        raise Stuck(f"listens on {beyond}, exposure {figure}, {shells}")
    return f"listens on 8443, 8883, mDNS only; exposure {figure}; no login; root read-only"


def readings_over_cable_and_mqtt(state):
    clinic = state["clinic"]
    clinic.connect_cable()
    clinic.connect_mqtt()
    clinic.cable.say("heart_rate", "beat/min", [205] * 14)
    clinic.radio.say("heart_rate", "beat/min", [70, 71, 72])
    clinic.cable.receipts()
    clinic.radio.receipts()
    browser = clinic.browser()
    alerts = browser.wait("alerts", lambda found: any(a["rule"] == "heart-rate-ceiling" for a in listed(found, "alerts")))
    alert = next(a for a in listed(alerts, "alerts") if a["rule"] == "heart-rate-ceiling")
    blocks = browser.wait("blocks", lambda found: sum(b["readings"] for b in listed(found, "blocks")) >= 17)
    count, verified = clinic.stored()
    if not verified:
        raise Stuck("the chain does not verify")
    return f"receipts on both, {alert['priority']} alert for {alert['athlete']}, {len(listed(blocks, 'blocks'))} block(s), chain verifies"


def listed(answer, name):
    return answer[name] if isinstance(answer, dict) and name in answer else answer


def power_on_to_first_sealed_reading(state):
    clinic = state["clinic"]
    clinic.cable.unlink(); clinic.radio.unlink()
    clinic.box.cut_power()
    clinic.box.power_on()
    clinic.connect_cable(300)
    clinic.cable.say("heart_rate", "beat/min", [120] * 14)
    clinic.cable.receipts()
    stored = clinic.box.uptime()
    browser = clinic.browser()
    clinic.healthy()
    started = browser.get("live")["status"]["started_at"]
    browser.wait("blocks", lambda found: any(b["sealed_at"] >= started for b in listed(found, "blocks")))
    sealed = clinic.box.uptime()
    own = clinic.box.run("systemctl show pitchside.service -P InactiveExitTimestampMonotonic -P ActiveEnterTimestampMonotonic").split()
    own_s = (int(own[1]) - int(own[0])) / 1e6
    return f"receipt after {stored:.0f} s, sealed after {sealed:.0f} s (a block stays open for a minute), of it our own start {own_s:.1f} s"


def update(state, image, clinic=None):
    clinic = clinic or state["clinic"]
    read = clinic.stick({"update.raucb": image}, 600)
    return read("result.txt")


def a_signed_update_boots(state):
    versions.next_version()
    clinic = state["clinic"]
    before, _ = clinic.stored()
    started = time.monotonic()
    said = update(state, versions.bundle(versions.NEXT))
    if "update installed" not in said:
        raise Stuck(said)
    installed = time.monotonic() - started
    slot = clinic.healthy(400)
    if (slot, clinic.version()) != ("B", versions.NEXT):
        raise Stuck(f"{clinic.version()} in {slot}")
    after, verified = clinic.stored()
    if after < before or not verified:
        raise Stuck(f"{before} readings before, {after} after, chain {verified}")
    return f"installed in {installed:.0f} s, healthy in slot B after {time.monotonic() - started:.0f} s, all readings there"


def an_unhealthy_update_goes_back(state):
    versions.unhealthy()
    clinic = state["clinic"]
    slot = clinic.box.run("/usr/lib/pitchside/slots get-current").strip()
    started = time.monotonic()
    if "update installed" not in update(state, versions.bundle(versions.UNHEALTHY)):
        raise Stuck("not installed")
    clinic.box.wait(r"is not healthy, back to the old one", 600)
    back = clinic.healthy(400)
    if back != slot or clinic.version() == versions.UNHEALTHY:
        raise Stuck(f"{clinic.version()} in {back}")
    return f"tried once, back in slot {back} after {time.monotonic() - started:.0f} s"


def an_update_whose_root_does_not_match_goes_back(state):
    clinic = state["clinic"]
    slot = clinic.box.run("/usr/lib/pitchside/slots get-current").strip()
    started = time.monotonic()
    if "update installed" not in update(state, versions.rotten()):
        raise Stuck("not installed")
    clinic.box.wait(r"does not match|corrupt|Kernel panic|does not mount", 400)
    back = clinic.healthy(400)
    if back != slot:
        raise Stuck(f"slot {back}")
    return f"never handed over, back in slot {back} after {time.monotonic() - started:.0f} s"


def bad_updates_are_refused(state):
    clinic, refused = state["clinic"], []

    def flip(content):
        content[len(content) // 3] ^= 1

    for name, image in (("wrong signature", versions.strange()), ("one bit flipped", versions.changed("flipped", flip)),
                        ("truncated", versions.changed("truncated", lambda content: content[: len(content) // 2])),
                        ("no bundle at all", versions.changed("noise", lambda content: random.Random(1).randbytes(1 << 20)))):
        said = update(state, image)
        if "update refused" not in said:
            raise Stuck(f"{name}: {said}")
        refused.append(name)
    if clinic.box.run("/usr/lib/pitchside/slots get-first; /usr/lib/pitchside/slots get-current").split()[0] != clinic.box.run(
            "/usr/lib/pitchside/slots get-current").strip():
        raise Stuck("the order of the slots changed")
    return "refused: " + ", ".join(refused)


def a_stick_without_the_code_does_nothing(state):
    clinic = state["clinic"]
    clinic.box.plug_stick({"code.txt": b"aaaaa-bbbbb-ccccc-ddddd", "factory-reset.txt": b"", "orders.txt": b"enrol evil p0\n"})
    clinic.box.wait(r"stick: code.txt does not", 120)
    time.sleep(5)
    read = clinic.box.pull_stick()
    if "nothing was done" not in read("result.txt"):
        raise Stuck(read("result.txt"))
    return "refused, and says so on screen and stick"


def a_confirmed_slot_that_rots_gives_way(state):
    clinic = state["clinic"]
    clinic.box.run("sync; systemctl --no-block poweroff")
    stopped(clinic)
    broken = copied(clinic, "rot")
    broken.box.power_on()
    slot = broken.healthy(400)
    other = "B" if slot == "A" else "A"
    # Behind the back of everything: a block the kernel has not read yet, in the middle of the root.
    broken.box.run(f"dd if=/dev/urandom of=/dev/disk/by-partlabel/root-{slot.lower()} bs=4096 count=2000 seek=200 conv=fsync,notrunc oflag=direct; sync; systemctl --no-block reboot")
    back = broken.healthy(900)
    tries = broken.box.console().count(f"slot {slot} (confirmed: yes)")
    broken.box.cut_power()
    if back != other:
        raise Stuck(f"slot {back}")
    return f"after {tries - 1} failed starts of {slot}, slot {other} came up by itself"


QUICK = [first_start_and_claim, the_shut_doors, readings_over_cable_and_mqtt, power_on_to_first_sealed_reading, a_signed_update_boots,
         an_unhealthy_update_goes_back]
UPDATES = [bad_updates_are_refused, an_update_whose_root_does_not_match_goes_back, a_stick_without_the_code_does_nothing,
           a_confirmed_slot_that_rots_gives_way]
