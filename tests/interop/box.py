"""A real gateway in a temporary folder, its command line, and a device's MQTT connection made by `paho-mqtt`."""

import json
import os
import queue
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import paho.mqtt.client as mqtt

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PITCHSIDE = os.environ.get("PITCHSIDE", os.path.join(ROOT, "target", "debug", "pitchside"))
PATIENCE = 15.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Box:
    """`pitchside init`, and settings with free ports; `start` runs it. A context manager that stops it and removes the folder."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="pitchside-interop-")
        self.dir = self.folder.name
        self.settings = os.path.join(self.dir, "box", "pitchside.toml")
        self.process = None
        made = [PITCHSIDE, "init", "--dir", os.path.join(self.dir, "box"), "--name", "interop", "--json",
                "--rules", os.path.join(ROOT, "rules"), "--plugins", os.path.join(ROOT, "plugins")]
        self.admin = json.loads(subprocess.run(made, check=True, capture_output=True, text=True).stdout)
        self.plain, self.tls, self.http = free_port(), free_port(), free_port()
        with open(self.settings, encoding="utf-8") as file:
            text = file.read()
        for old, new in (("tcp = []", f'tcp = ["127.0.0.1:{self.plain}"]\ntls = "127.0.0.1:{self.tls}"'),
                         ("127.0.0.1:8443", f"127.0.0.1:{self.http}")):
            if text.count(old) != 1:
                raise RuntimeError(f"the settings that init writes no longer hold {old!r}")
            text = text.replace(old, new)
        with open(self.settings, "w", encoding="utf-8") as file:
            file.write(text)
        self.ca = os.path.join(self.dir, "box", "keys", "ca.pem")
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def start(self):
        self.log = open(os.path.join(self.dir, "gateway.log"), "a", encoding="utf-8")
        self.process = subprocess.Popen([PITCHSIDE, "--config", self.settings, "run"], stdout=self.log, stderr=self.log)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.plain)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    with open(self.log.name, encoding="utf-8") as log:
                        raise RuntimeError(f"the gateway did not start:\n{log.read()}") from None
                time.sleep(0.02)

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        if self.process:
            self.log.close()
        self.process = None

    def cli(self, *args):
        """The JSON a command prints."""
        done = subprocess.run([PITCHSIDE, "--config", self.settings, "--json", *args], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"pitchside {' '.join(args)}: exit {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def enrol(self, device, kind, *more):
        """The secret as the enrolment file holds it: a dict of a device's TOML, or an app's or a hub's password."""
        out = os.path.join(self.dir, f"{device}.secret")
        self.cli("device", "enrol", device, "--class", kind, "--out", out, *more)
        with open(out, encoding="utf-8") as file:
            text = file.read()
        return dict(re.findall(r'^(\w+) = "(.*)"$', text, re.MULTILINE)) if kind in ("p0", "p1", "p2") else text.strip()

    def enrol_by_text(self, device, kind):
        """The secret as the text that is drawn as a QR code."""
        return self.cli("device", "enrol", device, "--class", kind)["secret"]


class Line:
    """One MQTT connection of one PS/1 device: what it publishes is acknowledged, what the gateway says waits in a queue."""

    def __init__(self, box, device, version=mqtt.MQTTv311, tls=False):
        self.device, self.frames, self.gone, ready = device, queue.Queue(), queue.Queue(), queue.Queue()
        clean = {"clean_session": True} if version == mqtt.MQTTv311 else {}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=device, protocol=version, **clean)
        self.client.on_connect = lambda client, data, flags, reason, properties: ready.put(reason)
        self.client.on_subscribe = lambda client, data, number, reasons, properties: ready.put(reasons[0])
        self.client.on_message = lambda client, data, message: self.frames.put(message.payload)
        self.client.on_disconnect = lambda client, data, flags, reason, properties: self.gone.put(reason)
        if tls:
            self.client.tls_set(ca_certs=box.ca, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.connect("localhost" if tls else "127.0.0.1", box.tls if tls else box.plain, keepalive=30)
        self.client.loop_start()
        connected = ready.get(timeout=PATIENCE)
        if connected.is_failure:
            self.close()
            raise ConnectionError(str(connected))
        # Before HELLO, or the answer has nowhere to go.
        self.client.subscribe(f"ps/1/{device}/dn", qos=0)
        granted = ready.get(timeout=PATIENCE)
        if granted.is_failure:
            raise ConnectionError(f"dn is not granted: {granted}")

    def send(self, topic, frame):
        """Publishes a frame and waits for its PUBACK."""
        self.client.publish(f"ps/1/{self.device}/{topic}", frame, qos=1).wait_for_publish(PATIENCE)

    def hear(self):
        """The next frame from the gateway."""
        return self.frames.get(timeout=PATIENCE)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
