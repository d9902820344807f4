"""What is tried with one clinic, from the first start on. Each function is a sentence; it returns what came out, or raises."""

import hashlib
import json
import random
import re
import shutil
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import bill
import versions
from cuts import Camera
from lab import Clinic, copied, running, started_copy, stopped_copy
from vm import LANES, OUT, REPO, Stuck


def the_same_inputs_build_the_same_bytes(_state):
    versions.base()
    first = versions.fingerprints(versions.BASE)
    versions.build(versions.BASE)
    second = versions.fingerprints(versions.BASE)
    different = [name for name in first if first[name] != second.get(name)]
    if different or first.keys() != second.keys():
        raise Stuck(f"differ: {different}")
    return f"{len(first)} files alike, bundle's contents among them"


def the_bill_of_materials_names_everything(_state):
    """Everything that is in root and initrd, and nothing that only tests or builds use."""
    folder = versions.folder(versions.BASE)
    with open(folder / "sbom.cdx.json", encoding="utf-8") as file:
        bom = json.load(file)
    named = {(part["name"], part["version"]) for part in bom["components"]}
    names = {name for name, _ in named}
    listed = {tuple(line.split()) for line in (folder / "packages.txt").read_text(encoding="utf-8").splitlines()}
    owners, strange = bill.packages(versions.BASE)
    emptied = bill.emptied(versions.BASE)
    built_from = bill.crates(versions.BASE)
    expected = {package for package in listed if package[0] not in emptied} | built_from
    if missing := sorted(expected - named) + sorted((owners | {"systemd-boot-efi"}) - names):
        raise Stuck(f"not in it: {missing}")
    if strange:
        raise Stuck(f"files that nobody accounts for: {strange}")
    if "busybox-static" not in owners or len(built_from) < 50:
        raise Stuck(f"read too little off the image: {len(owners)} packages, {len(built_from)} crates")
    if superfluous := names & (emptied | {"bash", "dpkg", "passwd", "perl-base", "pitchside-tests", "proptest", "ledgerd", "qemu-system-x86"}):
        raise Stuck(f"not in the image: {sorted(superfluous)}")
    kernel = [part["purl"] for part in bom["components"] if part["name"].startswith("linux-image-")]
    if len(kernel) != 1 or f"arch={versions.BOARD}&" not in kernel[0] or "+" in kernel[0]:
        raise Stuck(f"the kernel is {kernel}")
    program = hashlib.sha256((folder / "tree/usr/bin/pitchside").read_bytes()).hexdigest()
    if not any(part["name"] == "pitchside" and known["content"] == program for part in bom["components"] for known in part.get("hashes", [])):
        raise Stuck("another program's SHA-256, or none")
    if (bom["bomFormat"], bom["specVersion"]) != ("CycloneDX", "1.6") or any(not part.get("purl") for part in bom["components"]):
        raise Stuck("not CycloneDX 1.6, or a component without a package URL")
    return (f"CycloneDX {bom['specVersion']}, {len(bom['components'])} components; {len(owners)} packages that files are from and {len(built_from)} "
            "crates that the program names are among them")


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
    # A box without a ledger is told so; nothing else is wrong with one that is new.
    findings = [line.split() for line in clinic.box.on_stick("doctor.txt").decode().splitlines()]
    sick = [" ".join(words) for words in findings if words[:1] == ["!!"] and words[1] != "ledger"]
    if sick or ["ok", "boot", "slots"] not in [words[:3] for words in findings]:
        raise Stuck(f"the doctor of a new box says: {sick}")
    health = clinic.browser().get("health")
    if not health["ok"]:
        raise Stuck(f"the page says: {health}")
    role = clinic.browser_of_a_colleague().get("me")["role"]
    if role != "clinician":
        raise Stuck(f"dora is a {role}")
    clinic.publish()
    clinic.keeps_its_rule()
    trusted = int(clinic.box.run("grep -c 'BEGIN CERTIFICATE' /etc/ssl/certs/ca-certificates.crt"))
    if trusted < 100:
        raise Stuck(f"outputs trust {trusted} authorities")
    return (f"{clinic.name} healthy after {confirmed:.0f} s, claimed from screen and stick, signed in; an output and a colleague set up, a rule "
            f"published by stick; {trusted} authorities")


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
    rules = box.run("nft list ruleset")
    if not 0 < rules.find("nd-neighbor-solicit") < rules.find("limit rate"):
        raise Stuck(f"a flood of pings can use up IPv6's neighbours: {rules}")
    # What the kernel asks is the port's own value, for IPv4 or that of `all`.
    heeded = box.run("cd /proc/sys/net; grep -l 1 ipv4/conf/*/accept_redirects ipv4/conf/*/send_redirects ipv6/conf/*/accept_redirects; ls ipv6/conf").split()
    ports = [word for word in heeded if "/" not in word and word not in ("all", "default", "lo")]
    first = rules.find("accept")
    if len(heeded) != len(ports) + 3 or not ports or not all(0 < rules.find(f"{kind} drop") < first for kind in ("icmp type redirect", "nd-redirect")):
        raise Stuck(f"redirects are heeded: {heeded}, {rules}")
    # In its sandbox it still reaches chrony, or it would begin again and again.
    if (told := box.run("unit=pitchside-timeservers; systemctl is-active $unit; systemctl show $unit -P NRestarts", check=False).split()) != ["active", "0"]:
        raise Stuck(f"what tells chrony of time servers is {told}")
    bus = updates_are_roots_alone(box)
    failed = box.run("systemctl list-units --no-legend --plain --state=failed | awk '{print $1}'").split()
    start, size, disk, room = map(int, box.run("part=$(basename \"$(findmnt -nro SOURCE /data)\"); cd /sys/class/block; "
                                               "cat $part/start $part/size ${part%?}/size; findmnt -bnro SIZE /data").split())
    if failed or start + size < disk - 4096 or room < size * 512 * 8 // 10:
        why = box.run(f"journalctl -b -q -n 12 -o cat {' '.join('-u ' + unit for unit in failed)}", check=False)
        raise Stuck(f"failed: {failed}: {why}; data begins at sector {start}, has {size} of the disk's {disk}, and {room} bytes in it")
    return f"listens on 8443, 8883, mDNS only; exposure {figure}; no login; root read-only; redirects go unheeded; {bus}; no unit failed; data grew to {room >> 20} MiB"


