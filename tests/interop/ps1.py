#!/usr/bin/env python3
"""PS/1 against a real gateway by programs of other people: Python's `noiseprotocol`, `cryptography`, `cbor2`, `paho-mqtt`.

    make build && tests/tools/setup.sh interop && target/python/bin/python tests/interop/ps1.py

Exit 1 at the first thing that is not as the README says.

The devices are those of gateway/wire/examples, written from gateway/wire/README.md alone. Nothing here waits for nothing to
happen: frames of a link are answered in order, so "no answer" is shown by the next answer being that to something later.
"""

import os
import signal
import struct
import sys
import time
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "gateway", "wire", "examples"))

import cbor2
import paho.mqtt.client as mqtt

from box import PATIENCE, Box, Line
import ps1_p0
from ps1_p0 import (ADVANCE, CLOSE, CONFIRM, DATA, READY, RECEIPT, REFUSED, message, parse_receipt, parse_refused, refused, same,
                    waveform)
from ps1_p1_p2 import Device, PlainDevice, bent, card, public_of

EPOCH = 5
STRANGER = bytes(range(32))


class Sensor:
    """A device, its link and its count of messages."""

    def __init__(self, box, secret):
        self.box, self.secret, self.id, self.seq = box, secret, secret["device"], 0
        self.session = self.line = None

    def device(self, **other):
        """A new device with this one's secret, or with something else in its place."""
        secret = {**self.secret, **other}
        psk, private, gateway = (bytes.fromhex(secret.get(name, "")) for name in ("psk", "private", "gateway"))
        if secret["class"] == "P0":
            return PlainDevice(self.id, psk)
        return Device(int(secret["class"][1]), self.id, psk, private, gateway)

    def connect(self, version=mqtt.MQTTv311, tls=False):
        self.line = Line(self.box, self.id, version, tls)

    def greet(self):
        """HELLO and REPLY on the present link."""
        device = self.device()
        self.line.send("hs", device.hello())
        device.reply(self.line.hear())
        return device

    def confirm(self, device):
        """CONFIRM and READY; the gateway's clock is ours, on one machine."""
        self.line.send("hs", device.seal(CONFIRM))
        kind, clock = device.open(self.line.hear())
        if kind == ADVANCE:
            self.line.send("hs", device.seal(CONFIRM))
            kind, clock = device.open(self.line.hear())
        same(f"{self.id}: the answer to CONFIRM", kind, READY)
        same(f"{self.id}: READY tells the time", abs(struct.unpack("<q", clock)[0] / 1e6 - time.time()) < 5, True)
        self.session = device

    def reading(self, value, quantity="heart_rate", unit="beat/min", content=0):
        """The next message: its number and plaintext."""
        seq, self.seq = self.seq, self.seq + 1
        body = value if isinstance(value, bytes) else cbor2.dumps([{0: quantity, 1: unit, 2: value, 6: time.time()}])
        return seq, message(EPOCH, seq, content, body)

    def up(self, plain):
        self.line.send("up", self.session.seal(DATA, plain))

    def stored(self, *numbers):
        """The next receipts answer exactly these messages."""
        heard = []
        while len(heard) < len(numbers):
            kind, plain = self.session.open(self.line.hear())
            same(f"{self.id}: a receipt", kind, RECEIPT)
            level, ranges, no = parse_receipt(plain)
            same(f"{self.id}: level and refusals", (level, no), (0, []))
            heard += [first + i for epoch, first, count in ranges for i in range(count) if epoch == EPOCH]
        same(f"{self.id}: receipts", sorted(heard), sorted(numbers))

    def refusal(self, echo):
        """The next frame is REFUSED, and says no more than which frame it is about."""
        frame = self.line.hear()
        same(f"{self.id}: refused, not answered with {frame.hex()}", frame[0], REFUSED)
        same(f"{self.id}: refused", (frame[:2], parse_refused(frame)[1]), (bytes([REFUSED, 1]), echo))
        return frame[:4]


