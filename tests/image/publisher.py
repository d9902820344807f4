"""A ledger and a publisher of firmware on this machine, with the programs people use."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from vm import REPO, Stuck, free_port

DEBUG = REPO / "target/debug"


def program(name):
    return pathlib.Path(os.environ.get(name.upper(), DEBUG / name))


def run(*words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Stuck(f"{' '.join(map(str, words))}: exit {done.returncode}: {done.stderr[-600:]}")
    return done.stdout


class Ledger:
    """Runs until closed; `ingest` and `http` are its ports."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="pitchside-ledger-"))
        self.home = self.dir / "ledger"
        self.do("init", "--origin", "pitchside.example/image-test")
        self.channel = (self.home / "channel.pub").read_text().strip()
        self.ingest, self.http = free_port(), free_port()
        self.process = subprocess.Popen([program("ledgerd"), "--dir", self.home, "serve", "--ingest", f"127.0.0.1:{self.ingest}", "--http",
                                         f"127.0.0.1:{self.http}"], stdout=subprocess.DEVNULL, stderr=open(self.dir / "log", "wb"))

    def do(self, *words):
        return run(program("ledgerd"), "--dir", self.home, *words)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir)


class Publisher:
    """Two signers, and whoever publishes."""

    def __init__(self, ledger):
        self.dir, self.policy = ledger.dir, ledger.dir / "release.policy"
        for name in ("ada", "ben"):
            run(program("pitchside"), "firmware", "key", "new", "--out", self.dir / f"{name}.key")
        run(program("pitchside"), "firmware", "policy", "new", "--threshold", "2", "--key", self.dir / "ada.key.pub", "--key", self.dir / "ben.key.pub",
            "--out", self.policy)
        self.sign("policy", "sign", self.policy)
        ledger.do("release-policy", self.policy)
        run(program("pitchside"), "firmware", "init", "--dir", self.dir / "maker", "--name", "maker", "--ledger", f"127.0.0.1:{ledger.ingest}",
            "--ledger-key", ledger.channel, "--ledger-policy", ledger.home / "policy", "--release-policy", self.policy)
        ledger.do("enrol-publisher", self.dir / "maker/keys/ledger-enrolment.toml")

    def sign(self, *words):
        for name in ("ada", "ben"):
            run(program("pitchside"), "firmware", *words, "--key", self.dir / f"{name}.key")

    def at_desk(self, *words):
        return run(program("pitchside"), "--config", self.dir / "maker/pitchside.toml", "firmware", *words)

    def publish_for_boxes(self, bundle, version, counter, seconds=60):
        """Published and rolled out to every box: the release."""
        file = self.dir / "box.release"
        said = run(program("pitchside"), "--json", "firmware", "draft", bundle, "--target", "box", "--component", "box", "--hardware", "box-amd64",
                   "--release-version", version, "--counter", counter, "--expires", "2036-06-30", "--out", file)
        self.sign("sign", file)
        end = time.monotonic() + seconds
        while True:
            try:
                self.at_desk("publish", file, "--content", bundle)
                break
            except Stuck as problem:
                # The ledger shows within a second or two what its operator entered.
                if "no release policy stands" not in str(problem) or time.monotonic() > end:
                    raise
        release = json.loads(said)["release"]
        for to in (1, 10, 100):
            self.at_desk("rollout", release, "--hardware", "box-amd64", "--to", to)
        return release
