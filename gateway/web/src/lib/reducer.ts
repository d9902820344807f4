// What the page knows, and how events change it. Pure: the same events give the same page.

import type { Alert, Block, Live, LiveEvent, Status, Tile } from "./types";

/** How much of the past a small drawing shows. */
export const HISTORY_MS = 60_000;
/** At most four values a second reach us. */
const HISTORY_POINTS_MAX = 256;
const BLOCKS_MAX = 12;

export interface Point {
  at: number;
  /** Null: nothing was measured from here on. */
  value: number | null;
}

export interface Page {
  run: string;
  lastEventId: number;
  /** Gateway's clock minus this browser's, in milliseconds. */
  skewMs: number;
  status: Status;
  tiles: ReadonlyMap<string, Tile>;
  /** Numbers of the last minute by tile, for drawing only. */
  history: ReadonlyMap<string, readonly Point[]>;
  /** Newest first. */
  alerts: readonly Alert[];
  /** Newest first. */
  blocks: readonly Block[];
}

export const keyOf = (tile: Tile): string => `${tile.device}/${tile.quantity}`;

/** An alert stays on the page until it is both seen and over. */
export const isOpen = (alert: Alert): boolean => alert.acknowledged_at === null || alert.cleared_at === null;

/** A page from a snapshot. Drawings go on if the gateway has not been started anew meanwhile. */
export function fromSnapshot(live: Live, before: Page | null, nowMs: number): Page {
  const tiles = new Map(live.tiles.map((tile) => [keyOf(tile), tile]));
  const kept = before?.run === live.run ? before.history : new Map<string, readonly Point[]>();
  return {
    run: live.run,
    lastEventId: live.last_event_id,
    skewMs: Date.parse(live.now) - nowMs,
    status: live.status,
    tiles,
    history: withPoints(new Map([...kept].filter(([key]) => tiles.has(key))), live.tiles),
    alerts: live.alerts.filter(isOpen),
    blocks: live.blocks,
  };
}

/** The page after an event. `id` is the step of an alert on the record; null for everything that is not on it, or not yet. */
export function apply(page: Page, id: number | null, event: LiveEvent, nowMs: number): Page {
  if (id !== null) {
    if (id <= page.lastEventId) return page;
    page = { ...page, lastEventId: id };
  }
  switch (event.type) {
    case "hello":
      return page;
    case "beat":
      return { ...page, skewMs: Date.parse(event.now) - nowMs };
    case "tiles":
      return { ...withTiles(page, event.tiles), skewMs: Date.parse(event.now) - nowMs };
    case "gone":
      return without(page, event.device);
    case "alert_raised":
      // Told again from the record, it may be over by now.
      return { ...page, alerts: [event.alert, ...page.alerts.filter((alert) => alert.id !== event.alert.id)].filter(isOpen) };
    case "alert_escalated":
      return changeAlert(page, event.alert.id, () => event.alert);
    case "drill":
      // A drill that fails raises an alert of its own.
      return page;
    case "alert_acknowledged":
      return changeAlert(page, event.id, (alert) => ({
        ...alert,
        state: alert.state === "raised" ? "acknowledged" : alert.state,
        acknowledged_by: alert.acknowledged_by ?? event.by,
        acknowledged_at: alert.acknowledged_at ?? event.at,
      }));
    case "alert_cleared":
      return changeAlert(page, event.id, (alert) => ({
        ...alert,
        state: "cleared",
        cleared_at: event.at,
        reset_by: event.by ?? null,
      }));
    case "block_sealed": {
      const others = page.blocks.filter((block) => block.index !== event.block.index);
      const blocks = [event.block, ...others].sort((a, b) => b.index - a.index).slice(0, BLOCKS_MAX);
      return { ...page, blocks };
    }
    case "receipt": {
      // Receipts only rise; "R0" < "R3" as text too.
      const better = (block: Block) => block.index === event.index && block.receipt < event.receipt;
      return { ...page, blocks: page.blocks.map((block) => (better(block) ? { ...block, receipt: event.receipt } : block)) };
    }
    case "status":
      return { ...page, status: event.status };
    default:
      // A newer gateway may send what this page does not know yet.
      return page;
  }
}

