import { describe, expect, it } from "vitest";

import { historyPath, tracePath } from "./draw";

const points = (...pairs: [number, number | null][]) => pairs.map(([at, value]) => ({ at, value }));

describe("drawings", () => {
  it("put now at the right edge and leave a gap where nothing was measured", () => {
    const path = historyPath(points([0, 10], [30_000, 20], [58_000, 20], [60_000, 10]), 60_000, 5_000);
    expect(path).toBe("M50 2M96.67 2L100 28");
  });

  it("do not bridge a gap the gateway has signed, however short", () => {
    const path = historyPath(points([57_000, 10], [58_000, 20], [58_500, null], [59_000, 20], [60_000, 10]), 60_000, 5_000);
    expect(path).toBe("M95 28L96.67 2M98.33 2L100 28");
  });

  it("do not blow noise up", () => {
    const path = historyPath(points([58_000, 1_000], [59_000, 1_001]), 60_000, 5_000);
    const heights = [...path.matchAll(/ (\d+(?:\.\d+)?)/g)].map((match) => Number(match[1]));
    expect(Math.abs((heights[0] ?? 0) - (heights[1] ?? 99))).toBeLessThan(2);
  });

  it("are empty without data", () => {
    expect(historyPath([], 0, 1)).toBe("");
    expect(tracePath([5])).toBe("");
  });

  it("span a waveform from edge to edge", () => {
    expect(tracePath([0, 100, 0])).toBe("M0 28L50 2L100 28");
  });
});
