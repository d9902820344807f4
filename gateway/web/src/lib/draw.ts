// Lines of small drawings, as SVG path data in a box of 100 by 30. A gap in the data is a gap in the line.

import { HISTORY_MS, type Point } from "./reducer";

const WIDTH = 100;
const HEIGHT = 30;
const MARGIN = 2;

const round = (n: number) => Math.round(n * 100) / 100;

function heights(values: readonly number[], spanMin: number): (value: number) => number {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const span = Math.max(high - low, spanMin);
  const base = (low + high) / 2 - span / 2;
  return (value) => round(HEIGHT - MARGIN - ((value - base) / span) * (HEIGHT - 2 * MARGIN));
}

/** The last minute, now at the right edge. Gaps are not bridged, nor are steps longer than `breakMs`. */
export function historyPath(points: readonly Point[], gatewayNowMs: number, breakMs: number): string {
  const recent = points.filter((point) => point.at > gatewayNowMs - HISTORY_MS);
  const values = recent.flatMap(({ value }) => (value === null ? [] : [value]));
  if (values.length < 2) return "";
  // A value that hardly moves is drawn flat, not as noise blown up to the whole height.
  const y = heights(values, Math.max(Math.abs(values[0] ?? 0) * 0.02, 1e-9));
  let path = "";
  let before: number | null = null;
  for (const point of recent) {
    if (point.value === null) {
      before = null;
      continue;
    }
    const x = round(WIDTH - ((gatewayNowMs - point.at) / HISTORY_MS) * WIDTH);
    path += `${before === null || point.at - before > breakMs ? "M" : "L"}${x} ${y(point.value)}`;
    before = point.at;
  }
  return path;
}

/** A stretch of waveform over the whole width. */
export function tracePath(points: readonly number[]): string {
  if (points.length < 2) return "";
  const y = heights(points, 1);
  const step = WIDTH / (points.length - 1);
  return points.map((value, i) => `${i === 0 ? "M" : "L"}${round(i * step)} ${y(value)}`).join("");
}