def updates_are_roots_alone(box):
    """Who may ask RAUC for what over D-Bus: the gateway how the slots are, nobody but root anything else."""
    # Root first: it starts the service, and on a slow machine that takes a while.
    if "GetPrimary" not in box.run("busctl --system --timeout=60 introspect de.pengutronix.rauc / de.pengutronix.rauc.Installer", 90):
        raise Stuck("root is shut out, too")
    call = "busctl --system call de.pengutronix.rauc / de.pengutronix.rauc.Installer"
    asked = [("pitchside", f"{call} InstallBundle 'sa{{sv}}' /data/update.raucb 0"), ("pitchside", f"{call} Install s /data/update.raucb"),
             ("pitchside", f"{call} Mark ss bad booted"), ("_chrony", f"{call} Mark ss bad booted"), ("_chrony", f"{call} GetSlotStatus")]
    for user, command in asked:
        said = box.run(f"setpriv --reuid={user} --regid={user} --init-groups {command}", check=False)
        if "Access denied" not in said:
            raise Stuck(f"{user} may {command}: {said}")
    status = json.loads(box.run("setpriv --reuid=pitchside --regid=pitchside --init-groups rauc status --detailed --output-format=json"))
    if [slot["state"] for named in status["slots"] for slot in named.values() if slot["bootname"]].count("booted") != 1:
        raise Stuck(f"the gateway reads of the slots: {status}")
    return "updates are root's alone"


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
    return (f"receipt after {stored:.0f} s, sealed after {sealed:.0f} s (a block stays open for a minute), of it our own start {own_s:.1f} s, "
            f"{own_s / stored:.0%} of the way to the receipt")


