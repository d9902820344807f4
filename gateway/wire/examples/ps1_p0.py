#!/usr/bin/env python3
"""A PS/1 device of class P0, written from gateway/wire/README.md alone, with Python's standard library alone.

    python3 gateway/wire/examples/ps1_p0.py            checks the vectors in gateway/wire/vectors, exit 1 if one differs

It is also a client: `Device` makes HELLO, takes REPLY, seals messages and opens receipts; `cobs` and `uncobs` put frames on
a serial line. Slow (ChaCha20 in Python), unoptimised, and not constant-time: an example, not for production.
"""

import hashlib
import hmac
import json
import os
import struct
import sys

VERSION_KINDS = {0x11: "hello", 0x12: "reply", 0x13: "confirm", 0x14: "ready", 0x15: "data", 0x16: "receipt",
                 0x17: "advance", 0x18: "close", 0x19: "refused"}
HELLO, REPLY, CONFIRM, READY, DATA, RECEIPT, ADVANCE, CLOSE, REFUSED = sorted(VERSION_KINDS)


# --- RFC 8439: ChaCha20-Poly1305 ------------------------------------------------------------------------------------

def _rotate(value, by):
    return ((value << by) | (value >> (32 - by))) & 0xFFFFFFFF


def chacha20_block(key, counter, nonce):
    start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    state = start[:]
    rounds = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
              (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
    for _ in range(10):
        for a, b, c, d in rounds:
            for x, y, z, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) & 0xFFFFFFFF
                state[z] = _rotate(state[z] ^ state[x], by)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, start)))


