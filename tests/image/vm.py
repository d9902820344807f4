"""One box: QEMU with UEFI, Secure Boot with our own keys, a disk, a cable, a stick, a hardware watchdog.

Everything runs under emulation, so a box behaves as on a slow PC; nothing here needs KVM. The firmware's variables and the disk are
files of this box's own and outlive the power.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
OUT = REPO / "images/out"
TOOL = REPO / "images/tool"
# A stock slow machine of two cores; twice that when others compile beside us.
PATIENCE = float(os.environ.get("IMAGE_TEST_PATIENCE", "1"))
# Boxes on at a time, where each is one of its own.
LANES = int(os.environ.get("IMAGE_TEST_LANES", "2"))

# The tests' own window into a box that has no shell: a unit that the machine's owner (QEMU) hands in as a systemd credential.
# The image is the one that is shipped; on real hardware the kernel has no such channel.
PROBE_UNIT = """[Unit]
Description=Test probe
DefaultDependencies=no
After=sysinit.target
[Service]
ExecStart=/bin/sh
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
TTYReset=yes
Environment=PATH=/usr/bin:/usr/sbin TERM=dumb PS1= SYSTEMD_COLORS=0
Restart=always
KillSignal=SIGKILL
"""


# A unit that every start reaches and whose name is short enough for QEMU (55 characters with the credential's); as systemd's own,
# but it wants the probe.
CARRIER_UNIT = """[Unit]
DefaultDependencies=no
Conflicts=umount.target
Before=local-fs.target umount.target
After=swap.target
Wants=p.service
[Mount]
What=tmpfs
Where=/tmp
Type=tmpfs
Options=mode=1777,strictatime,nosuid,nodev,size=50%,nr_inodes=1m
"""


class Stuck(Exception):
    """The box did not do in time what was waited for."""


def tool(*words, **options):
    """A command among the image's tools; paths below images/out as /out."""
    words = [str(word).replace(str(OUT), "/out") for word in words]
    return subprocess.run([str(TOOL), *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Bytes that a box's disk has beyond the image written to it.
DISK_MORE = 192 << 20


class Box:
    """A box in a folder: disk and firmware variables, made new from an image or another box's disk, which stay as they are."""

    def __init__(self, folder, image, variables=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disk, self.variables = self.folder / "disk.qcow2", self.folder / "variables.fd"
        self.log = self.folder / "console.log"
        self.log.write_bytes(b"")
        self.seen = 0
        self.process = None
        self.page, self.mqtt = free_port(), free_port()
        # Further options of the network: none that lets the box out, unless a scenario needs one.
        self.doors = ""
        # A disk that takes a discard and keeps the bytes, and has no quick way to write zeros: cheap ones do.
        self.keeps_discarded = False
        # Grows only by what this box changes. A new box's disk is larger than the image, as disks are.
        kind, size = ("qcow2", []) if pathlib.Path(image).suffix == ".qcow2" else ("raw", [str(pathlib.Path(image).stat().st_size + DISK_MORE)])
        tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", image, self.disk, *size)
        self.variables.write_bytes((variables or firmware_variables()).read_bytes())

    # --- Power ---------------------------------------------------------------------------------------------------------

    def power_on(self, *extra):
        """Starts the machine; `extra` are further options of QEMU."""
        for name in ("cable", "probe", "qmp", "meter"):
            (self.folder / name).unlink(missing_ok=True)
        inside = lambda path: str(path).replace(str(OUT), "/out")
        (self.folder / "p.service").write_text(PROBE_UNIT)
        (self.folder / "tmp.mount").write_text(CARRIER_UNIT)
        credential = "name=opt/io.systemd.credentials/systemd."
        command = [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max", "-M", "q35,smm=on", "-m", "1024",
            "-display", "none", "-monitor", "none", "-nodefaults", "-no-user-config",
            "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
            "-drive", f"if=pflash,format=raw,unit=1,file={inside(self.variables)}",
            "-drive", f"id=disk,file={inside(self.disk)},format=qcow2,if=virtio,discard={'ignore' if self.keeps_discarded else 'unmap'}",
            "-global", f"driver=virtio-blk-device,property=write-zeroes,value={'off' if self.keeps_discarded else 'on'}",
            "-chardev", f"file,id=console,path={inside(self.log)},append=on", "-serial", "chardev:console",
            "-chardev", f"socket,id=probe,path={inside(self.folder)}/probe,server=on,wait=off", "-serial", "chardev:probe",
            "-qmp", f"unix:{inside(self.folder)}/qmp,server=on,wait=off", "-qmp", f"unix:{inside(self.folder)}/meter,server=on,wait=off",
            "-device", "qemu-xhci,id=usb",
            "-chardev", f"socket,id=cable,path={inside(self.folder)}/cable,server=on,wait=off",
            "-device", "usb-serial,chardev=cable,bus=usb.0,always-plugged=on",
            "-netdev", f"user,id=lan,restrict=on,hostfwd=tcp:127.0.0.1:{self.page}-:8443,hostfwd=tcp:127.0.0.1:{self.mqtt}-:8883{self.doors}",
            "-device", "virtio-net-pci,netdev=lan,romfile=",
            "-device", "i6300esb", "-action", "watchdog=reset",
            "-fw_cfg", f"{credential}extra-unit.p.service,file={inside(self.folder)}/p.service",
            "-fw_cfg", f"{credential}extra-unit.tmp.mount,file={inside(self.folder)}/tmp.mount",
            *(inside(word) for word in extra),
        ]
        self.started = time.monotonic()
        # A session of its own, so that the power can be cut as a whole.
        self.process = subprocess.Popen([str(TOOL), *command], stdin=subprocess.DEVNULL, start_new_session=True,
                                        stdout=open(self.folder / "qemu.log", "ab"), stderr=subprocess.STDOUT)
        self.probe_socket = None

    def cut_power(self):
        """No shutdown, no flush: whatever the guest had not given to its disk is gone."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def uptime(self):
        return time.monotonic() - self.started

    # --- What the screen says ------------------------------------------------------------------------------------------

    def console(self):
        return self.log.read_bytes().decode("utf-8", "replace").replace("\r", "")

    def skip_console(self):
        self.seen = len(self.console())

    def wait(self, pattern, seconds=150):
        """Waits for the console to say something new; returns the match and goes on behind it."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            text = self.console()
            found = re.search(pattern, text[self.seen:])
            if found:
                self.seen += found.end()
                return found
            if self.process and self.process.poll() is not None:
                raise Stuck(f"the machine ended while waiting for {pattern!r}: {text[-300:]}")
            if time.monotonic() > end:
                raise Stuck(f"no {pattern!r} on the console within {seconds * PATIENCE:.0f} s; last: {text[-600:]}")
            time.sleep(0.1)

    # --- The window ----------------------------------------------------------------------------------------------------

    def run(self, script, seconds=60, check=True):
        """Runs a script on the box as root; returns what it printed."""
        end = time.monotonic() + seconds * PATIENCE
        if self.probe_socket is None:
            self.probe_socket = socket.socket(socket.AF_UNIX)
            self.probe_socket.connect(str(self.folder / "probe"))
            self.probe_socket.settimeout(1)
        # The mark is sent in two halves: an echo of the command is not its end. Repeated while nobody listens yet.
        number = time.monotonic_ns()
        line = f"stty -echo; echo begin-''{number}; ( {script} ) </dev/null 2>&1; echo end-''{number} $?\n".encode()
        heard, sent = "", 0.0
        while True:
            if f"begin-{number}" not in heard and time.monotonic() - sent > 5:
                self.probe_socket.sendall(line)
                sent = time.monotonic()
            try:
                heard += self.probe_socket.recv(65536).decode("utf-8", "replace").replace("\r", "")
            except socket.timeout:
                pass
            found = re.search(rf"begin-{number}\n(.*?)end-{number} (\d+)\n", heard, re.DOTALL)
            if found:
                if check and found[2] != "0":
                    raise Stuck(f"{script!r} on the box ended with {found[2]}: {found[1][-600:]}")
                return found[1]
            if time.monotonic() > end:
                raise Stuck(f"{script!r} did not end within {seconds * PATIENCE:.0f} s; heard {heard[-400:]!r}")

    # --- The stick -----------------------------------------------------------------------------------------------------

    def qmp(self, *commands):
        import json
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.folder / "qmp"))
            control.settimeout(20)
            stream = control.makefile("rw")
            stream.readline()
            for command, arguments in (("qmp_capabilities", {}), *commands):
                stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                stream.flush()
                while True:
                    answer = json.loads(stream.readline())
                    if "error" in answer:
                        raise Stuck(f"{command}: {answer['error']}")
                    if "return" in answer:
                        break

    def plug_stick(self, files, bytes_a_second=None):
        """Plugs a stick in, a slow one if asked; `files` maps names to bytes or paths."""
        used = sum(content.stat().st_size if isinstance(content, pathlib.Path) else len(content) for content in files.values())
        size_mib = 64 + (used * 9 // 8 >> 20)
        stick = self.folder / "stick.img"
        stick.unlink(missing_ok=True)
        with open(stick, "wb") as image:
            image.truncate(size_mib << 20)
        tool("mkfs.vfat", "-n", "PITCHSIDE", stick)
        for folder in sorted({str(above) for name in files for above in pathlib.PurePosixPath(name).parents} - {"."}):
            tool("mmd", "-i", stick, f"::{folder}")
        for name, content in files.items():
            source = content if isinstance(content, pathlib.Path) else self.folder / "stick.file"
            if source is not content:
                source.write_bytes(content)
            tool("mcopy", "-i", stick, source, f"::{name}")
        self.plug_disk(stick, bytes_a_second)

    def plug_disk(self, image, bytes_a_second=None):
        """Plugs this image in as a stick."""
        file = {"driver": "file", "filename": str(image).replace(str(OUT), "/out")}
        if bytes_a_second:
            self.qmp(("object-add", {"qom-type": "throttle-group", "id": "slow", "limits": {"bps-total": bytes_a_second}}))
            file = {"driver": "throttle", "throttle-group": "slow", "file": file}
        self.qmp(("blockdev-add", {"driver": "raw", "node-name": "stick", "file": file}),
                 ("device_add", {"driver": "usb-storage", "drive": "stick", "id": "stick", "bus": "usb.0"}))

    def pull_stick(self):
        """Pulls the stick out; returns a function that reads its files."""
        self.qmp(("device_del", {"id": "stick"}))
        end = time.monotonic() + 20
        while True:
            try:
                self.qmp(("blockdev-del", {"node-name": "stick"}))
                break
            except Stuck:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        return lambda name: self.on_stick(name).decode()

    def on_stick(self, name):
        """The bytes of a file on the last stick."""
        return tool("mtype", "-i", self.folder / "stick.img", f"::{name}")


def firmware_variables():
    """Variables of a firmware that starts only what our development key signed."""
    made = OUT / "test/secure-boot.fd"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        owner = "50495443-0b00-4000-8000-504954430000"
        tool("virt-fw-vars", "--input", "/usr/share/OVMF/OVMF_VARS_4M.fd", "--output", f"{made}.new", "--secure-boot",
             "--set-pk", owner, OUT / "keys/pk.pem", "--add-kek", owner, OUT / "keys/kek.pem", "--add-db", owner, OUT / "keys/db.pem")
        os.rename(f"{made}.new", made)
    return made
