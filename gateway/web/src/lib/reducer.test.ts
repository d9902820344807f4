import { describe, expect, it } from "vitest";

import { alert, at, block, live, ms, tile } from "./fixtures";
import { apply, byAthlete, fromSnapshot, inOrder, keyOf, type Page } from "./reducer";
import type { LiveEvent } from "./types";

const page = (changes = {}): Page => fromSnapshot(live(changes), null, ms(0));
const after = (start: Page, ...events: LiveEvent[]): Page =>
  events.reduce((before, event) => apply(before, before.lastEventId + 1, event, ms(0)), start);
const tiles = (...changed: ReturnType<typeof tile>[]): LiveEvent => ({ type: "tiles", now: at(0), tiles: changed });
const heartRate = (of: Page) => of.tiles.get("strap-1/heart_rate");

describe("events", () => {
  it("ignores what the snapshot already holds", () => {
    const start = page({ last_event_id: 10 });
    expect(apply(start, 10, tiles(tile({ value: "1", revision: 99 })), ms(0))).toBe(start);
    expect(heartRate(apply(start, 11, tiles(tile({ value: "1", revision: 99 })), ms(0)))?.value).toBe("1");
  });

  it("never puts an older value over a newer one", () => {
    const newer = after(page(), tiles(tile({ value: "155", revision: 3 })));
    expect(heartRate(after(newer, tiles(tile({ value: "152", revision: 2 }))))?.value).toBe("155");
  });

  it("changes nothing when the same event comes twice", () => {
    const raised: LiveEvent = { type: "alert_raised", alert: alert() };
    expect(after(page(), raised, raised).alerts).toHaveLength(1);
    const sealed: LiveEvent = { type: "block_sealed", block: block(1) };
    expect(after(page(), sealed, sealed).blocks).toHaveLength(1);
  });

  it("does not bring back an alert that was seen and over when it is told again from the record", () => {
    const over = alert({ state: "cleared", acknowledged_at: at(1), acknowledged_by: "kim", cleared_at: at(2) });
    expect(after(page(), { type: "alert_raised", alert: over }).alerts).toEqual([]);
  });

  it("keeps an alert until it is both acknowledged and over, in either order", () => {
    const id = alert().id;
    const acknowledged: LiveEvent = { type: "alert_acknowledged", id, by: "kim", at: at(1) };
    const cleared: LiveEvent = { type: "alert_cleared", id, at: at(2) };
    const start = page({ alerts: [alert()] });
    expect(after(start, acknowledged).alerts[0]).toMatchObject({ state: "acknowledged", acknowledged_by: "kim" });
    expect(after(start, cleared).alerts[0]).toMatchObject({ state: "cleared", acknowledged_by: null });
    expect(after(start, acknowledged, cleared).alerts).toEqual([]);
    expect(after(start, cleared, acknowledged).alerts).toEqual([]);
  });

  it("knows who reset an alert, and that one which ended by itself was reset by nobody", () => {
    const id = alert().id;
    const start = page({ alerts: [alert({ latches: true })] });
    const over = (by?: string): LiveEvent => ({ type: "alert_cleared", id, at: at(2), ...(by === undefined ? {} : { by }) });
    expect(after(start, over("kim")).alerts[0]).toMatchObject({ state: "cleared", cleared_at: at(2), reset_by: "kim" });
    expect(after(start, over()).alerts[0]).toMatchObject({ state: "cleared", reset_by: null });
  });

  it("leaves the first who acknowledged on record", () => {
    const id = alert().id;
    const by = (name: string): LiveEvent => ({ type: "alert_acknowledged", id, by: name, at: at(1) });
    expect(after(page({ alerts: [alert()] }), by("kim"), by("lou")).alerts[0]?.acknowledged_by).toBe("kim");
  });

  it("never lets a receipt fall back", () => {
    const start = page({ blocks: [block(4, { receipt: "R1" })] });
    const to = (receipt: "R0" | "R2"): LiveEvent => ({ type: "receipt", index: 4, receipt });
    expect(after(start, to("R2"), to("R0")).blocks[0]?.receipt).toBe("R2");
  });

  it("shows the newest blocks, and no more than fit", () => {
    const sealed = Array.from({ length: 20 }, (_, i): LiveEvent => ({ type: "block_sealed", block: block(i) }));
    const { blocks } = after(page(), ...sealed);
    expect(blocks).toHaveLength(12);
    expect(blocks[0]?.index).toBe(19);
  });

  it("takes the tiles of a device that is gone off the page", () => {
    const start = page({ tiles: [tile(), tile({ device: "strap-10" })] });
    expect([...after(start, { type: "gone", device: "strap-1" }).tiles.keys()]).toEqual(["strap-10/heart_rate"]);
  });

  it("does not mind events from a newer gateway", () => {
    const unknown = { type: "weather", now: at(0) } as unknown as LiveEvent;
    expect(after(page(), unknown).tiles).toEqual(page().tiles);
  });

  it("follows the gateway's clock, not the browser's", () => {
    const start = fromSnapshot(live({ now: at(100) }), null, ms(0));
    expect(start.skewMs).toBe(100_000);
    expect(apply(start, null, { type: "beat", now: at(50) }, ms(0)).skewMs).toBe(50_000);
  });
});

