#!/usr/bin/env python3
"""Tests of the appliance image in virtual machines.

    tests/image/main.py                  builds, boots, readings, updates good and bad, twenty power cuts
    tests/image/main.py all              also bad disks, a rotting slot, power cuts in first start and factory reset: an hour or two
    tests/image/main.py NAME ...         these (and the first start before them)

Ends with a table: what was tried, what came out, seconds. Consoles and logs stay in images/out/test. IMAGE_TEST_PATIENCE=3 waits three
times as long, for a machine that has other work; IMAGE_TEST_LANES=4 starts four boxes at a time after the power cuts instead of two (1 GB of memory each); IMAGE_TEST_BINARY names the
program instead of target/release/pitchside.
"""

import functools
import pathlib
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import scenarios
import trouble
import versions
from vm import OUT


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
    state, rows = {}, []
    if words != ["all"] and words:
        steps = []
    else:
        steps = [(step.__name__, step) for step in (scenarios.the_same_inputs_build_the_same_bytes, scenarios.the_bill_of_materials_names_everything)]
    steps += [(scenario.__name__, functools.partial(scenario, state)) for scenario in chosen]
    with open(OUT / "test/summary.log", "w", encoding="utf-8") as log:
        for name, step in steps:
            started = time.monotonic()
            try:
                ok, said = True, step()
            except KeyboardInterrupt:
                raise
            except BaseException as problem:
                ok, said = False, f"{type(problem).__name__}: {problem}"
                traceback.print_exc(file=log)
            row = ("ok" if ok else "FAILED", name.replace("_", " "), said, time.monotonic() - started)
            rows.append(row)
            print(f"{row[0]:7}{row[1]} ({row[3]:.0f} s): {row[2]}", file=sys.stderr, flush=True)
            print(f"{row[0]:7}{row[1]} ({row[3]:.0f} s): {row[2]}", file=log, flush=True)
            if not ok and name == "first_start_and_claim":
                break
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


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