def update(clinic, image):
    """Brings an update on a stick; what the box wrote there."""
    return clinic.stick({"update.raucb": image}, 600)("result.txt")


def a_signed_update_boots(state):
    """Also keeps what a power cut would have left at each of twenty points: see the next."""
    versions.next_version()
    clinic = state["clinic"]
    clinic.cable.unlink(); clinic.radio.unlink()
    state["readings"], _ = clinic.stored()
    written = versions.bundle(versions.NEXT).stat().st_size + sum((versions.folder(versions.NEXT) / name).stat().st_size for name in ("root.img", "uki.efi"))
    camera = Camera(clinic.box, written)
    started = time.monotonic()
    try:
        said = update(clinic, versions.bundle(versions.NEXT))
        if "update installed" not in said:
            raise Stuck(said)
        installed = time.monotonic() - started
        slot = clinic.healthy(400)
    finally:
        state["cuts"] = camera.cuts
        camera.done.set()
    cuts = camera.finish()
    if sum(cut.early for cut in cuts) < 10:
        raise Stuck(f"only {sum(cut.early for cut in cuts)} of the points lie before the end of the installation")
    if (slot, clinic.version()) != ("B", versions.NEXT):
        raise Stuck(f"{clinic.version()} in {slot}")
    after, verified = clinic.stored()
    if after < state["readings"] or not verified:
        raise Stuck(f"{state['readings']} readings before, {after} after, chain {verified}")
    clinic.keeps_its_rule()
    return (f"installed in {installed:.0f} s, healthy in slot B after {time.monotonic() - started:.0f} s (held {camera.held_s:.0f} s of it for the "
            "copies), all readings there")


def power_cuts_at_twenty_points_of_that_update(state):
    clinic, cuts = state["clinic"], state.pop("cuts", [])
    if len(cuts) != 20:
        raise Stuck(f"the update before left {len(cuts)} points, not 20")

    def start_after(cut):
        trial = copied(clinic, f"cut-{cut.number:02}", cut.disk, cut.variables)
        try:
            trial.box.power_on()
            slot = trial.healthy(400)
            count, verified = trial.stored()
            version = trial.version()
            if count < state["readings"] or not verified:
                raise Stuck(f"cut {cut.number} ({cut.words}): {count} of {state['readings']} readings, chain {verified}")
            # Until all is written (the last two points may lie behind that) the old version is the only one; from its confirmation on, the new.
            if (version, slot) not in {(versions.BASE, "A"), (versions.NEXT, "B")} or (cut.early and cut.number < 10 and version != versions.BASE) or (
                    cut.number == 19 and version != versions.NEXT):
                raise Stuck(f"cut {cut.number} ({cut.words}): {version} in {slot}")
            if cut.number == 6 and "update installed" not in update(trial, versions.bundle(versions.NEXT)):
                raise Stuck("the update cut short is not taken the second time")
        finally:
            trial.box.cut_power()
        # What failed stays, to be looked at.
        shutil.rmtree(cut.folder)
        return version

    with ThreadPoolExecutor(max_workers=LANES) as lanes:
        came_back = list(lanes.map(start_after, cuts))
    told = ", ".join(f"{came_back.count(version)} as {version}" for version in sorted(set(came_back)))
    return f"came back {told}; each healthy, with every reading and a chain that verifies; the update goes in again after a cut"