def a_session(sensor):
    """Handshake, readings, receipts; each kind of frame that must not count."""
    sensor.connect()
    sensor.confirm(sensor.greet())
    seq, plain = sensor.reading(72)
    frame = sensor.session.seal(DATA, plain)
    sensor.line.send("up", frame)
    sensor.stored(seq)
    # The same frame has no answer; the same message in a new frame has its receipt again.
    sensor.line.send("up", frame)
    sensor.up(plain)
    sensor.stored(seq)
    # The later frame first: both count, each once.
    (first, one), (second, two) = sensor.reading(73), sensor.reading(74)
    one, two = sensor.session.seal(DATA, one), sensor.session.seal(DATA, two)
    for frame in (two, one, two, one):
        sensor.line.send("up", frame)
    sensor.stored(first, second)
    # 1024 behind the newest: no answer. Too far ahead, or changed: refused.
    _, plain = sensor.reading(75)
    old = sensor.session.seal(DATA, plain)
    sensor.session.counter += 1023
    seq, plain = sensor.reading(76)
    sensor.up(plain)
    sensor.stored(seq)
    sensor.line.send("up", old)
    at = sensor.session.counter
    sensor.session.counter += (1 << 20) + 1
    far = sensor.session.seal(DATA, sensor.reading(77)[1])
    sensor.session.counter = at
    good = sensor.session.seal(DATA, sensor.reading(78)[1])
    for frame in (far, bent(good, 0x20), bent(good, len(good) - 1)):
        sensor.line.send("up", frame)
        sensor.refusal(sensor.session.session)
    # Cut anywhere, or of a kind that a device does not send: no answer, and the true frame still counts.
    for frame in (b"", good[:20], bytes([RECEIPT]) + good[1:], bytes([0x2F]) + good[1:], good):
        sensor.line.send("up", frame)
    sensor.stored(sensor.seq - 1)


def bodies(sensor):
    """All contents, and the refusals of bodies by reason."""
    numbers = []
    now = time.time()
    good = [(1, b'[{"n":"heart_rate","u":"beat/min","v":72.50}]'), (2, waveform(11, 0, 0, 2_777_778, int(now * 1e6), [-3, 4, 900])),
            (0, cbor2.dumps([{0: "core_temperature", 1: "Cel", 2: Decimal("37.60")}])),
            (0, cbor2.dumps([{-2: "urn:dev:ow:10e2073a01080063:", -3: now, -4: "W", 0: "power", 2: 250}, {0: "power", 6: -1, 2: 249}]))]
    for content, body in good:
        seq, plain = sensor.reading(body, content=content)
        numbers.append(seq)
        sensor.up(plain)
    sensor.stored(*numbers)
    record = {0: "heart_rate", 1: "beat/min", 2: 72}
    bad = [(1, 0, b""), (1, 0, b"\xff"), (1, 1, b"[{"), (1, 2, waveform(11, 0, 0, 1, 0, [1, 2])[:-1]), (4, 2, bytes(40)), (1, 9, b"x"),
           (2, 0, cbor2.dumps([{**record, 0: "mood"}])), (2, 0, cbor2.dumps([{**record, 1: "furlong"}])),
           (3, 0, cbor2.dumps([{**record, 2: float("nan")}])), (4, 0, cbor2.dumps([{**record, 6: now + 1e6}])), (5, 3, b"vendor")]
    for reason, content, body in bad:
        seq, plain = sensor.reading(body, content=content)
        sensor.up(plain)
        kind, plain = sensor.session.open(sensor.line.hear())
        _, ranges, ((epoch, number, why, text),) = parse_receipt(plain)
        same(f"{sensor.id}: {body!r} is refused, and in words", (kind, ranges, epoch, number, why, text != ""),
             (RECEIPT, [], EPOCH, seq, reason, True))


def sessions(sensor):
    """A new handshake beside the old session, a new link, a gateway that is killed."""
    box, old = sensor.box, sensor.session
    new = sensor.greet()
    seq, plain = sensor.reading(80)
    sensor.up(plain)
    sensor.stored(seq)
    # DATA before CONFIRM, in the new session.
    sensor.line.send("up", new.seal(DATA, plain))
    sensor.refusal(new.session)
    sensor.confirm(new)
    sensor.line.send("up", old.seal(DATA, plain))
    sensor.refusal(old.session)
    # A HELLO that somebody recorded changes nothing and is answered once.
    device = sensor.device()
    hello = device.hello()
    sensor.line.send("hs", hello)
    device.reply(sensor.line.hear())
    sensor.line.send("hs", hello)
    seq, plain = sensor.reading(81)
    sensor.up(plain)
    sensor.stored(seq)
    # A new link, of the other MQTT version and over TLS: CONFIRM takes the session along and closes the old link.
    first = sensor.line
    sensor.connect(mqtt.MQTTv5, tls=True)
    seq, plain = sensor.reading(82)
    sensor.up(plain)
    sensor.refusal(sensor.session.session)
    sensor.confirm(sensor.session)
    first.gone.get(timeout=PATIENCE)
    first.close()
    sensor.up(plain)
    sensor.stored(seq)
    sensor.line.close()
    # Killed: the session goes on, past counters the gateway may have forgotten, and the message is known by its number.
    box.stop(signal.SIGKILL)
    box.start()
    sensor.connect()
    sensor.confirm(sensor.session)
    same(f"{sensor.id}: the counter leapt", sensor.session.counter >= 65536, True)
    sensor.up(plain)
    sensor.stored(seq)


