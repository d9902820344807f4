"""Virtual sensors: real GATT servers and real pairing (Bumble), each behind a controller of its own."""

import asyncio
import struct

from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData
from bumble.device import Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address
from bumble.host import Host
from bumble.pairing import PairingConfig, PairingDelegate

CODE = 246810
MAKER = "Sensors Ltd"


class Shows(PairingDelegate):
    """A sensor whose code is printed on it, or in its display."""

    def __init__(self, code):
        super().__init__(PairingDelegate.DISPLAY_OUTPUT_ONLY)
        self.code = code

    async def generate_passkey(self):
        return self.code

    async def display_number(self, number, digits):
        pass


def short(uuid):
    return UUID.from_16_bits(uuid)


def known(text):
    return Characteristic(short(0x2A29), Characteristic.Properties.READ, Characteristic.READABLE, text.encode())


class Sensor:
    """A peripheral. `code`: six digits it shows while pairing; none: it can only pair without one."""

    def __init__(self, air, name, address, service, characteristics, code=CODE, secure=True):
        self.name, self.address = name, address
        self.controller = Controller(name, link=air)
        # Core 5.4, vol. 6 part B, 1.3.2.1: the two highest bits of a static random address are set.
        assert address.startswith("F")
        self.device = Device(config=DeviceConfiguration(
            name=name, address=Address(address), advertising_interval_min=100, advertising_interval_max=100,
            irk=bytes.fromhex(address.replace(":", "")) + bytes(10)), host=Host(self.controller, self.controller))
        self.device.pairing_config_factory = self._pairing
        self.code, self.secure, self.air = code, secure, air
        self.device.add_services([Service(service if isinstance(service, UUID) else short(service), characteristics)])
        listed = (AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, struct.pack("<H", service)) \
            if isinstance(service, int) else (AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, bytes(service))
        self.device.advertising_data = bytes(AdvertisingData([(AdvertisingData.FLAGS, bytes([0x06])), listed]))
        self.connected, self.disconnected, self.subscribed = 0, 0, asyncio.Event()
        # What each bonded host has subscribed to.
        self.kept = {}
        self.device.on("connection", self._connected)

    def _pairing(self, _connection):
        delegate = Shows(self.code) if self.code is not None else PairingDelegate(PairingDelegate.NO_OUTPUT_NO_INPUT)
        return PairingConfig(sc=self.secure, mitm=self.code is not None, bonding=True, delegate=delegate)

    def _connected(self, connection):
        self.connected += 1
        connection.on("disconnection", self._disconnected)
        connection.on("connection_encryption_change", lambda: self._encrypted(connection))

    def _encrypted(self, link):
        """Whose subscriptions outlive the link of a bonded host (Core 5.4, vol. 3 part G, 3.3.3.3), which Bumble forgets: what it
        writes on this link is written here, too."""
        if link.encryption:
            kept = self.kept.setdefault(str(link.peer_address), {})
            kept.update(self.device.gatt_server.subscribers.get(link, {}))
            self.device.gatt_server.subscribers[link] = kept

    def _disconnected(self, _reason):
        self.disconnected += 1

    async def on(self):
        """Switched on: advertises whenever nobody is connected."""
        await self.device.power_on()
        await self.device.start_advertising(auto_restart=True)
        return self

    async def off(self):
        """Out of range for ever."""
        self.leave()

    def leave(self):
        self.air.take_away(self.controller)

    def back(self):
        self.air.bring_back(self.controller)

    def links(self):
        return list(self.device.connections.values())

    def encrypted(self):
        return [link for link in self.links() if link.encryption]

    async def notify(self, characteristic, value):
        """To whoever subscribed; false if nobody did."""
        return await self._tell(characteristic, value, 1, self.device.notify_subscriber)

    async def indicate(self, characteristic, value):
        """Returns once it is confirmed; false if nobody subscribed."""
        return await self._tell(characteristic, value, 2, self.device.indicate_subscriber)

    async def _tell(self, characteristic, value, bit, send):
        told = False
        for link in self.links():
            if self._wants(link, characteristic, bit):
                await send(link, characteristic, value)
                told = True
        return told

    def _wants(self, link, characteristic, bit):
        """Whether the host has subscribed, on this link or, if it is bonded, on one before."""
        cccd = self.device.gatt_server.subscribers.get(link, {}).get(characteristic.handle)
        return bool(cccd) and bool(cccd[0] & bit)