describe("history", () => {
  const later = (seconds: number, value: string) => tile({ value, gateway_time: at(seconds), revision: 1 + seconds });

  it("holds the numbers of the last minute", () => {
    const full = after(page(), tiles(later(1, "151")), tiles(later(70, "160")), tiles(later(71, "161")));
    expect(full.history.get(keyOf(tile()))?.map((point) => point.value)).toEqual([160, 161]);
  });

  it("holds where nothing was measured", () => {
    const gap = { ...later(2, ""), value: null, gap: "disconnected" as const };
    const full = after(page(), tiles(later(1, "151")), tiles(gap), tiles(later(3, "152")));
    expect(full.history.get(keyOf(tile()))?.map((point) => point.value)).toEqual([150, 151, null, 152]);
  });

  it("goes on over a reconnection and begins anew with the gateway", () => {
    const before = after(page(), tiles(later(1, "151")));
    const snapshot = live({ tiles: [later(2, "152")] });
    const count = (next: Page) => next.history.get(keyOf(tile()))?.length;
    expect(count(fromSnapshot(snapshot, before, ms(2)))).toBe(3);
    expect(count(fromSnapshot({ ...snapshot, run: "run-2" }, before, ms(2)))).toBe(1);
  });
});

describe("order", () => {
  it("puts athletes by name and devices of nobody last", () => {
    const all = [["z", null], ["a", "ben-10"], ["b", "ben-9"]].map(([device, athlete]) =>
      tile({ device: device ?? "", athlete: athlete ?? null }),
    );
    const groups = byAthlete(new Map(all.map((one) => [keyOf(one), one])));
    expect(groups.map((group) => group.name)).toEqual(["ben-9", "ben-10", null]);
  });

  it("puts the heart rate first and what it does not know last", () => {
    const all = ["grip_force", "cadence", "heart_rate"].map((quantity) => tile({ quantity }));
    const [only] = byAthlete(new Map(all.map((one) => [keyOf(one), one])));
    expect(only?.tiles.map((one) => one.quantity)).toEqual(["heart_rate", "cadence", "grip_force"]);
  });

  it("shows skin contact only where it is missing or all there is", () => {
    const contact = (device: string, value: string | null) => tile({ device, quantity: "skin_contact", unit: "1", value });
    const all = [tile(), contact("strap-1", "1"), tile({ device: "strap-2" }), contact("strap-2", "0"), contact("strap-3", "1")];
    const silent = { ...contact("strap-4", null), gap: "silent" as const };
    all.push(tile({ device: "strap-4" }), silent);
    const [only] = byAthlete(new Map(all.map((one) => [keyOf(one), one])));
    const shown = only?.tiles.filter((one) => one.quantity === "skin_contact").map((one) => one.device);
    expect(shown).toEqual(["strap-2", "strap-3"]);
  });

  it("puts unseen and urgent alerts first", () => {
    const order = inOrder([
      alert({ id: "seen", acknowledged_at: at(1) }),
      alert({ id: "low", priority: "low", event_time: at(9) }),
      alert({ id: "old", event_time: at(0) }),
      alert({ id: "new", event_time: at(5) }),
    ]);
    expect(order.map((one) => one.id)).toEqual(["new", "old", "low", "seen"]);
  });
});
