import { describe, expect, it } from "vitest";

import { bytes, counted, duration, quantityName, RECEIPTS, ruleName, unitName, valueText } from "./format";

describe("format", () => {
  it("writes durations in one unit, never rounded up", () => {
    const all = [-5, 0, 999, 59_999, 119_999, 120_000, 7_199_999, 7_200_000, 172_800_000];
    expect(all.map(duration)).toEqual(["0 s", "0 s", "0 s", "59 s", "119 s", "2 min", "119 min", "2 h", "2 d"]);
  });

  it("keeps the precision of values", () => {
    expect(valueText("37.60", "core_temperature")).toBe("37.60");
    expect(valueText("-0.5", "ambient_temperature")).toBe("−0.5");
  });

  it("names what is counted per minute", () => {
    expect(unitName("/min", "heart_rate")).toBe("bpm");
    expect(unitName("/min", "cadence")).toBe("rpm");
    expect(unitName("/min", "something_new")).toBe("/min");
    expect(unitName("Cel", "core_temperature")).toBe("°C");
    expect(unitName("furlong", "distance")).toBe("furlong");
  });

  it("makes names of what it does not know", () => {
    expect(quantityName("grip_force")).toBe("Grip force");
    expect(ruleName("heart-rate-ceiling")).toBe("Heart rate ceiling");
  });

  it("writes sizes", () => {
    expect([0, 1, 2_000].map((n) => counted(n, "reading"))).toEqual(["0 readings", "1 reading", "2,000 readings"]);
    expect([999, 1_500, 2_000_000].map(bytes)).toEqual(["999 B", "1.5 kB", "2.0 MB"]);
  });

  it("explains every receipt", () => {
    for (const { brief, full } of Object.values(RECEIPTS)) expect(brief.length * full.length).toBeGreaterThan(0);
  });
});
