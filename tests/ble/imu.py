"""A device that speaks PS/1 over GATT: the client of gateway/wire/examples behind a virtual radio."""

import asyncio
import sys
import time

from guest import PATIENCE, REPO

sys.path.insert(0, str(REPO / "gateway/wire/examples"))

import cbor2
from bumble.core import UUID
from bumble.gatt import Characteristic, CharacteristicValue
from ps1_p0 import CONFIRM, DATA, READY, RECEIPT, REFUSED, message, parse_receipt
from ps1_p1_p2 import Device, card

from sensors import Sensor

# gateway/wire/src/fragment.rs.
SERVICE, UP, DOWN = (UUID(f"7073000{n}-2f31-4b8e-9c6a-3d0f5e1a7c42") for n in (1, 2, 3))
FIRST, LAST, NUMBER = 0x80, 0x40, 0x3F
VALUE_BYTES = 20
EPOCH = 7


class Imu(Sensor):
    """Each frame goes in pieces of 20 bytes, one of them the header, whatever the MTU: the smallest a link may have. `mtu`: it takes no more
    than that itself."""

    def __init__(self, air, name, address, mtu=None):
        self.up = Characteristic(UP, Characteristic.Properties.NOTIFY, 0, b"")
        down = Characteristic(DOWN, Characteristic.Properties.WRITE_WITHOUT_RESPONSE, Characteristic.WRITEABLE,
                              CharacteristicValue(write=self._piece))
        super().__init__(air, name, address, SERVICE, [self.up, down], code=None)
        self.device.gatt_server.max_mtu = mtu or self.device.gatt_server.max_mtu
        self.frames, self.joined, self.number, self.seq = asyncio.Queue(), b"", 0, 0
        self.took = []

    def _piece(self, _link, value):
        header, piece = value[0], bytes(value[1:])
        self.joined = piece if header & FIRST else self.joined + piece
        if header & LAST:
            self.frames.put_nowait(self.joined)

    async def send(self, frame, skip=None):
        """A frame in pieces; one of them may be lost on the way."""
        pieces = [frame[at:at + VALUE_BYTES - 1] for at in range(0, len(frame), VALUE_BYTES - 1)]
        for at, piece in enumerate(pieces):
            header = (FIRST if at == 0 else 0) | (LAST if at == len(pieces) - 1 else 0) | self.number
            self.number = (self.number + 1) & NUMBER
            if at != skip:
                await self.notify(self.up, bytes([header]) + piece)

    async def hear(self, seconds=15):
        return await asyncio.wait_for(self.frames.get(), seconds * PATIENCE)

    async def handshake(self, secret, psk=None):
        """HELLO to READY; raises if the gateway refuses."""
        secret = card(secret) if isinstance(secret, str) else secret
        self.session = Device(int(secret["class"][1]), self.name, psk or bytes.fromhex(secret["psk"]))
        await self.send(self.session.hello())
        frame = await self.hear()
        if frame[0] == REFUSED:
            raise PermissionError("refused")
        self.session.reply(frame)
        await self.send(self.session.seal(CONFIRM))
        kind, _ = self.session.open(await self.hear())
        assert kind == READY, kind

    async def say(self, value, lose=None):
        """One reading; returns its number once a receipt names it, with the seconds in `took`."""
        seq, self.seq = self.seq, self.seq + 1
        plain = message(EPOCH, seq, 0, cbor2.dumps([{0: "heart_rate", 1: "beat/min", 2: value, 6: time.time()}]))
        begun = time.monotonic()
        if lose is not None:
            await self.send(self.session.seal(DATA, plain), skip=lose)
        await self.send(self.session.seal(DATA, plain))
        while True:
            kind, answer = self.session.open(await self.hear())
            if kind == RECEIPT:
                _, taken, refused = parse_receipt(answer)
                if any(epoch == EPOCH and first <= seq < first + count for epoch, first, count in taken):
                    self.took.append(time.monotonic() - begun)
                    return seq
                assert not refused, refused

    async def garbage(self, value):
        await self.notify(self.up, value)
