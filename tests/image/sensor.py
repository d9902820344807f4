"""A PS/1 sensor of class P0 on a cable or over MQTT with TLS, and a browser without a window: what a clinic has besides the box.

The protocol is the one example client of gateway/wire; only the links are made here.
"""

import http.client
import importlib.util
import json
import os
import re
import socket
import ssl
import struct
import time

from vm import PATIENCE, REPO, Stuck

_spec = importlib.util.spec_from_file_location("ps1_p0", REPO / "gateway/wire/examples/ps1_p0.py")
ps1 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ps1)


class Cable:
    """The serial line: COBS frames."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.sendall(b"\0")
        self.heard = b""

    def send(self, frame):
        self.socket.sendall(ps1.cobs(frame))

    def receive(self, seconds):
        self.socket.settimeout(seconds)
        while True:
            while b"\0" not in self.heard:
                self.heard += self.socket.recv(4096)
            line, self.heard = self.heard.split(b"\0", 1)
            # What the port heard before its other end was opened is no frame.
            try:
                frame = ps1.uncobs(line)
            except ValueError:
                continue
            if frame:
                return frame

    def close(self):
        self.socket.close()


class Mqtt:
    """MQTT 3.1.1 over TLS, as much of it as one PS/1 device needs."""

    TOPICS = {ps1.HELLO: "hs", ps1.CONFIRM: "hs"}

    def __init__(self, port, name, box, authority):
        self.name, self.packet_id = name, 0
        context = ssl.create_default_context(cadata=authority)
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname=f"{box}.local")
        self.heard = b""
        self._packet(0x10, self._text("MQTT") + b"\x04\x02" + struct.pack(">H", 60) + self._text(name))
        self._expect(0x20)
        self._packet(0x82, struct.pack(">H", 1) + self._text(f"ps/1/{name}/dn") + b"\x01")
        self._expect(0x90)

    @staticmethod
    def _text(text):
        return struct.pack(">H", len(text)) + text.encode()

    def _packet(self, kind, body):
        length, size = b"", len(body)
        while True:
            length += bytes([size % 128 | (0x80 if size > 127 else 0)])
            size //= 128
            if not size:
                break
        self.socket.sendall(bytes([kind]) + length + body)

    def _read(self, count, seconds):
        self.socket.settimeout(seconds)
        while len(self.heard) < count:
            more = self.socket.recv(4096)
            if not more:
                raise ConnectionError("the box closed the connection")
            self.heard += more
        piece, self.heard = self.heard[:count], self.heard[count:]
        return piece

    def _next(self, seconds):
        kind, size, shift = self._read(1, seconds)[0], 0, 0
        while True:
            digit = self._read(1, seconds)[0]
            size |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return kind, self._read(size, seconds)

    def _expect(self, wanted):
        kind, body = self._next(20)
        if kind != wanted or (wanted == 0x20 and body[1]) or (wanted == 0x90 and body[2] > 1):
            raise ConnectionError(f"MQTT packet {kind:#x} {body.hex()} where {wanted:#x} was due")

    def send(self, frame):
        self.packet_id += 1
        topic = f"ps/1/{self.name}/{self.TOPICS.get(frame[0], 'up')}"
        self._packet(0x32, self._text(topic) + struct.pack(">H", self.packet_id) + frame)

    def receive(self, seconds):
        while True:
            kind, body = self._next(seconds)
            if kind & 0xF0 == 0x30:
                at = 2 + struct.unpack_from(">H", body)[0]
                if kind & 0x06:
                    self._packet(0x40, body[at:at + 2])
                    at += 2
                return body[at:]

    def close(self):
        self.socket.close()


class Sensor:
    """Keeps each message until the box has a receipt for it, as every PS/1 device does."""

    def __init__(self, card):
        fields = dict(re.findall(r'^(\w+) = "(.*)"$', card, re.MULTILINE))
        self.name, self.psk = fields["device"], bytes.fromhex(fields["psk"])
        self.epoch, self.next = int.from_bytes(os.urandom(7), "little"), 0
        self.kept, self.link = {}, None

    def connect(self, open_link, seconds=60):
        """Tries until there is a session; then sends again what has no receipt."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            try:
                self.link = open_link()
                self.device = ps1.Device(self.name, self.psk)
                self.link.send(self.device.hello())
                self.device.reply(self._until(lambda frame: frame[0] == ps1.REPLY, 10))
                self.link.send(self.device.seal(ps1.CONFIRM))
                self._until(lambda frame: frame[0] == ps1.READY and self.device.open(frame), 10)
                break
            except (OSError, ValueError) as problem:
                self.unlink()
                if time.monotonic() > end:
                    raise Stuck(f"{self.name} gets no session: {problem!r}")
                time.sleep(1)
        for message in list(self.kept.values()):
            self.link.send(self.device.seal(ps1.DATA, message))

    def unlink(self):
        if self.link:
            self.link.close()
        self.link = None

    def _until(self, wanted, seconds):
        end = time.monotonic() + seconds
        while True:
            frame = self.link.receive(max(0.1, end - time.monotonic()))
            if wanted(frame):
                return frame

    def say(self, quantity, unit, values):
        """One message of values a second apart, the last of them now; sent at once if there is a session."""
        records = [{"n": quantity, "u": unit, "t": index - len(values) + 1, "v": value} for index, value in enumerate(values)]
        message = ps1.message(self.epoch, self.next, 1, json.dumps(records).encode())
        self.kept[self.next] = message
        self.next += 1
        if self.link:
            self.link.send(self.device.seal(ps1.DATA, message))

    def receipts(self, seconds=60):
        """Waits until nothing is without a receipt."""
        end = time.monotonic() + seconds * PATIENCE
        while self.kept:
            frame = self._until(lambda _: True, max(0.1, end - time.monotonic()))
            kind, plain = self.device.open(frame)
            if kind != ps1.RECEIPT:
                continue
            _, taken, refused = ps1.parse_receipt(plain)
            if refused:
                raise Stuck(f"{self.name} was refused: {refused}")
            for epoch, first, count in taken:
                for number in range(first, first + count):
                    if epoch == self.epoch:
                        self.kept.pop(number, None)


class Browser:
    """Someone signed in to the page."""

    def __init__(self, port, box, authority, user=None, password=None):
        self.port, self.box, self.cookie = port, box, None
        self.context = ssl.create_default_context(cadata=authority)
        # The port is forwarded from here; the certificate is the box's.
        self.context.check_hostname = False
        if user:
            _, headers = self._ask("POST", "/api/v1/login", {"name": user, "password": password})
            self.cookie = headers["Set-Cookie"].split(";")[0]

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=30)
        headers = {"Host": f"{self.box}.local:8443", "Content-Type": "application/json"}
        if self.cookie:
            headers["Cookie"] = self.cookie
        if method == "POST":
            headers["Origin"] = f"https://{self.box}.local:8443"
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise Stuck(f"{method} {path}: {answer.status} {text[:200]!r}")
        return json.loads(text or b"null"), answer.headers

    def get(self, path):
        return self._ask("GET", f"/api/v1/{path}")[0]

    def wait(self, path, wanted, seconds=120):
        end = time.monotonic() + seconds * PATIENCE
        while True:
            answer = self.get(path)
            if wanted(answer):
                return answer
            if time.monotonic() > end:
                raise Stuck(f"{path} never said what was waited for: {json.dumps(answer)[:400]}")
            time.sleep(1)
