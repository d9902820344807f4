#!/usr/bin/env python3
"""Bluetooth for real: a gateway over BlueZ and a Linux kernel in a virtual machine, virtual sensors at the other end of the air.

    make test-ble                    everything
    make test-ble ARGS="NAME ..."    these alone

Ends with a table: what was tried, what came out, seconds. Logs stay in target/ble/run. BLE_TEST_PATIENCE=3 waits three times as
long, for a machine that has other work; PITCHSIDE names the program instead of target/debug/pitchside.
"""

import asyncio
import logging
import os
import pathlib
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import scenarios
import trouble
from clinic import Lab


def shown(row):
    return f"{row[0]:7}{row[1]} ({row[3]:.0f} s): {row[2]}"


async def main(words):
    everything = scenarios.GOOD + trouble.BAD
    unknown = set(words) - {scenario.__name__ for scenario in everything}
    if unknown:
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(s.__name__ for s in everything)}")
    rows, begun = [], time.monotonic()
    async with Lab() as lab:
        rows.append(("ok", "the guest boots", f"Linux and BlueZ of Debian, kernel to shell in {lab.booted:.0f} s", time.monotonic() - begun))
        with open(lab.folder / "summary.txt", "w", encoding="utf-8") as log:
            for scenario in everything:
                if words and scenario.__name__ not in words:
                    continue
                started = time.monotonic()
                try:
                    ok, said = True, await scenario(lab)
                except Exception as problem:
                    ok, said = False, f"{type(problem).__name__}: {problem}"
                    traceback.print_exc(file=log)
                rows.append(("ok" if ok else "FAILED", scenario.__name__.replace("_", " "), said, time.monotonic() - started))
                print(shown(rows[-1]), file=sys.stderr, flush=True)
                print(shown(rows[-1]), file=log, flush=True)
    width = max(len(row[1]) for row in rows)
    print(f"{'':7}{'TRIED':{width}}  {'SECONDS':>7}  CAME OUT")
    for row in rows:
        print(f"{row[0]:7}{row[1]:{width}}  {row[3]:7.0f}  {row[2]}")
    return all(row[0] == "ok" for row in rows)


if __name__ == "__main__":
    # Bumble tells of every packet it does not expect; the table tells what came of it.
    logging.basicConfig(level=os.environ.get("BLE_TEST_LOG", "CRITICAL"))
    sys.exit(0 if asyncio.run(main(sys.argv[1:])) else 1)