def strangers(sensor):
    """Whatever is wrong, the answer is the same bytes but for the echo."""
    others = [sensor.device(**{"class": "P0" if sensor.secret["class"] != "P0" else "P1"})]
    psk = sensor.device(psk=STRANGER.hex())
    if sensor.secret["class"] == "P2":
        others += [sensor.device(private=STRANGER.hex()), sensor.device(gateway=public_of(STRANGER).hex())]
        # psk2: the gateway cannot tell from the HELLO, and proves nothing by its REPLY.
        sensor.line.send("hs", psk.hello())
        refused(f"{sensor.id}: a REPLY under another PSK", psk.reply, sensor.line.hear())
    else:
        others += [psk]
    said = []
    for device in others:
        hello = device.hello()
        sensor.line.send("hs", hello)
        said.append(sensor.refusal(hello[-8:]))
    if sensor.secret["class"] == "P2":
        stale = sensor.device().hello(stamp=struct.pack("<Q", 1))
        sensor.line.send("hs", stale)
        said.append(sensor.refusal(stale[-8:]))
    # The session did not notice.
    seq, plain = sensor.reading(83)
    sensor.up(plain)
    sensor.stored(seq)
    return said


def ended(sensor):
    """Revoked: told so in the session, then a stranger like others."""
    sensor.box.cli("device", "revoke", sensor.id)
    same(f"{sensor.id}: CLOSE", sensor.session.open(sensor.line.hear()), (CLOSE, b"\1"))
    sensor.line.gone.get(timeout=PATIENCE)
    sensor.line.close()
    sensor.connect()
    hello = sensor.device().hello()
    sensor.line.send("hs", hello)
    said = sensor.refusal(hello[-8:])
    sensor.line.close()
    return said


def in_the_journal(sensor):
    """What was acknowledged is there once, digit by digit, and nothing else is."""
    rows = sensor.box.cli("readings", "--device", sensor.id, "--last", "200")
    values = sorted((row["quantity"], row["value"]) for row in rows if row["gap"] is None)
    beats = ["72", "72.50"] + [str(value) for value in (73, 74, 76, 78, 80, 81, 82, 83)]
    expected = [("core_temperature", "37.60"), ("power", "249"), ("power", "250")] + [("heart_rate", beat) for beat in beats]
    # The gateway records the offset of the device's clock by itself.
    same(f"{sensor.id}: readings", [value for value in values if value[0] not in ("ecg", "clock_offset")], sorted(expected))
    same(f"{sensor.id}: one waveform", sum(1 for quantity, _ in values if quantity == "ecg"), 1)
    same(f"{sensor.id}: assurance", {row["assurance"] for row in rows}, {"psk" if sensor.secret["class"] == "P0" else "noise"})


def main():
    with Box() as box:
        # Two get their secret as a file, one as the text behind the QR code.
        secrets = [box.enrol("strap-p0", "p0"), box.enrol("strap-p1", "p1"), card(box.enrol_by_text("strap-p2", "p2"))]
        sensors = [Sensor(box, secret) for secret in secrets]
        box.start()
        said = []
        for sensor in sensors:
            a_session(sensor)
            bodies(sensor)
            sessions(sensor)
            said += strangers(sensor)
            in_the_journal(sensor)
            said.append(ended(sensor))
        nobody = Sensor(box, {"class": "P1", "device": "nobody", "psk": STRANGER.hex()})
        nobody.connect()
        hello = nobody.device().hello()
        nobody.line.send("hs", hello)
        said.append(nobody.refusal(hello[-8:]))
        nobody.line.close()
        same("every refusal says the same", set(said), {said[0]})
        print(f"{ps1_p0.CHECKS} checks passed")


if __name__ == "__main__":
    main()
