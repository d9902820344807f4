"""The guest: a real kernel and a real BlueZ in QEMU, and a shell in it.

Direct kernel boot of what guest.sh made. The emulated serial ports ttyS1 and ttyS2 are the two adapters' cables; hvc0 is the shell;
what runs in the background writes to hvc1, which is a file here. /data is a disk of its own, so that "durable" means an fsync of ext4.
"""

import asyncio
import base64
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
MADE = REPO / "target/ble"
PITCHSIDE = pathlib.Path(os.environ.get("PITCHSIDE", REPO / "target/debug/pitchside"))
LEDGERD = pathlib.Path(os.environ.get("LEDGERD", REPO / "target/debug/ledgerd"))
# Times as on a stock machine of two cores; more when others compile beside us.
PATIENCE = float(os.environ.get("BLE_TEST_PATIENCE", "1"))
# Where the guest keeps what a command printed, and how much of it is fetched at once: well below what a socket holds, line by line.
SAID, PIECE = "/run/said", 8192
CABLES = {"hci0": "ttyS1", "hci1": "ttyS2"}


class Stuck(Exception):
    """What was waited for did not happen in time, or a command failed."""


async def until(what, seconds, check, every=0.1):
    """Waits until `check` returns something true, and returns it."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > end:
            raise Stuck(f"{what}: not within {seconds * PATIENCE:.0f} s")
        await asyncio.sleep(every)


class Guest:
    """One machine. `sockets`: where the adapters' controllers are served."""

    def __init__(self, folder, sockets):
        self.folder, self.sockets = folder, sockets
        self.log = folder / "guest.log"
        self.process = None
        self.turn = asyncio.Lock()
        self.asked = 0

    def _disk(self):
        """The guest's own disk, with the programs on it."""
        tree = self.folder / "disk"
        shutil.rmtree(tree, ignore_errors=True)
        (tree / "bin").mkdir(parents=True)
        for program in (PITCHSIDE, LEDGERD):
            subprocess.run(["strip", "-o", tree / "bin" / program.name, program], check=True)
        subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, self.folder / "disk.img", "768M"],
                       check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)

    async def boot(self):
        self._disk()
        shell = self.folder / "shell"
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max", "-M", "q35", "-m", "768",
                   "-display", "none", "-monitor", "none", "-nodefaults", "-no-user-config", "-no-reboot",
                   "-chardev", f"file,id=console,path={self.folder}/console.log", "-serial", "chardev:console"]
        for number, path in enumerate(self.sockets):
            command += ["-chardev", f"socket,id=bt{number},path={path}"]
            command += ["-serial", f"chardev:bt{number}"] if number == 0 else ["-device", f"pci-serial,chardev=bt{number}"]
        command += ["-device", "virtio-serial-pci",
                    "-chardev", f"socket,id=shell,path={shell},server=on,wait=off", "-device", "virtconsole,chardev=shell",
                    "-chardev", f"file,id=log,path={self.log}", "-device", "virtconsole,chardev=log",
                    "-drive", f"file={self.folder}/disk.img,format=raw,if=virtio",
                    "-kernel", MADE / "vmlinuz", "-initrd", MADE / "initrd", "-append", "console=ttyS0 quiet panic=-1"]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                        stdout=open(self.folder / "qemu.log", "wb"), stderr=subprocess.STDOUT)
        await until("the guest's shell", 60, shell.exists)
        self.reader, self.writer = await asyncio.open_unix_connection(str(shell), limit=1 << 24)
        console = self.folder / "console.log"
        await until("the guest", 120, lambda: "guest: up" in console.read_text(errors="replace") if console.exists() else False)
        return float(re.search(r"up after ([\d.]+)", console.read_text(errors="replace"))[1])

    def off(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    # --- The shell ------------------------------------------------------------------------------------------------------------

    async def run(self, command, seconds=60, check=True):
        """What a command prints. It comes in pieces, one asked for after the other, and again if it comes in part: QEMU drops what a
        console says while we do not read. How the command ended is asked for in the same way; the command itself is run once."""
        async with self.turn:
            self.asked += 1
            number = str(self.asked).encode()
            self.writer.write(f"{{ {command}\n}} > {SAID} 2>&1; echo {self.asked} $? $(wc -c < {SAID}) > {SAID}.end\n".encode())

            async def ended():
                words = (await self._ask(f"cat {SAID}.end") or b"").split()
                is_it = len(words) == 3 and words[0] == number and all(word.isdigit() for word in words)
                return [int(word) for word in words[1:]] if is_it else None
            code, size = await until(f"`{command}` did not end", seconds, ended)
            pieces = []
            for at in range(0, size, PIECE):
                async def whole(at=at):
                    piece = await self._ask(f"tail -c +{at + 1} {SAID} | head -c {PIECE}")
                    return piece if piece is not None and len(piece) == min(PIECE, size - at) else None
                pieces.append(await until(f"all of what `{command}` printed", 30, whole))
        text = b"".join(pieces).decode("utf-8", "replace")
        if check and code != 0:
            raise Stuck(f"`{command}`: exit {code}: {text.strip()[-600:]}")
        return text

    async def _ask(self, line, seconds=10):
        """What the shell itself prints, at most a piece, between two marks of its own; none if one of them did not come: then ask again."""
        self.asked += 1
        # The echo of a mark must not be the mark.
        begins, ends = f"\x1e<{self.asked}\n".encode(), f"\x1e>{self.asked}\n".encode()
        self.writer.write(f"printf '\\036<{self.asked}\\n'; {line}; printf '\\036>{self.asked}\\n'\n".encode())
        try:
            said = await asyncio.wait_for(self.reader.readuntil(ends), seconds * PATIENCE)
        except asyncio.TimeoutError:
            return None
        except asyncio.IncompleteReadError as problem:
            raise Stuck(f"the guest's shell is gone: {problem!r}") from problem
        at = said.rfind(begins)
        return None if at < 0 else said[at + len(begins):-len(ends)]

    async def background(self, command):
        """Starts something that writes to the log; its process id."""
        return int(await self.run(f"{command} < /dev/null > /dev/hvc1 2>&1 & echo $!"))

    async def write(self, path, text):
        await self.run(f"printf %s {shlex.quote(text)} > {path}")

    async def copy(self, file, path):
        """A small file of ours into the guest."""
        await self.run(f"echo {base64.b64encode(file.read_bytes()).decode()} | base64 -d > {path}")

    # --- What the guest's programs say ----------------------------------------------------------------------------------------

    def said(self):
        """Everything in the log, without colours."""
        text = self.log.read_bytes().decode("utf-8", "replace").replace("\r", "") if self.log.exists() else ""
        return re.sub(r"\x1b\[[\d;]*m", "", text)

    def here(self):
        return len(self.said())

    async def hears(self, pattern, seconds=30, since=0):
        """Waits for a line; for steps, not for proof: proof is what the gateway stored."""
        try:
            return await until(f"no {pattern!r} in the log", seconds, lambda: re.search(pattern, self.said()[since:]))
        except Stuck as problem:
            raise Stuck(f"{problem}; last: {self.said()[-700:]}") from None

    # --- Bluetooth ------------------------------------------------------------------------------------------------------------

    async def plug(self, name="hci0"):
        """Plugs an adapter in; the process that is its cable."""
        pid = await self.background(f"btattach -B /dev/{CABLES[name]} -P h4 -S 115200")
        await until(f"{name} in the kernel", 20, lambda: self._exists(f"/sys/class/bluetooth/{name}"))
        return pid

    async def _exists(self, path):
        return "yes" in await self.run(f"[ -e {path} ] && echo yes", check=False)

    async def bluetoothd(self):
        return await self.background("/usr/libexec/bluetooth/bluetoothd -n")

    async def kill(self, pid, how="TERM"):
        await self.run(f"kill -{how} {pid}; while kill -0 {pid}; do sleep 0.1; done", check=False)
