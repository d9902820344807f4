#!/usr/bin/env python3
"""PS/1 of classes P1 and P2, written from gateway/wire/README.md alone, over somebody else's Noise (Python's `noiseprotocol`) and
somebody else's ChaCha20-Poly1305 (Python's `cryptography`). What every class shares is ps1_p0.py's.

    python3 gateway/wire/examples/ps1_p1_p2.py         checks the vectors in gateway/wire/vectors, exit 1 if one differs

`Device` is the device's side, `Gateway` as much of the other side as the vectors need. tests/interop/ps1.py takes the device
to a real gateway.
"""

import base64
import hashlib
import os
import struct
import sys
import time
import warnings

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage

import ps1_p0
from ps1_p0 import ADVANCE, CLOSE, CONFIRM, DATA, HELLO, READY, RECEIPT, REPLY, groups, message, same

PROTOCOL = {1: b"Noise_NNpsk0_25519_ChaChaPoly_SHA256", 2: b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"}
# With fixed ephemeral keys the library warns that they are for tests; the vectors are.
warnings.filterwarnings("ignore", message="One of ephemeral keypairs is already set")


def head(number, device):
    """The part of HELLO that every proof binds."""
    return bytes([HELLO, number, len(device)]) + device


def public_of(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _noise(number, prologue, psk, own, peer, ephemeral):
    noise = NoiseConnection.from_name(PROTOCOL[number])
    noise.set_prologue(prologue)
    noise.set_psks(psk=psk)
    if own:
        noise.set_keypair_from_private_bytes(Keypair.STATIC, own)
    if peer:
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, peer)
    if ephemeral:
        noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    return noise


def _split(noise):
    """Both outputs of Split(): what this side sends with, what it receives with."""
    protocol = noise.noise_protocol
    return protocol.cipher_state_encrypt.k, protocol.cipher_state_decrypt.k


def _nonce(counter):
    return bytes(4) + struct.pack("<Q", counter)


class Sealed:
    """A session's frames: `mine` seals, `theirs` opens. All classes, either side."""

    def begin(self, session, mine, theirs):
        self.session, self.mine, self.theirs = bytes(session), bytes(mine), bytes(theirs)
        self.counter, self.highest, self.seen = 0, -1, set()

    def seal(self, kind, plain=b""):
        associated = bytes([kind]) + self.session + struct.pack("<Q", self.counter)
        sealed = ChaCha20Poly1305(self.mine).encrypt(_nonce(self.counter), plain, associated)
        self.counter += 1
        return associated + sealed

    def open(self, frame):
        """Kind and plaintext. An ADVANCE is obeyed at once."""
        if not 33 <= len(frame) <= 16417 or frame[1:9] != self.session:
            raise ValueError("not a sealed frame of this session")
        counter = struct.unpack("<Q", frame[9:17])[0]
        # The window: once each, at most 1024 behind and 1,048,576 ahead.
        if counter in self.seen or counter < self.highest - 1024 or counter > self.highest + 1048576 or counter == 2**64 - 1:
            raise ValueError("a replay, or too far from the others")
        try:
            plain = ChaCha20Poly1305(self.theirs).decrypt(_nonce(counter), frame[17:], frame[:17])
        except InvalidTag as why:
            raise ValueError("does not authenticate") from why
        self.highest = max(self.highest, counter)
        self.seen = {old for old in self.seen if old >= self.highest - 1024} | {counter}
        if frame[0] == ADVANCE:
            self.counter = max(self.counter, struct.unpack("<Q", plain)[0])
        return frame[0], plain


class Device(Sealed):
    """A device of class 1 or 2. `private` is its static key and `gateway` the gateway's public one, both for class 2 only."""

    def __init__(self, number, device, psk, private=None, gateway=None):
        self.number, self.device, self.psk = number, device.encode(), psk
        self.private, self.gateway = (private, gateway) if number == 2 else (None, None)

    def hello(self, stamp=None, ephemeral=None):
        prologue = head(self.number, self.device)
        self.noise = _noise(self.number, prologue, self.psk, self.private, self.gateway, ephemeral)
        self.noise.set_as_initiator()
        self.noise.start_handshake()
        if self.number == 2 and stamp is None:
            stamp = struct.pack("<Q", time.time_ns() // 1000)
        self.said = prologue + bytes(self.noise.write_message(stamp if self.number == 2 else b""))
        return self.said

    def reply(self, frame):
        if len(frame) != 57 or frame[0] != REPLY:
            raise ValueError("not a REPLY of class P1 or P2")
        try:
            session = self.noise.read_message(frame[1:])
        except (NoiseInvalidMessage, InvalidTag) as why:
            raise ValueError("the REPLY does not authenticate") from why
        if len(session) != 8:
            raise ValueError("the session number has 8 bytes")
        self.begin(session, *_split(self.noise))


class PlainDevice(ps1_p0.Device, Sealed):
    """P0: ps1_p0.py's handshake, this file's faster frames."""

    seal, open = Sealed.seal, Sealed.open

    def reply(self, frame):
        ps1_p0.Device.reply(self, frame)
        self.begin(self.session, self.up, self.down)


class Gateway(Sealed):
    """The other side, as far as the vectors go: it answers one HELLO."""

    def __init__(self, psk, private=None):
        self.psk, self.private = psk, private

    def hello(self, frame, session, ephemeral):
        number, length = frame[1], frame[2]
        if frame[0] != HELLO or number not in PROTOCOL or not 1 <= length <= 48:
            raise ValueError("not a HELLO of class P1 or P2")
        prologue, rest = frame[:3 + length], frame[3 + length:]
        noise = _noise(number, prologue, self.psk, self.private, None, ephemeral)
        noise.set_as_responder()
        noise.start_handshake()
        try:
            self.stamp = bytes(noise.read_message(rest))
        except (NoiseInvalidMessage, InvalidTag) as why:
            raise ValueError("the HELLO does not authenticate") from why
        if len(self.stamp) != (8 if number == 2 else 0):
            raise ValueError("a payload of another length")
        self.peer = noise.noise_protocol.handshake_state.rs.public_bytes if number == 2 else None
        reply = bytes([REPLY]) + bytes(noise.write_message(session))
        self.begin(session, *_split(noise))
        return reply


# --- Enrolment ------------------------------------------------------------------------------------------------------

def card(text):
    """An enrolment's text, as a dict like that of the file."""
    if not text.startswith("PS1:"):
        raise ValueError("not an enrolment")
    raw = base64.b32decode(text[4:] + "=" * (-len(text[4:]) % 8))
    version, number, flags, length = raw[:4]
    raw, check = raw[:-4], raw[-4:]
    if version != 1 or flags & ~3 or hashlib.sha256(raw).digest()[:4] != check:
        raise ValueError("an enrolment of another version, or miscopied")
    parts = {"psk": raw[4 + length:36 + length]}
    rest = raw[36 + length:]
    for flag, name in ((1, "gateway"), (2, "private")):
        if flags & flag:
            parts[name], rest = rest[:32], rest[32:]
    if rest or any(len(part) != 32 for part in parts.values()):
        raise ValueError("an enrolment of another length")
    return {"device": raw[4:4 + length].decode(), "class": f"P{number}", **{name: part.hex() for name, part in parts.items()}}


# --- The vectors ----------------------------------------------------------------------------------------------------

def bent(frame, at):
    changed = bytearray(frame)
    changed[at] ^= 0x40
    return bytes(changed)


def check(folder, number):
    """A whole session, every byte of both sides; then nothing bent passes."""
    (vector,) = groups(os.path.join(folder, f"p{number}.txt"))
    if number == 2:
        same("device's public key", public_of(vector["device-private"]), vector["device-public"])
        same("gateway's public key", public_of(vector["gateway-private"]), vector["gateway-public"])

    def device():
        fresh = Device(number, vector["device"], vector["psk"], vector.get("device-private"), vector.get("gateway-public"))
        same("hello", fresh.hello(vector.get("stamp"), vector["device-ephemeral-private"]), vector["hello"])
        return fresh

    def gateway():
        return Gateway(vector["psk"], vector.get("gateway-private"))

    def answer(to, hello):
        return to.hello(hello, vector["session"], vector["gateway-ephemeral-private"])

    left, right = device(), gateway()
    same("reply", answer(right, vector["hello"]), vector["reply"])
    same("stamp", right.stamp, vector.get("stamp", b""))
    if number == 2:
        same("who called", right.peer, vector["device-public"])
    left.reply(vector["reply"])
    same("session", left.session, vector["session"])
    same("device's keys", (left.mine, left.theirs), (vector["up-key"], vector["down-key"]))
    same("gateway's keys", (right.mine, right.theirs), (vector["down-key"], vector["up-key"]))

    same("data plain", message(5, 0, 1, vector["body"].encode()), vector["data-plain"])
    frames = ((left, right, CONFIRM, "confirm"), (right, left, READY, "ready"), (left, right, DATA, "data"),
              (right, left, RECEIPT, "receipt"), (right, left, ADVANCE, "advance"), (left, right, CLOSE, "close"))
    for sender, receiver, kind, name in frames:
        same(name, sender.seal(kind, vector[f"{name}-plain"]), vector[name])
        for at in range(len(vector[name])):
            ps1_p0.refused(f"{name} with byte {at} changed", receiver.open, bent(vector[name], at))
        same(f"{name} opened", receiver.open(vector[name]), (kind, vector[f"{name}-plain"]))
        ps1_p0.refused(f"{name} twice", receiver.open, vector[name])
    same("the device's counter after ADVANCE and CLOSE", left.counter, 65537)

    for at in range(len(vector["reply"])):
        ps1_p0.refused(f"reply with byte {at} changed", device().reply, bent(vector["reply"], at))
    for at in range(len(vector["hello"])):
        # Also the class, the length and the id: the prologue binds them.
        ps1_p0.refused(f"hello with byte {at} changed", answer, gateway(), bent(vector["hello"], at))
    wrong = Gateway(bytes(32), vector.get("gateway-private"))
    if number == 1:
        ps1_p0.refused("another PSK", answer, wrong, vector["hello"])
    else:
        # psk2: the HELLO opens without it; the REPLY does not.
        ps1_p0.refused("another PSK", device().reply, answer(wrong, vector["hello"]))
        ps1_p0.refused("another gateway", answer, Gateway(vector["psk"], bytes(range(32))), vector["hello"])


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "vectors")
    for number in (1, 2):
        check(folder, number)
    print(f"{ps1_p0.CHECKS} checks passed")


if __name__ == "__main__":
    main()
