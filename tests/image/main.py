#!/usr/bin/env python3
"""Tests of the appliance image in virtual machines.

    tests/image/main.py                  builds, boots, readings, updates good and bad, twenty power cuts
    tests/image/main.py all              also bad disks, a rotting slot, power cuts in first start and factory reset: an hour or two
    tests/image/main.py NAME ...         these (and the first start before them)

Ends with a table: what was tried, what came out, seconds. Consoles and logs stay in images/out/test. IMAGE_TEST_PATIENCE=3 waits three
times as long, for a machine that has other work; IMAGE_TEST_LANES=4 has four boxes on at a time instead of two (1 GB of memory each)
where each is one of its own: after the power cuts, and with bad disks. IMAGE_TEST_BINARY names the program instead of
target/release/pitchside.
"""

import pathlib
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import scenarios
import trouble
import versions
from lab import off
from vm import LANES, OUT, Stuck


def main(words):
    (OUT / "test").mkdir(parents=True, exist_ok=True)
    everything = scenarios.ALWAYS + trouble.TROUBLE
    if not words:
        chosen = scenarios.ALWAYS
    elif words == ["all"]:
        chosen = everything
    else:
        unknown = set(words) - {scenario.__name__ for scenario in everything}
        if unknown:
            sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(s.__name__ for s in everything)}")
        chosen = [scenario for scenario in everything if scenario.__name__ in words or scenario is scenarios.first_start_and_claim]
    steps = []
    if not words or words == ["all"]:
        steps = [scenarios.the_same_inputs_build_the_same_bytes, scenarios.the_bill_of_materials_names_everything]
    steps += [scenario for scenario in chosen if scenario not in trouble.APART]
    apart = [scenario for scenario in chosen if scenario in trouble.APART]
    with open(OUT / "test/summary.log", "w", encoding="utf-8") as log:
        state = {}
        rows = in_turn(steps, state, apart, log)
        if "clinic" in state:
            state["clinic"].box.cut_power()
        width = max(len(row[1]) for row in rows)
        table = [f"{'':7}{'TRIED':{width}}  {'SECONDS':>7}  CAME OUT"]
        table += [f"{row[0]:7}{row[1]:{width}}  {row[3]:7.0f}  {row[2]}" for row in rows]
        sizes = versions.folder(versions.BASE) / "summary.txt"
        table += [""] + (sizes.read_text(encoding="utf-8").splitlines() if sizes.exists() else [])
        print("\n".join(table))
        print("\n".join(table), file=log)
    return all(row[0] == "ok" for row in rows)


def in_turn(steps, state, apart, log):
    """Each step after the other on one clinic; then, on copies of its box, what is tried `apart`, a few at a time. A row of each."""
    rows = []
    for step in steps:
        rows.append(row(step, state, log))
        if rows[-1][0] != "ok" and step is scenarios.first_start_and_claim:
            return rows
    if not apart:
        return rows
    try:
        off(state)
    except Stuck as problem:
        print(f"the clinic's box did not shut down ({problem}): its power is cut", file=log)
        state["clinic"].box.cut_power()
    with ThreadPoolExecutor(max_workers=LANES) as lanes:
        rows += lanes.map(lambda scenario: row(scenario, {"clinic": state["clinic"]}, log), apart)
    return rows


def row(step, state, log):
    """Tries one sentence; whether it held, its words, what came out, seconds. No copy of a box stays on."""
    started = time.monotonic()
    try:
        ok, said = True, step(state)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        ok, said = False, f"{type(problem).__name__}: {problem}"
        traceback.print_exc(file=log)
    for trial in state.pop("copies", []):
        trial.box.cut_power()
    found = ("ok" if ok else "FAILED", step.__name__.replace("_", " "), said, time.monotonic() - started)
    for out in (sys.stderr, log):
        print(f"{found[0]:7}{found[1]} ({found[3]:.0f} s): {found[2]}", file=out, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
