import { describe, expect, it } from "vitest";

import { at, ms, tile } from "./fixtures";
import { standing } from "./staleness";

describe("standing", () => {
  it("takes a value as current until its lifetime is over, then greys it, then shows none", () => {
    expect(standing(tile(), ms(1))).toMatchObject({ contact: "current", words: "now" });
    expect(standing(tile(), ms(9))).toMatchObject({ contact: "current", words: "9 s ago" });
    expect(standing(tile(), ms(10))).toMatchObject({ contact: "current" });
    expect(standing(tile(), ms(11))).toMatchObject({ contact: "stale", words: "11 s old" });
    expect(standing(tile(), ms(41))).toMatchObject({ contact: "lost", words: "no contact for 41 s" });
  });

  it("says why nothing is measured, however fresh that news is", () => {
    const gap = tile({ value: null, gap: "contact_lost" });
    expect(standing(gap, ms(0))).toMatchObject({ contact: "lost", words: "no contact with the skin for 0 s" });
  });

  it("does not take a buffered reading for a new one", () => {
    const late = tile({ quality: ["late"], device_time: at(-600), gateway_time: at(0) });
    expect(standing(late, ms(0))).toMatchObject({ contact: "lost", words: "no contact for 10 min" });
  });

  it("names what is wrong with a current value", () => {
    expect(standing(tile({ quality: ["implausible"] }), ms(1)).words).toBe("implausible: check the sensor");
    expect(standing(tile({ quality: ["no_clock"] }), ms(1)).words).toBe("now");
  });

  it("takes nothing for current while the gateway cannot be reached", () => {
    expect(standing(tile(), ms(1), false)).toMatchObject({ contact: "stale", words: "1 s old" });
  });

  it("is not confused by a clock that was set back", () => {
    expect(standing(tile(), ms(-30))).toMatchObject({ contact: "current", ageMs: 0 });
  });
});
