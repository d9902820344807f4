"""Twenty power cuts from one update.

What a killed machine leaves is what its files hold at that moment: the disk without anything the guest or QEMU's own tables had not
written yet, and the firmware's variables. So at each point the machine is held (SIGSTOP, every thread of it), both files are copied, and
it goes on; each copy is later started as the box would be after that cut. The points are fixed by what the update has done, not by the
clock: bytes it has written, then what it has said.
"""

import json
import os
import re
import shutil
import signal
import socket
import threading
import time

from vm import OUT, Stuck

# Shares of the bytes that installing writes: the bundle to the data partition, then both images of the slot but for their zeros.
SHARES = [(point + 0.5) / 12 for point in range(12)]
# Then, in this order, what the console says from the end of the installation to the new slot's confirmation.
WORDS = [("installed", r"stick: update installed"), ("restarting", r"initrd [\d.]+s: slot B \(confirmed: no\)"),
         ("its root opened", r"initrd [\d.]+s: handing over"), ("migration begun", r"migration: part 1"),
         ("migration half done", r"migration: part 3"), ("migration done", r"migration: done"),
         ("gateway up", r"Pitchside \S+, slot B"), ("confirmed", r"health [\d.]+s: slot B is healthy and confirmed")]


class Cut:
    """A moment of the update: what a cut there left."""

    def __init__(self, number, words, folder, early):
        self.number, self.words, self.folder = number, words, folder
        self.disk, self.variables = folder / "disk.qcow2", folder / "variables.fd"
        # Before the box had said that all is written.
        self.early = early


class Camera:
    """Watches a running box through an update and keeps what each cut would have left."""

    def __init__(self, box, bytes_expected):
        self.box, self.expected, self.cuts, self.problem = box, bytes_expected, [], None
        self.held_s = 0.0
        self.seen, self.done = len(box.console()), threading.Event()
        self.meter = socket.socket(socket.AF_UNIX)
        self.meter.connect(str(box.folder / "meter"))
        self.stream = self.meter.makefile("rw")
        self.stream.readline()
        self._ask("qmp_capabilities")
        self.before = self._written()
        shutil.rmtree(OUT / "test/cuts", ignore_errors=True)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def finish(self):
        """The cuts, in order."""
        self.done.set()
        self.thread.join(60)
        self.meter.close()
        if self.problem or len(self.cuts) != len(SHARES) + len(WORDS):
            raise Stuck(f"{len(self.cuts)} of {len(SHARES) + len(WORDS)} points were met: {self.problem}")
        return self.cuts

    def _ask(self, command):
        self.stream.write(json.dumps({"execute": command}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "return" in answer:
                return answer["return"]

    def _written(self):
        return sum(drive["stats"]["wr_bytes"] for drive in self._ask("query-blockstats") if drive.get("device") == "disk")

    def _watch(self):
        try:
            for share in SHARES:
                while self._written() - self.before < share * self.expected:
                    # Fewer bytes than foreseen were written: the end of the installation is where these points lie.
                    if self._said(WORDS[0][1]):
                        break
                    if self.done.wait(0.02):
                        return
                self._keep(f"{share:.0%} written")
            for words, pattern in WORDS:
                while not self._said(pattern):
                    if self.done.wait(0.02) and not self._said(pattern):
                        return
                self._keep(words)
        except (OSError, ValueError) as problem:
            self.problem = problem

    def _said(self, pattern):
        return re.search(pattern, self.box.console()[self.seen:])

    def _keep(self, words):
        folder = OUT / f"test/cuts/{len(self.cuts):02}"
        folder.mkdir(parents=True)
        group, began = self.box.process.pid, time.monotonic()
        os.killpg(group, signal.SIGSTOP)
        try:
            held(group)
            # Asked now that it can say nothing more.
            cut = Cut(len(self.cuts), words, folder, early=not self._said(WORDS[0][1]))
            shutil.copyfile(self.box.disk, cut.disk)
            shutil.copyfile(self.box.variables, cut.variables)
        finally:
            os.killpg(group, signal.SIGCONT)
            self.held_s += time.monotonic() - began
        self.cuts.append(cut)


def held(group, seconds=10):
    """Waits until no thread of a process group runs any more."""
    end = time.monotonic() + seconds
    while any(state != "T" for state in states(group)):
        if time.monotonic() > end:
            raise OSError(f"process group {group} does not stop")
        time.sleep(0.005)


def states(group):
    """The state letter of each thread of a process group (proc(5): the fields after the name in parentheses)."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat", encoding="utf-8") as file:
                if int(file.read().rpartition(")")[2].split()[2]) != group:
                    continue
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/stat", encoding="utf-8") as file:
                    yield file.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
