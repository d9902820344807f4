// Missing data must never look normal: how far a tile can be trusted, and what to say about it.

import { duration } from "./format";
import type { GapReason, Tile } from "./types";

/** `current`: take it as it is. `stale`: the last value, too old to act on. `lost`: nothing is being measured. */
export type Contact = "current" | "stale" | "lost";

export interface Standing {
  contact: Contact;
  ageMs: number;
  /** What stands below the value. */
  words: string;
}

/** A stale value is shown, greyed, for so many times its lifetime; then none is shown at all. */
const LOST_AFTER = 4;

const GAPS: Record<GapReason, (age: string) => string> = {
  silent: (age) => `no contact: the sensor fell silent ${age} ago`,
  disconnected: (age) => `no contact: disconnected ${age} ago`,
  contact_lost: (age) => `no contact with the skin for ${age}`,
  dropped: (age) => `readings were dropped ${age} ago`,
  clock_step: (age) => `the sensor's clock jumped ${age} ago`,
  ended: (age) => `the sensor said goodbye ${age} ago`,
  invalid: (age) => `the sensor has had no valid value for ${age}`,
};

/** Readings that were buffered by the device are as old as they are, not as their arrival. */
export function measuredAt(tile: Tile): number {
  return Date.parse(tile.quality.includes("late") ? tile.device_time : tile.gateway_time);
}

/** How a tile stands at an instant of the gateway's clock. Without a connection nothing counts as current. */
export function standing(tile: Tile, gatewayNowMs: number, connected = true): Standing {
  // A clock that was set back makes no reading younger than now.
  const ageMs = Math.max(0, gatewayNowMs - measuredAt(tile));
  if (tile.gap !== null) {
    // A newer gateway may know more gaps.
    const words = GAPS[tile.gap] ?? ((age: string) => `no contact for ${age}`);
    return { contact: "lost", ageMs, words: words(duration(ageMs)) };
  }
  if (ageMs > tile.stale_after_ms * LOST_AFTER) {
    return { contact: "lost", ageMs, words: `no contact for ${duration(ageMs)}` };
  }
  if (ageMs > tile.stale_after_ms || !connected) {
    return { contact: "stale", ageMs, words: `${duration(ageMs)} old` };
  }
  return { contact: "current", ageMs, words: caution(tile) ?? (ageMs < 5_000 ? "now" : `${duration(ageMs)} ago`) };
}

/** What is known to be wrong with a current value. */
export function caution(tile: Tile): string | null {
  if (tile.quality.includes("implausible")) return "implausible: check the sensor";
  if (tile.quality.includes("poor_contact")) return "poor skin contact";
  if (tile.quality.includes("future")) return "the sensor's clock is ahead";
  if (tile.quality.includes("late")) return "sent late";
  return null;
}