def an_unhealthy_update_goes_back(state):
    versions.unhealthy()
    clinic = running(state)
    slot = clinic.box.run("/usr/lib/pitchside/slots get-current").strip()
    started = time.monotonic()
    if "update installed" not in update(clinic, versions.bundle(versions.UNHEALTHY)):
        raise Stuck("not installed")
    clinic.box.wait(r"is not healthy, back to the old one", 600)
    back = clinic.healthy(400)
    if back != slot or clinic.version() == versions.UNHEALTHY:
        raise Stuck(f"{clinic.version()} in {back}")
    return f"tried once, back in slot {back} after {time.monotonic() - started:.0f} s"


def an_update_whose_root_does_not_match_goes_back(state):
    clinic = running(state)
    slot = clinic.box.run("/usr/lib/pitchside/slots get-current").strip()
    started = time.monotonic()
    if "update installed" not in update(clinic, versions.rotten()):
        raise Stuck("not installed")
    clinic.box.wait(r"does not match|corrupt|Kernel panic|does not mount", 400)
    back = clinic.healthy(400)
    if back != slot:
        raise Stuck(f"slot {back}")
    return f"never handed over, back in slot {back} after {time.monotonic() - started:.0f} s"


def bad_updates_are_refused(state):
    clinic, refused = running(state), []

    def flip(content, at):
        content[at] ^= 1

    def swap(content, at):
        there = at + (1 << 20)
        content[at:at + 4096], content[there:there + 4096] = content[there:there + 4096], content[at:at + 4096]

    for name, image in (("wrong signature", versions.strange()), ("one bit flipped", versions.unknown("flipped", flip)),
                        ("one bit of the signature flipped", versions.changed("signature", lambda content: flip(content, -600))),
                        ("two pieces swapped", versions.unknown("swapped", swap)),
                        ("lower security counter", versions.downgrade()),
                        ("truncated", versions.changed("truncated", lambda content: content[: len(content) // 2])),
                        ("endless", versions.endless()),
                        ("no bundle at all", versions.changed("noise", lambda content: random.Random(1).randbytes(1 << 20)))):
        said = update(clinic, image)
        if "update refused" not in said or ("security counter is" in said) != (name == "lower security counter"):
            raise Stuck(f"{name}: {said}")
        refused.append(name)
    if clinic.box.run("/usr/lib/pitchside/slots get-first; /usr/lib/pitchside/slots get-current").split()[0] != clinic.box.run(
            "/usr/lib/pitchside/slots get-current").strip():
        raise Stuck("the order of the slots changed")
    return "refused: " + ", ".join(refused)


def an_update_of_an_unchanged_image_fetches_a_few_blocks(state):
    """RAUC's adaptive update over HTTP: what the box has in its running slot it does not fetch."""
    version = running(state).version()
    image = versions.bundle(version)
    trial = stopped_copy(state, "adaptive")
    server, log = OUT / "test/serve.py", trial.box.folder / "served.log"
    shutil.copy(REPO / "tests/image/serve.py", server)
    log.write_text("")
    inside = lambda path: str(path).replace(str(OUT), "/out")
    trial.box.doors = f",guestfwd=tcp:10.0.2.100:80-cmd:python3 {inside(server)} {inside(image)} {inside(log)}"
    trial.box.power_on()
    trial.healthy(400)
    try:
        said = trial.box.run("rauc install http://10.0.2.100/update.raucb 2>&1", 400, check=False)
    finally:
        trial.box.cut_power()
    if "succeeded" not in said:
        raise Stuck(said[-600:])
    pieces = [int(line) for line in log.read_text().split()]
    fetched, whole = sum(pieces), image.stat().st_size
    # Read in any case: 32 bytes of hash for every 4 KiB, of both images (RAUC's index) and of the bundle (its own tree). The rest are blocks.
    images = sum((versions.folder(version) / name).stat().st_size for name in ("root.img", "boot.vfat"))
    hashes = (images + whole) // 128
    if fetched > hashes + (1 << 20):
        raise Stuck(f"{fetched} bytes of {whole} fetched, {hashes} of them hashes")
    return f"{fetched / 1e3:.0f} kB of {whole / 1e6:.1f} MB fetched, in {len(pieces)} requests; up to {hashes / 1e3:.0f} kB are hashes that say what is here already"


def an_update_the_gateway_asks_for_goes_in(state):
    """What the gateway lays out for a release of the ledger, laid out by hand: a bundle, then a request."""
    trial = started_copy(state, "asked")
    folder = "/data/box/data/update"
    as_pitchside = "setpriv --reuid=pitchside --regid=pitchside --init-groups"

    def ask(image, sha256):
        lines = ("release r1", f"version {trial.version()}", f"size {image.stat().st_size}", f"sha256 {sha256}")
        words = "".join(f" '{line}'" for line in lines)
        trial.box.run(f"cd {folder} && printf '%s\\n'{words} >/run/request && install -o pitchside -g pitchside /run/request request.new && mv request.new request")

    try:
        image = versions.bundle(trial.version())
        slot = trial.box.run("/usr/lib/pitchside/slots get-current").strip()
        trial.box.plug_stick({"code.txt": b"aaaaa-bbbbb-ccccc-ddddd", "bundle": image})
        trial.box.wait(r"stick: code.txt does not", 120)
        # As soon as the box has let go of the stick.
        trial.box.run(f"mkdir -p /run/bundle; until mount -o ro /dev/disk/by-label/PITCHSIDE /run/bundle 2>/dev/null; do sleep 0.5; done; "
                      f"{as_pitchside} mkdir -p {folder} && install -o pitchside -g pitchside /run/bundle/bundle {folder}/bundle.raucb && umount /run/bundle", 300)
        trial.box.pull_stick()
        ask(image, "0" * 64)
        trial.box.wait(r"update: not now: the bundle has another SHA-256", 200)
        left = trial.box.run(f"cat {folder}/result; ls {folder}; ls /data")
        if "not now: the bundle has another SHA-256" not in left or "taken" in left or "update.raucb" in left:
            raise Stuck(left)
        ask(image, hashlib.sha256(image.read_bytes()).hexdigest())
        # This gateway knows of no release, so it does not answer whether somebody trains; it is answered for it.
        trial.box.run(f"(while sleep 2; do {as_pitchside} sh -c 'echo go >{folder}/restart'; done) >/dev/null 2>&1 &")
        trial.box.wait(r"update: installed, restarting into it", 400)
        began = trial.healthy(400)
        left = trial.box.run(f"cat {folder}/result; ls {folder}; ls /data", check=False)
    finally:
        trial.box.cut_power()
    if began == slot or "taken" in left or "update.raucb" in left:
        raise Stuck(f"slot {slot}, then {began}; {left}")
    return f"another SHA-256: refused and told; the right one: installed by root, slot {slot} to {began}"


def a_stick_without_the_code_does_nothing(state):
    clinic = running(state)
    clinic.box.plug_stick({"code.txt": b"aaaaa-bbbbb-ccccc-ddddd", "factory-reset.txt": b"", "orders.txt": b"enrol evil p0\n"})
    clinic.box.wait(r"stick: code.txt does not", 120)
    time.sleep(5)
    read = clinic.box.pull_stick()
    if "nothing was done" not in read("result.txt"):
        raise Stuck(read("result.txt"))
    return "refused, and says so on screen and stick"


# What every run tries, in this order; the cuts last, as they need the processors for themselves.
ALWAYS = [first_start_and_claim, the_shut_doors, readings_over_cable_and_mqtt, power_on_to_first_sealed_reading, a_signed_update_boots,
          an_unhealthy_update_goes_back, an_update_whose_root_does_not_match_goes_back, bad_updates_are_refused,
          a_stick_without_the_code_does_nothing, an_update_the_gateway_asks_for_goes_in, an_update_of_an_unchanged_image_fetches_a_few_blocks,
          power_cuts_at_twenty_points_of_that_update]