def _chacha20(key, nonce, data):
    out = bytearray()
    for at in range(0, len(data), 64):
        block = chacha20_block(key, 1 + at // 64, nonce)
        out += bytes(a ^ b for a, b in zip(data[at:at + 64], block))
    return bytes(out)


def _poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at:at + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def _tag(key, nonce, aad, ciphertext):
    def padded(part):
        return part + bytes(-len(part) % 16)
    lengths = struct.pack("<QQ", len(aad), len(ciphertext))
    return _poly1305(chacha20_block(key, 0, nonce)[:32], padded(aad) + padded(ciphertext) + lengths)


def aead_seal(key, nonce, aad, plain):
    ciphertext = _chacha20(key, nonce, plain)
    return ciphertext + _tag(key, nonce, aad, ciphertext)


def aead_open(key, nonce, aad, sealed):
    ciphertext, tag = sealed[:-16], sealed[-16:]
    if not hmac.compare_digest(tag, _tag(key, nonce, aad, ciphertext)):
        raise ValueError("does not authenticate")
    return _chacha20(key, nonce, ciphertext)


# --- RFC 5869: HKDF-SHA256 ------------------------------------------------------------------------------------------

def hkdf(salt, ikm, info, length):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    out, block = b"", b""
    for count in range(1, -(-length // 32) + 1):
        block = hmac.new(prk, block + info + bytes([count]), hashlib.sha256).digest()
        out += block
    return out[:length]


def mac16(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()[:16]


# --- Frames ---------------------------------------------------------------------------------------------------------

class Device:
    """One P0 device: a handshake, then a session."""

    def __init__(self, device, psk):
        self.device, self.psk = device.encode(), psk
        self.session = None

    def hello(self, nonce=None):
        self.nonce = os.urandom(16) if nonce is None else nonce
        head = bytes([HELLO, 0, len(self.device)]) + self.device + self.nonce
        self.hello_key = hkdf(self.nonce, self.psk, b"ps/1/hello" + self.device, 32)
        self.said = head + mac16(self.hello_key, head)
        return self.said

    def reply(self, frame):
        if len(frame) != 41 or frame[0] != REPLY:
            raise ValueError("not a REPLY of class P0")
        okm = hkdf(self.nonce + frame[1:17], self.psk, b"ps/1/psk" + self.device, 96)
        up, down, self.confirm_key = okm[:32], okm[32:64], okm[64:]
        if not hmac.compare_digest(frame[25:], mac16(self.confirm_key, self.said, frame[:25])):
            raise ValueError("the REPLY does not authenticate")
        self.session, self.up, self.down = frame[17:25], up, down
        self.counter, self.seen = 0, set()

    def seal(self, kind, plain=b""):
        head = bytes([kind]) + self.session + struct.pack("<Q", self.counter)
        nonce = bytes(4) + struct.pack("<Q", self.counter)
        self.counter += 1
        return head + aead_seal(self.up, nonce, head, plain)

    def open(self, frame):
        """Kind and plaintext of a frame of the gateway; an ADVANCE is obeyed at once."""
        if len(frame) < 33 or frame[0] not in (READY, RECEIPT, ADVANCE, CLOSE) or frame[1:9] != self.session:
            raise ValueError("not a sealed frame of this session")
        counter = struct.unpack("<Q", frame[9:17])[0]
        # A real device keeps a window of 1024; a set does for an example.
        if counter in self.seen:
            raise ValueError("a replay")
        plain = aead_open(self.down, bytes(4) + frame[9:17], frame[:17], frame[17:])
        self.seen.add(counter)
        if frame[0] == ADVANCE:
            self.counter = max(self.counter, struct.unpack("<Q", plain)[0])
        return frame[0], plain


def message(epoch, seq, content, body):
    return struct.pack("<QQB", epoch, seq, content) + body


def parse_receipt(plain):
    """(level, [(epoch, first, count)], [(epoch, seq, reason, text)])"""
    level, ranges, refused = struct.unpack_from("<BHH", plain)
    if level > 3:
        raise ValueError("unknown level")
    at, taken, given_up = 5, [], []
    for _ in range(ranges):
        taken.append(struct.unpack_from("<QQH", plain, at))
        at += 18
    for _ in range(refused):
        epoch, seq, reason, length = struct.unpack_from("<QQBB", plain, at)
        text = plain[at + 18:at + 18 + length]
        if len(text) != length or length > 96:
            raise ValueError("text")
        given_up.append((epoch, seq, reason, text.decode()))
        at += 18 + length
    if at != len(plain) or any(count == 0 for _, _, count in taken):
        raise ValueError("length or empty range")
    return level, taken, given_up


def parse_refused(frame):
    """(retry after seconds, echo)"""
    if len(frame) != 12 or frame[0] != REFUSED:
        raise ValueError("not REFUSED")
    return struct.unpack("<H", frame[2:4])[0], frame[4:]


# --- Waveform bodies ------------------------------------------------------------------------------------------------

def waveform(quantity, exponent, offset, period_ns, start_us, samples):
    body = struct.pack("<HbBiQqHi", quantity, exponent, 0, offset, period_ns, start_us, len(samples), samples[0])
    differences = [(b - a) & 0xFFFFFFFF for a, b in zip(samples, samples[1:])]
    packed = [((d << 1) ^ (0xFFFFFFFF if d >> 31 else 0)) & 0xFFFFFFFF for d in differences]
    for at in range(0, len(packed), 64):
        block = packed[at:at + 64]
        width = max(block).bit_length()
        bits = sum(z << (i * width) for i, z in enumerate(block))
        body += bytes([width]) + bits.to_bytes(-(-len(block) * width // 8), "little")
    return body


def parse_waveform(body):
    quantity, exponent, zero, offset, period_ns, start_us, count, first = struct.unpack_from("<HbBiQqHi", body)
    if zero or not -18 <= exponent <= 18 or period_ns == 0 or not 1 <= count <= 4096:
        raise ValueError("a field out of range")
    samples, at = [first], 30
    while len(samples) < count:
        size, width = min(64, count - len(samples)), body[at]
        if width > 32:
            raise ValueError("width")
        length = -(-size * width // 8)
        raw = body[at + 1:at + 1 + length]
        bits = int.from_bytes(raw, "little")
        if len(raw) != length or bits >> (size * width):
            raise ValueError("cut, or an unused bit set")
        at += 1 + length
        for _ in range(size):
            z = bits & ((1 << width) - 1)
            bits >>= width
            value = (samples[-1] + ((z >> 1) ^ -(z & 1))) & 0xFFFFFFFF
            samples.append(value - (1 << 32) if value >> 31 else value)
    if at != len(body):
        raise ValueError("bytes after the last block")
    return quantity, exponent, offset, period_ns, start_us, samples


# --- Serial lines ---------------------------------------------------------------------------------------------------

def cobs(frame):
    out, pieces = bytearray(), frame.split(b"\0")
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        while len(piece) >= 254:
            out += b"\xff" + piece[:254]
            piece = piece[254:]
            if not piece and last:
                return bytes(out) + b"\0"
        out += bytes([len(piece) + 1]) + piece
    return bytes(out) + b"\0"


def uncobs(line):
    """One frame, from the bytes before its 00."""
    out, at = bytearray(), 0
    while at < len(line):
        code = line[at]
        block = line[at + 1:at + code]
        if code == 0 or len(block) != code - 1:
            raise ValueError("cut")
        out += block
        at += code
        if code != 255 and at < len(line):
            out.append(0)
    return bytes(out)


# --- The vectors ----------------------------------------------------------------------------------------------------

def groups(path):
    found = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line == "--":
                found.append({})
            elif line and not line.startswith("#"):
                name, value = line.split(": ", 1)
                found[-1][name] = value[1:-1] if value.startswith('"') else bytes.fromhex(value)
    return found


CHECKS = 0


def same(what, got, expected):
    global CHECKS
    CHECKS += 1
    if got != expected:
        sys.exit(f"{what} differs:\n  got      {got!r}\n  expected {expected!r}")


def refused(what, act, *args):
    global CHECKS
    CHECKS += 1
    try:
        act(*args)
    except (ValueError, struct.error, IndexError):
        return
    sys.exit(f"{what} should have been refused")


def check_p0(folder):
    session, hints = groups(os.path.join(folder, "p0.txt"))
    device = Device(session["device"], session["psk"])
    same("hello", device.hello(session["device-nonce"]), session["hello"])
    same("hello key", device.hello_key, session["hello-key"])
    for at in range(len(session["reply"])):
        bent = bytearray(session["reply"])
        bent[at] ^= 0x40
        refused(f"a reply with byte {at} changed", device.reply, bytes(bent))
    device.reply(session["reply"])
    same("session", device.session, session["session"])
    for name, key in (("up-key", device.up), ("down-key", device.down), ("confirm-key", device.confirm_key)):
        same(name, key, session[name])
    same("confirm", device.seal(CONFIRM), session["confirm"])
    same("ready", device.open(session["ready"]), (READY, session["ready-plain"]))
    refused("a replayed ready", device.open, session["ready"])
    plain = message(5, 0, 1, session["body"].encode())
    same("data plain", plain, session["data-plain"])
    same("data", device.seal(DATA, plain), session["data"])
    same("the body is JSON", json.loads(session["body"])[0]["v"], 72)
    same("receipt", device.open(session["receipt"]), (RECEIPT, session["receipt-plain"]))
    same("advance", device.open(session["advance"]), (ADVANCE, session["advance-plain"]))
    same("close", device.seal(CLOSE, b"\0"), session["close"])
    for at in range(len(session["receipt"])):
        bent = bytearray(session["receipt"])
        bent[at] ^= 1
        refused(f"a receipt frame with byte {at} changed", device.open, bytes(bent))
    same("refused hello", parse_refused(hints["refused-hello"]), (2, session["hello"][-8:]))
    same("refused data", parse_refused(hints["refused-data"]), (2, session["session"]))


def check_bodies(folder):
    for group in groups(os.path.join(folder, "receipt.txt")):
        if "malformed" in group:
            refused(group["comment"], parse_receipt, group["malformed"])
        else:
            same(group["comment"], parse_receipt(group["expect"]), (0, [(5, 0, 3)], [(5, 3, 3, "not a number")]))
    for group in groups(os.path.join(folder, "waveform.txt")):
        if "malformed" in group:
            refused(group["comment"], parse_waveform, group["malformed"])
            continue
        fields = [int(group[name]) for name in ("quantity", "exponent", "offset", "period-ns", "start-us")]
        samples = [int(sample) for sample in group["samples"].split()]
        same(group["comment"], waveform(*fields, samples), group["expect"])
        same(group["comment"], parse_waveform(group["expect"]), (*fields, samples))
    for group in groups(os.path.join(folder, "cobs.txt")):
        same(group["comment"], cobs(group["frame"]), group["expect"])
        same(group["comment"], uncobs(group["expect"][:-1]), group["frame"])


def main():
    # RFC 8439, section 2.3.2: the block function itself, before anything is built on it.
    block = chacha20_block(bytes(range(32)), 1, bytes.fromhex("000000090000004a00000000"))
    same("RFC 8439 2.3.2", block[:16], bytes.fromhex("10f1e7e4d13b5915500fdd1fa32071c4"))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "vectors")
    check_p0(folder)
    check_bodies(folder)
    print(f"{CHECKS} checks passed")


if __name__ == "__main__":
    main()