class Strap(Sensor):
    """A heart strap: Heart Rate Measurement with skin contact and RR intervals, several times a second."""

    def __init__(self, air, name, address, rate=60, **other):
        self.measurement = Characteristic(short(0x2A37), Characteristic.Properties.NOTIFY, 0, b"")
        location = Characteristic(short(0x2A38), Characteristic.Properties.READ, Characteristic.READ_REQUIRES_ENCRYPTION, b"\x01")
        super().__init__(air, name, address, 0x180D, [self.measurement, location], **other)
        self.rate, self.touching, self.beats, self.task = rate, True, 0, None

    def value(self):
        """Flags: 8 bits, contact supported and there or not, an RR interval."""
        return struct.pack("<BBH", 0x14 | (0x02 if self.touching else 0), self.rate, 60 * 1024 // self.rate)

    async def beat(self):
        if await self.notify(self.measurement, self.value()):
            self.beats += 1
            return True
        return False

    def start(self, period=0.25):
        """Beats until `stop`."""
        async def run():
            while True:
                await self.beat()
                await asyncio.sleep(period)
        self.task = asyncio.create_task(run())
        return self

    def stop(self):
        if self.task:
            self.task.cancel()
        self.task = None


class Thermometer(Sensor):
    """Temperature Measurement, indicated; Date Time, which the gateway may set, unless it has none (`settable`); `more` of its own."""

    def __init__(self, air, name, address, settable=True, more=(), **other):
        self.measurement = Characteristic(short(0x2A1C), Characteristic.Properties.INDICATE, 0, b"")
        self.clock = None
        date = Characteristic(short(0x2A08), Characteristic.Properties.READ | Characteristic.Properties.WRITE,
                              Characteristic.READABLE | Characteristic.WRITE_REQUIRES_ENCRYPTION,
                              CharacteristicValue(read=lambda link: self.clock or bytes(7), write=self._set))
        super().__init__(air, name, address, 0x1809, [self.measurement, *([date] if settable else []), *more], **other)

    def _set(self, _link, value):
        self.clock = bytes(value)

    def date(self):
        """The seven octets of its clock."""
        return struct.pack("<HBBBBB", *struct.unpack("<HBBBBB", self.clock)) if self.clock else bytes(7)

    def value(self, hundredths):
        """A temperature as it was measured: FLOAT with exponent -2, and its time if the clock is set."""
        value = struct.pack("<i", (hundredths & 0xFFFFFF) | (-2 << 24))
        return b"\x02" + value + self.date() if self.clock else b"\x00" + value

    async def measure(self, hundredths):
        return await self.indicate(self.measurement, self.value(hundredths))


class Hasty(Thermometer):
    """As medical sensors are: what it has measured while nobody was there it indicates as soon as the link is encrypted, before anybody
    writes or asks anything. `leaves`: when it then hangs up: never, when it is asked for its site, which it does not tell (its clock is
    set by then, and it has said so), or as soon as it is confirmed."""

    NEVER, ASKED, AT_ONCE = range(3)

    def __init__(self, air, name, address, **other):
        site = Characteristic(short(0x2A1D), Characteristic.Properties.READ, Characteristic.READ_REQUIRES_ENCRYPTION,
                              CharacteristicValue(read=self._site))
        super().__init__(air, name, address, more=[site], **other)
        self.waiting, self.confirmed, self.leaves, self.tasks = [], [], self.NEVER, []

    def _encrypted(self, link):
        super()._encrypted(link)
        if link.encryption and self.waiting and self._wants(link, self.measurement, 2):
            self._do(self._say(link))

    async def _site(self, _link):
        """The body, in general."""
        if self.leaves == self.ASKED:
            self.leaves = self.NEVER
            await self.hang_up()
        return b"\x02"

    def _do(self, what):
        self.tasks.append(asyncio.create_task(what))

    async def _say(self, link):
        while self.waiting:
            hundredths = self.waiting[0]
            await self.device.indicate_subscriber(link, self.measurement, self.value(hundredths))
            self.confirmed.append(self.waiting.pop(0))
        if self.leaves == self.AT_ONCE:
            self.leaves = self.NEVER
            await self.hang_up()

    async def hang_up(self):
        for link in self.links():
            await link.disconnect()


class Keyless(Thermometer):
    """Plays a thermometer's address without its key. It leaves the encryption unanswered, indicates a temperature all the same, and
    answers the first request with an error, after which BlueZ calls its services resolved; no other is answered."""

    def __init__(self, air, name, address, hundredths, **other):
        super().__init__(air, name, address, **other)
        self.hundredths, self.said = hundredths, 0
        self.controller.on_le_encryption_request = self._encrypt
        self.device.gatt_server.on_gatt_pdu = self._request

    def _encrypt(self, _connection, _request):
        # Handle Value Indication (Core 5.4, vol. 3 part F, 3.4.7.2).
        pdu = struct.pack("<BH", 0x1D, self.measurement.handle) + self.value(self.hundredths)
        for link in self.links():
            self.device.gatt_server.send_gatt_pdu(link, pdu)
            self.said += 1

    def _request(self, link, pdu):
        # Exchange MTU Request: Error Response, «Unlikely Error».
        if pdu.op_code == 0x02:
            self.device.gatt_server.send_gatt_pdu(link, struct.pack("<BBHB", 0x01, 0x02, 0, 0x0E))