function withTiles(page: Page, changed: readonly Tile[]): Page {
  const newer = changed.filter((tile) => tile.revision > (page.tiles.get(keyOf(tile))?.revision ?? -1));
  if (newer.length === 0) return page;
  const tiles = new Map(page.tiles);
  for (const tile of newer) tiles.set(keyOf(tile), tile);
  return { ...page, tiles, history: withPoints(page.history, newer) };
}

function withPoints(history: ReadonlyMap<string, readonly Point[]>, tiles: readonly Tile[]): ReadonlyMap<string, readonly Point[]> {
  const next = new Map(history);
  for (const tile of tiles) {
    if ((tile.value === null && tile.gap === null) || tile.quality.includes("late")) continue;
    const point = { at: Date.parse(tile.gateway_time), value: tile.value === null ? null : Number(tile.value) };
    if (!Number.isFinite(point.at) || (point.value !== null && !Number.isFinite(point.value))) continue;
    const before = next.get(keyOf(tile)) ?? [];
    const recent = before.filter((old) => old.at > point.at - HISTORY_MS && old.at < point.at);
    next.set(keyOf(tile), [...recent, point].slice(-HISTORY_POINTS_MAX));
  }
  return next;
}

function without(page: Page, device: string): Page {
  const stays = ([key]: [string, unknown]) => !key.startsWith(`${device}/`);
  return {
    ...page,
    tiles: new Map([...page.tiles].filter(stays)),
    history: new Map([...page.history].filter(stays)),
  };
}

function changeAlert(page: Page, id: string, change: (alert: Alert) => Alert): Page {
  const alerts = page.alerts.map((alert) => (alert.id === id ? change(alert) : alert)).filter(isOpen);
  return { ...page, alerts };
}

const PRIORITIES = ["high", "medium", "low"];

/** Those nobody has seen first, then by priority, then the newest. */
export function inOrder(alerts: readonly Alert[]): Alert[] {
  const seen = (alert: Alert) => (alert.acknowledged_at === null ? 0 : 1);
  const rank = (alert: Alert) => PRIORITIES.indexOf(alert.priority);
  return [...alerts].sort(
    (a, b) => seen(a) - seen(b) || rank(a) - rank(b) || Date.parse(b.event_time) - Date.parse(a.event_time),
  );
}

export interface Athlete {
  /** Null for devices assigned to nobody. */
  name: string | null;
  tiles: Tile[];
}

/** First what matters most at a glance. */
const QUANTITIES = ["heart_rate", "core_temperature", "ecg", "oxygen_saturation", "respiratory_rate", "power", "speed", "cadence"];

/**
 * That a sensor touches the skin goes without saying where it measures something: what it measures says if it does not. Many
 * a sensor tells it once and not again, and a tile of it would soon look like lost contact.
 */
function goesWithoutSaying(tile: Tile, tiles: ReadonlyMap<string, Tile>): boolean {
  if (tile.quantity !== "skin_contact" || tile.value === "0") return false;
  return [...tiles.values()].some((other) => other.device === tile.device && other.quantity !== tile.quantity);
}

/** Tiles by athlete, by name; devices of nobody last. */
export function byAthlete(tiles: ReadonlyMap<string, Tile>): Athlete[] {
  const groups = new Map<string | null, Tile[]>();
  for (const tile of tiles.values()) {
    if (goesWithoutSaying(tile, tiles)) continue;
    const group = groups.get(tile.athlete);
    if (group) group.push(tile);
    else groups.set(tile.athlete, [tile]);
  }
  const rank = (tile: Tile) => (QUANTITIES.indexOf(tile.quantity) + QUANTITIES.length + 1) % (QUANTITIES.length + 1);
  const text = (tile: Tile) => `${tile.quantity}/${tile.device}`;
  const athletes = [...groups].map(([name, group]) => ({
    name,
    tiles: group.sort((a, b) => rank(a) - rank(b) || text(a).localeCompare(text(b))),
  }));
  return athletes.sort((a, b) => {
    if (a.name === null) return 1;
    if (b.name === null) return -1;
    return a.name.localeCompare(b.name, "en-GB", { numeric: true });
  });
}
