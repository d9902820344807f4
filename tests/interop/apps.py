#!/usr/bin/env python3
"""Programs that read alerts, against a real gateway: Debian's mosquitto_sub and mosquitto_pub, Python's `paho-mqtt`; MQTT 3.1.1 and 5,
TLS under the box's own authority.

    make build && tests/tools/setup.sh interop && target/python/bin/python tests/interop/apps.py
"""

import json
import os
import queue
import signal
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "gateway", "wire", "examples"))

import cbor2
import paho.mqtt.client as mqtt

import ps1_p0
from box import PATIENCE, Box, Line
from ps1_p0 import CONFIRM, DATA, message, same
from ps1_p1_p2 import Device

VERSIONS = ("mqttv311", "mqttv5")


def mosquitto(box, program, user, password, version, *args, ca=None):
    """Exit code, standard output, standard error."""
    command = [program, "-h", "localhost", "-p", str(box.tls), "--cafile", ca or box.ca, "-V", version, "-u", user, "-P", password, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr.strip()


def away(box, password, version, topic):
    """What a program hears first that was away, under its old client id and with the session it asked for."""
    return mosquitto(box, "mosquitto_sub", "viewer", password, version, "-c", "-i", f"viewer-{version}", "-q", "1", "-t", topic,
                     "-C", "1", "-W", "10")


def subscriber(box, user, password, version, filters):
    """A paho client: the SUBACK's reasons and a queue of what comes."""
    granted, heard = queue.Queue(), queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{user}-{version}", protocol=version)
    client.username_pw_set(user, password)
    client.tls_set(ca_certs=box.ca, tls_version=ssl.PROTOCOL_TLS_CLIENT)
    client.on_connect = lambda client, data, flags, reason, properties: client.subscribe([(each, 1) for each in filters])
    client.on_subscribe = lambda client, data, number, reasons, properties: granted.put(reasons)
    client.on_message = lambda client, data, got: heard.put(got)
    client.connect("localhost", box.tls)
    client.loop_start()
    return client, granted.get(timeout=PATIENCE), heard


def beats(box, secret, rate, seconds):
    """A strap that measured one rate for so many seconds, until now; its line, still open."""
    device = Device(1, secret["device"], bytes.fromhex(secret["psk"]))
    line = Line(box, secret["device"])
    line.send("hs", device.hello())
    device.reply(line.hear())
    line.send("hs", device.seal(CONFIRM))
    device.open(line.hear())
    now = time.time()
    for second in range(seconds):
        body = cbor2.dumps([{0: "heart_rate", 1: "beat/min", 2: rate, 6: now - seconds + second}])
        line.send("up", device.seal(DATA, message(1, second, 0, body)))
        device.open(line.hear())
    return line


def main():
    with Box() as box:
        strap = box.enrol("strap-1", "p1")
        box.cli("athlete", "add", "ada")
        box.cli("device", "assign", "strap-1", "ada")
        coach = box.enrol("coach", "app", "--read", "alerts/#")
        viewer = box.enrol("viewer", "app", "--read", "alerts/#")
        box.start()

        client, reasons, heard = subscriber(box, "coach", coach, mqtt.MQTTv5, ["alerts/#", "live/#", "#"])
        same("granted, not granted, not granted", [reason.value for reason in reasons], [1, 0x87, 0x87])
        older, reasons, also = subscriber(box, "coach", coach, mqtt.MQTTv311, ["alerts/+", "live/#"])
        same("granted, not granted, in 3.1.1", [reason.value for reason in reasons], [1, 0x80])

        line = beats(box, strap, 210, 20)
        for queued in (heard, also):
            got = queued.get(timeout=PATIENCE)
            alert = json.loads(got.payload)["alert"]
            same("the alert", (got.topic, alert["rule"], alert["athlete"], alert["priority"]),
                 (f"alerts/{alert['id']}", "heart-rate-ceiling", "ada", "high"))
        # The command line may look before the alert is on the disk; it went out before.
        until = time.monotonic() + PATIENCE
        while alert["id"] not in (recorded := [row["id"] for row in box.cli("alerts")]) and time.monotonic() < until:
            time.sleep(0.05)
        same("once, and the one that is on record", [one for one in recorded if one == alert["id"]], [alert["id"]])

        for version in VERSIONS:
            code, out, _ = away(box, viewer, version, "alerts/#")
            same(f"whoever comes later finds it, {version}", (code, json.loads(out)["alert"]["id"]), (0, alert["id"]))
            refusals = {mosquitto(box, "mosquitto_sub", user, "wrong", version, "-t", "alerts/#") for user in ("viewer", "nobody")}
            same(f"a wrong password and an unknown user look alike, {version}", len(refusals), 1)
            same(f"refused, {version}", refusals.pop()[0], 4 if version == "mqttv311" else 0x86)
        _, _, error = mosquitto(box, "mosquitto_pub", "coach", coach, "mqttv5", "-t", "alerts/x", "-m", "{}", "-q", "1")
        same("an app publishes nothing", "not authori" in error.lower(), True)
        code, out, _ = mosquitto(box, "mosquitto_sub", "coach", coach, "mqttv5", "-t", "alerts/#", "-C", "1", "-W", "3",
                                 ca="/etc/ssl/certs/ca-certificates.crt")
        same("another authority's word is not taken", (code != 0, out), (True, ""))

        # It ends while the viewer, who asks for a session, is away; then the box is cut off.
        box.cli("alerts", "reset", alert["id"], "--author", "ann")
        for queued in (heard, also):
            told = json.loads(queued.get(timeout=PATIENCE).payload)
            same("the end", (told["type"], told["id"], told["by"]), ("alert_cleared", alert["id"], "ann"))
        for cut_off in (False, True):
            if cut_off:
                box.stop(signal.SIGKILL)
                box.start()
            for version in VERSIONS:
                code, out, _ = away(box, viewer, version, f"alerts/{alert['id']}")
                same(f"who was away hears how it ended, {version}, cut off: {cut_off}", (code, json.loads(out or "{}").get("type")),
                     (0, "alert_cleared"))

        line.close()
        for one in (client, older):
            one.disconnect()
            one.loop_stop()
        print(f"{ps1_p0.CHECKS} checks passed")


if __name__ == "__main__":
    main()
