// Things to test with.

import type { Alert, Block, Live, Tile } from "./types";

/** An instant of the gateway's clock: so many seconds after the tests' beginning. */
export const at = (seconds: number): string => new Date(1_790_000_000_000 + seconds * 1_000).toISOString();
export const ms = (seconds: number): number => Date.parse(at(seconds));

export const tile = (changes: Partial<Tile> = {}): Tile => ({
  athlete: "ada",
  device: "strap-1",
  quantity: "heart_rate",
  unit: "/min",
  value: "150",
  trace: null,
  gap: null,
  quality: [],
  device_time: at(0),
  gateway_time: at(0),
  stale_after_ms: 10_000,
  assurance: "noise",
  revision: 1,
  ...changes,
});

export const alert = (changes: Partial<Alert> = {}): Alert => ({
  id: "0".repeat(32),
  rule: "heat-illness",
  rule_version: "1.0.0",
  category: "physiological",
  latches: false,
  priority: "high",
  athlete: "ada",
  device: "pill-1",
  quantity: "core_temperature",
  value: "39.60",
  unit: "Cel",
  event_time: at(0),
  message: "Core temperature is high and still rising.",
  state: "raised",
  acknowledged_by: null,
  acknowledged_at: null,
  cleared_at: null,
  reset_by: null,
  reset_note: null,
  ...changes,
});

export const block = (index: number, changes: Partial<Block> = {}): Block => ({
  index,
  hash: "ab".repeat(32),
  sealed_at: at(0),
  readings: 10,
  payload_bytes: 100,
  receipt: "R0",
  ...changes,
});

export const live = (changes: Partial<Live> = {}): Live => ({
  now: at(0),
  run: "run-1",
  last_event_id: 10,
  status: {
    gateway: "box",
    version: "0.1.0",
    started_at: at(-60),
    devices_connected: 1,
    readings: 1,
    ledger: { link: "connected", blocks_waiting: 0, last_receipt_at: null },
  },
  tiles: [tile()],
  alerts: [],
  blocks: [],
  ...changes,
});
