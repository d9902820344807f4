"""What is tried with sensors that mean well. Each function is a sentence; it returns what came out, or raises."""

import asyncio
import json
import re
import statistics
import time

from board import Board
from board import make as make_release
from clinic import BOX, LEDGERD, PITCHSIDE
from guest import Stuck, until
from imu import Imu
from sensors import CODE, Hasty, Strap, Thermometer

COUNTED = 100


def address(number):
    """Of the sensor with this number."""
    return f"F0:F1:F2:F3:F4:0{number}"


ONE, TWO, THREE = (address(number) for number in (1, 2, 3))


def must(what, truth, told=None):
    if not truth:
        raise Stuck(f"{what}{'' if told is None else f': {told}'}")


def is_part(part, whole):
    """Whether `part` stands in `whole`, in order and without holes."""
    return any(whole[at:at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def card(text):
    """What a device is given."""
    return dict(re.findall(r'^(\w+) = "(.*)"$', text, re.M))


async def served(clinic, strap, count=3):
    """Switched on, enrolled with its code, and so many of its values stored."""
    await clinic.switch_on(strap)
    await clinic.enrol(strap, CODE, profiles="heart-rate")
    return await clinic.stored(strap.name, "heart_rate", count, 60)


async def holds(clinic, device, rate):
    """Whether this heart rate of the device is stored."""
    return rate in await clinic.values(device, "heart_rate")


async def holds_since(clinic, before, rate="90", device="strap-1"):
    """Whether it is among the values after so many."""
    return rate in (await clinic.values(device, "heart_rate"))[before:]


async def a_strap_and_a_thermometer(lab):
    """Both bond with their codes; what they say is stored, to the digit, and sealed."""
    async with lab.clinic() as clinic:
        strap, thermo = Strap(lab.air, "strap-1", ONE), Thermometer(lab.air, "thermo-1", TWO)
        await clinic.switch_on(strap, thermo)
        await clinic.enrol(strap, CODE, profiles="heart-rate")
        await clinic.enrol(thermo, CODE, profiles="thermometer")
        # The first beat that finds a subscriber is the first that counts.
        await until("a subscription of strap-1", 60, strap.beat)
        rates = []
        for strap.rate in range(100, 130):
            await strap.beat()
            rates.append(str(strap.rate))
            await asyncio.sleep(0.1)
        values = await clinic.stored("strap-1", "heart_rate", len(rates) + 1)
        must("heart rates as they were sent", is_part(rates, values), values)
        await until("a subscription of thermo-1", 60, lambda: thermo.measure(3660))
        for hundredths in (3661, 3899, 4010):
            must("confirmed", await thermo.measure(hundredths))
        must("temperatures", await clinic.stored("thermo-1", "body_temperature", 4) == ["36.60", "36.61", "38.99", "40.10"])
        must("the gateway set the thermometer's clock", thermo.clock and thermo.clock[:2] == bytes([0xEA, 0x07]), thermo.clock)
        bonds = await clinic.bonds()
        strong = ("LE Secure Connections", True, 128)
        must("bonds", [bonds.get(address) for address in (ONE, TWO)] == [strong, strong], bonds)
        must("encrypted", len(strap.encrypted()) == len(thermo.encrypted()) == 1)
        await clinic.sealed("strap-1")
        finding = await clinic.doctor("Bluetooth devices")
        must("doctor", finding["ok"] and "strap-1" in finding["evidence"], finding)
        must("the scan is passive", clinic.said('scan="passive"'))
        return f"{len(values)} heart rates and 4 temperatures at R0, bonded (LE Secure Connections, code), sealed, chain verifies"


async def a_thermometer_whose_clock_was_never_set(lab):
    """37.60 degrees at the finger, dated by a clock that still counts from 2012: they are taken, dated to their arrival."""
    async with lab.clinic() as clinic:
        thermo = Thermometer(lab.air, "thermo-1", TWO, settable=False)
        await clinic.switch_on(thermo)
        await clinic.enrol(thermo, CODE, profiles="thermometer")
        value = bytes.fromhex("06b00e00fedc070c050b321b04")
        await until("a subscription of thermo-1", 60, lambda: thermo.indicate(thermo.measurement, value))
        must("temperatures", set(await clinic.stored("thermo-1", "skin_temperature", 1)) == {"37.60"})
        times = [row["device_time"] for row in await clinic.readings("thermo-1")]
        must("dated to its arrival", not any(time.startswith("2012") for time in times), times)
        return "37.60 Cel of 2012, indicated today: stored, dated to its arrival"


async def a_thermometer_that_speaks_first_and_hangs_up(lab):
    """It keeps who has subscribed: what it has measured it indicates as soon as the link is encrypted, and deletes it once that is
    confirmed, whether anybody listens or not. All of it is stored; or, if it hung up before it had answered anything, told as lost."""
    async with lab.clinic() as clinic:
        thermo = Hasty(lab.air, "thermo-1", TWO)
        await clinic.switch_on(thermo)
        await clinic.enrol(thermo, CODE, profiles="thermometer")
        await until("a subscription of thermo-1", 60, lambda: thermo.measure(3600))
        sent = ["36.00"]

        async def away_and_back(hundredths, leaves):
            """Measured while nobody is there: one, or several."""
            thermo.waiting, thermo.leaves = list(hundredths), leaves
            links = thermo.connected
            await thermo.hang_up()
            await until("all of it confirmed", 90, lambda: not thermo.waiting and thermo.connected > links)

        # It stays; it hangs up when it has answered and is asked on, three times in a row: no pause grows.
        for hundredths, leaves in (((3601,), Hasty.NEVER), ((3602, 3603, 3604), Hasty.NEVER), ((3605,), Hasty.ASKED),
                                   ((3606,), Hasty.ASKED), ((3607,), Hasty.ASKED)):
            await away_and_back(hundredths, leaves)
            sent += [f"{each / 100:.2f}" for each in hundredths]
            await clinic.stored("thermo-1", "body_temperature", len(sent), 60)
        must("every temperature once, in order", await clinic.values("thermo-1", "body_temperature") == sent, sent)
        taken = clinic.said("what it said by itself is taken device=thermo-1")
        must("taken without a subscription", len(taken) == 3, len(taken))
        must("nothing was lost", not any(reason == "dropped" for _, reason in await clinic.gaps("thermo-1")))

        # The gateway is restarted while it is away, bluetoothd is not: it still knows what is to be listened to.
        thermo.leave()
        await until("the link is lost", 10, lambda: not thermo.links())
        await clinic.stop("KILL")
        thermo.waiting = [3608]
        await clinic.start()
        thermo.back()
        await until("confirmed to the new gateway", 90, lambda: not thermo.waiting)
        sent.append("36.08")
        must("stored by the new gateway", await clinic.stored("thermo-1", "body_temperature", len(sent), 60) == sent, sent)

        # Gone before it has answered anything: nobody knows that it was the device. Lost, and said to be.
        await away_and_back((3609,), Hasty.AT_ONCE)
        await until("a subscription of thermo-1 again", 90, lambda: thermo.measure(3610))
        values = await clinic.stored("thermo-1", "body_temperature", len(sent) + 1, 60)
        gaps = await clinic.gaps("thermo-1")
        must("stored, or told as lost", "36.09" in values or ("body_temperature", "dropped") in gaps, (values, gaps))
        must("paired once", len(clinic.said("BLE: pairing")) == 1)
        return f"{len(sent)} temperatures, {len(sent) - 1} of them before anybody subscribed: each stored once; one of a link that ended at once: {'stored' if '36.09' in values else 'a gap `dropped`'}"


async def latency(lab):
    """How long a notification took in the gateway until it was durable, one at a time."""
    async with lab.clinic(log="pitchside=info,pitchside_collect::ble=trace,gatewayd=info") as clinic:
        strap = Strap(lab.air, "strap-1", ONE)
        await clinic.switch_on(strap)
        await clinic.enrol(strap, CODE, profiles="heart-rate")
        await until("a subscription of strap-1", 60, strap.beat)
        await clinic.stored("strap-1", "heart_rate", 1)
        await asyncio.sleep(3)
        since = lab.guest.here()
        for _ in range(COUNTED):
            await strap.beat()
            await asyncio.sleep(0.35)
        pattern = r"BLE: stored device=strap-1 stored_after_us=(\d+)"
        taken = await until("all of them stored", 60, lambda: _at_least(re.findall(pattern, lab.guest.said()[since:]), COUNTED))
        spent = sorted(int(micros) / 1000 for micros in taken)
        median, p99 = statistics.median(spent), spent[int(len(spent) * 0.99) - 1]
        return f"{len(spent)} notifications: arrival in the gateway to R0 median {median:.1f} ms, p99 {p99:.1f} ms (debug build, emulated CPU)"


def _at_least(found, count):
    return found if len(found) >= count else None


async def out_of_range_and_back(lab):
    async with lab.clinic() as clinic:
        strap = Strap(lab.air, "strap-1", ONE).start()
        await served(clinic, strap, 5)
        strap.leave()
        await clinic.gap("strap-1", "heart_rate", "disconnected")
        await until("the strap heard of it", 10, lambda: strap.disconnected == 1)
        # Long enough for the pauses to grow; every attempt is at the adapter's cost.
        await asyncio.sleep(12)
        before = len(await clinic.values("strap-1", "heart_rate"))
        begun = asyncio.get_running_loop().time()
        strap.back()
        strap.rate = 90
        await until("reconnected", 60, lambda: strap.connected == 2)
        took = asyncio.get_running_loop().time() - begun
        await until("a new value", 60, lambda: holds_since(clinic, before))
        must("paired once", len(clinic.said("BLE: pairing")) == 1)
        must("nothing was stored while it was away", before >= 5)
        strap.stop()
        return f"a gap `disconnected`, connected again {took:.1f} s after it came back, on the old bond"


async def a_wrong_passkey(lab):
    async with lab.clinic() as clinic:
        strap = Strap(lab.air, "strap-1", ONE).start()
        await clinic.switch_on(strap)
        await clinic.enrol(strap, CODE + 1, profiles="heart-rate")
        await clinic.hears(r"BLE: refused.*strap-1.*pairing failed", 60)
        must("nothing let in", await clinic.readings("strap-1") == [])
        must("nobody subscribed", strap.beats == 0, strap.beats)
        must("no bond", await clinic.bonds() == {})
        # The right code mends it, without enrolling anew.
        await clinic.cli("device code strap-1", f"{CODE:06}")
        values = await clinic.stored("strap-1", "heart_rate", 3, 90)
        strap.stop()
        return f"refused, no bond, nothing stored; with the right code {len(values)} readings, bonded"


async def a_code_read_off_the_sensor(lab):
    async with lab.clinic() as clinic:
        strap = Strap(lab.air, "strap-1", ONE).start()
        await clinic.switch_on(strap)
        await clinic.enrol(strap, profiles="heart-rate")
        await clinic.hears("shows a code: type it into", 60)
        must("nothing let in before", await clinic.readings("strap-1") == [])
        await clinic.cli("device code strap-1", f"{CODE:06}")
        await clinic.stored("strap-1", "heart_rate", 3, 60)
        # Reset, it shows another code: the one that was told is not tried again.
        strap.leave(), strap.stop()
        await clinic.gap("strap-1", "heart_rate", "disconnected")
        reset = Strap(lab.air, "reset", ONE, rate=90, code=CODE + 7).start()
        await clinic.switch_on(reset)
        since = lab.guest.here()
        await clinic.cli("device forget strap-1")
        await clinic.hears("shows a code: type it into", 180, since)
        await clinic.cli("device code strap-1", f"{CODE + 7:06}")
        await until("it has paired anew, with the code it shows now", 120, lambda: holds(clinic, "strap-1", "90"))
        reset.stop()
        return "the pairing waited for `device code`; then bonded with a code compared; reset and forgotten, it waited again for the new one"


async def contact_lost(lab):
    async with lab.clinic() as clinic:
        strap = Strap(lab.air, "strap-1", ONE).start()
        await served(clinic, strap)
        strap.touching, strap.rate = False, 33
        await clinic.gap("strap-1", "heart_rate", "contact_lost")
        must("what it guesses off the skin is no heart rate", "33" not in await clinic.values("strap-1", "heart_rate"))
        strap.touching, strap.rate = True, 71
        await until("a value on the skin again", 30, lambda: holds(clinic, "strap-1", "71"))
        must("skin contact", {"0", "1"} <= set(await clinic.values("strap-1", "skin_contact")))
        must("the link held", strap.disconnected == 0)
        await clinic.sealed("strap-1")
        strap.stop()
        return "a gap `contact_lost`, sealed; no heart rate from off the skin; values again after"


async def more_straps_than_slots(lab):
    async with lab.clinic(slots=2, turn=6) as clinic:
        straps = [Strap(lab.air, f"strap-{n}", address(n), rate=60 + n).start() for n in range(1, 5)]
        most = 0

        async def count():
            nonlocal most
            while True:
                most = max(most, sum(1 for strap in straps if strap.links()))
                await asyncio.sleep(0.02)
        counting = asyncio.create_task(count())
        await clinic.switch_on(*straps)
        for strap in straps:
            await clinic.enrol(strap, CODE, profiles="heart-rate")
        finding = await until("doctor names who waits", 90, lambda: _waiting(clinic))
        for strap in straps:
            await clinic.stored(strap.name, "heart_rate", 2, 120)
        counting.cancel()
        must("never more connections than slots", most <= 2, most)
        for strap in straps:
            strap.stop()
        waiting = re.search(r"waiting: ([^;(]*)", finding["evidence"])[1].strip()
        return f"4 straps, 2 slots: at most {most} at once, each had its turn; doctor: waiting: {waiting}"


async def _waiting(clinic):
    finding = await clinic.doctor("Bluetooth devices")
    return finding if finding and not finding["ok"] and "waiting: strap" in finding["evidence"] else None


async def ps1_over_gatt(lab):
    """By a device that keeps to the default ATT MTU of 23."""
    async with lab.clinic() as clinic:
        imu = Imu(lab.air, "imu-1", THREE, mtu=23)
        await clinic.switch_on(imu)
        secret = card(await clinic.card("imu-1", THREE))
        await until("a subscription", 60, lambda: imu.notify(imu.up, b"\xff"))
        try:
            await imu.handshake(secret, psk=bytes(32))
            raise Stuck("a wrong key was let in")
        except (PermissionError, asyncio.TimeoutError):
            pass
        must("nothing let in", await clinic.readings("imu-1") == [])
        await imu.handshake(secret)
        for value in range(70, 90):
            await imu.say(value)
        # A piece that is lost costs its frame; the device says it again.
        await imu.say(91, lose=1)
        values = await clinic.values("imu-1", "heart_rate", assurance="noise")
        must("values", values == [str(value) for value in (*range(70, 90), 91)], values)
        rounds = sorted(1000 * took for took in imu.took)
        return (f"P1 handshake at the default MTU, 21 receipts R0 (`noise`); wrong key refused; notification to receipt on the sensor's side "
                f"median {statistics.median(rounds):.0f} ms, worst {rounds[-1]:.0f} ms")


async def firmware_over_gatt(lab):
    """A release from its publisher through a ledger and the gateway into a sensor's flash."""
    ingest, store, ledger, maker, given = "127.0.0.1:7001", "127.0.0.1:7002", "/data/ledger", "/data/maker", "/data/given"
    files = lab.folder / "given"
    await make_release(files)
    guest = lab.guest
    await guest.run(f"rm -rf {ledger} {maker} {given}; mkdir {given}; {LEDGERD} --dir {ledger} init --origin pitchside.example/test", 120)
    key = (await guest.run(f"cat {ledger}/channel.pub")).strip()
    for name in ("first.policy", "strap.release", "strap.bin"):
        await guest.copy(files / name, f"{given}/{name}")
    await guest.run(f"chmod 755 {ledger} {given}; chmod 644 {ledger}/policy {given}/*")
    more = (f'[ledger]\naddress = "{ingest}"\npublic_key = "{key}"\npolicy = "{ledger}/policy"\n'
            f'[firmware]\nrelease_policy = "{given}/first.policy"\nledger_store = "{store}"\nledger_store_wait_s_max = 0\nask_s = 1\nlisten = "off"\n')
    async with lab.clinic(more=more, running=False) as clinic:
        ledgerd = await guest.background(f"{LEDGERD} --dir {ledger} serve --ingest {ingest} --http {store}")
        try:
            await guest.run(f"{PITCHSIDE} firmware init --dir {maker} --name maker --ledger {ingest} --ledger-key {key} --ledger-policy {ledger}/policy "
                            f"--release-policy {given}/first.policy", 120)
            for enrol in (f"enrol-gateway {BOX}/keys/ledger-enrolment.toml", f"enrol-publisher {maker}/keys/ledger-enrolment.toml", f"release-policy {given}/first.policy"):
                await guest.run(f"{LEDGERD} --dir {ledger} {enrol}", 120)
            await clinic.start()
            board = Board(lab.air, "board-1", THREE)
            await clinic.switch_on(board)
            secret = card(await clinic.card("board-1", THREE))
            await until("a subscription", 60, lambda: board.notify(board.up, b"\xff"))
            firmware = f"{PITCHSIDE} --config {maker}/pitchside.toml --json firmware"
            published = f"{firmware} publish {given}/strap.release --content {given}/strap.bin"
            # The ledger shows within a second or two what its operator entered.
            await until("the release is published", 60, lambda: _exits(guest, published))
            release = json.loads(await guest.run(f"{firmware} status", 60))["releases"][0]["release"]
            for to in (1, 10, 100):
                await guest.run(f"{firmware} rollout {release} --hardware strap-r2 --to {to}", 60)
            begun = time.monotonic()
            await board.begin(secret["psk"])
            must("a session", await board.says(60) == "connected")
            must("a whole image, verified", await board.says(300) == "verified")
            pulled = time.monotonic() - begun
            must("the new image runs", await board.says(120) == "confirmed 1.1.0")

            async def noted():
                sensors = json.loads(await clinic.cli("--json firmware status"))["sensors"]
                return any(row["device"] == "board-1" and (row["running"], row["state"]) == ("1.1.0", "confirmed") for row in sensors)
            await until("the gateway knows its version", 60, noted)
            return f"20 kB from ledger to flash in {pulled:.0f} s, two of three signatures checked on the board; started, confirmed, reported as 1.1.0"
        finally:
            await clinic.stop()
            await guest.kill(ledgerd)


async def _exits(guest, command):
    return (await guest.run(f"{command} > /data/published 2>&1; echo exit $?", 60)).split()[-1] == "0"


GOOD = [a_strap_and_a_thermometer, a_thermometer_whose_clock_was_never_set, a_thermometer_that_speaks_first_and_hangs_up, latency, out_of_range_and_back, a_wrong_passkey,
        a_code_read_off_the_sensor, contact_lost, more_straps_than_slots, ps1_over_gatt, firmware_over_gatt]
