import { describe, expect, it } from "vitest";

import { Refused } from "./api";
import { Feed, QUIET_MS_MAX, type Outside, type Phase } from "./feed";
import { at, live } from "./fixtures";
import type { Live, LiveEvent } from "./types";

/** A gateway and a clock that do what the test says, and a record of what the page was told. */
class World implements Outside {
  told: string[] = [];
  time = 0;
  streams: ReadableStreamDefaultController<Uint8Array>[] = [];
  answers: (() => Promise<Response>)[] = [];
  snapshot: () => Promise<Live> = async () => live();
  #sleepers: { until: number; wake: () => void }[] = [];
  feed = new Feed(this, {
    phase: (phase: Phase) => this.told.push(phase.name === "lost" ? `lost ${phase.retryAt - this.time}` : phase.name),
    snapshot: (snapshot: Live) => this.told.push(`snapshot ${snapshot.last_event_id}`),
    event: (id: number | null, event: LiveEvent) => this.told.push(`event ${id} ${event.type}`),
    signedOut: () => this.told.push("signed out"),
  });

  async openEvents(signal: AbortSignal): Promise<Response> {
    const answer = this.answers.shift();
    if (answer) return answer();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.streams.push(controller);
        signal.addEventListener("abort", () => controller.error(new Error("aborted")));
      },
    });
    return new Response(body);
  }
  live = () => this.snapshot();
  now = () => this.time;
  random = () => 0.5;
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#sleepers.push({ until: this.time + ms, wake });
      signal.addEventListener("abort", wake);
    });
  }

  say(name: string, event: LiveEvent, id?: number): void {
    const text = `event: ${name}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(event)}\n\n`;
    this.streams.at(-1)?.enqueue(new TextEncoder().encode(text));
  }
  hello = () => this.say("hello", { type: "hello", run: "run-1", now: at(0) });
  beat = (id?: number) => this.say("beat", { type: "beat", now: at(0) }, id);

  /** Lets everything happen that can happen without time passing. */
  settle = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  async pass(ms: number): Promise<void> {
    for (const end = this.time + ms; this.time < end; ) {
      this.time = Math.min(end, this.time + 500);
      const due = this.#sleepers.filter((sleeper) => sleeper.until <= this.time);
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.until > this.time);
      for (const sleeper of due) sleeper.wake();
      await this.settle();
    }
  }
}

async function begun(): Promise<World> {
  const world = new World();
  void world.feed.run();
  await world.settle();
  return world;
}

const refusal = (status: number) => async () => new Response(null, { status });

describe("Feed", () => {
  it("fetches the snapshot after the greeting, and keeps what came meanwhile in order", async () => {
    const world = await begun();
    let answer: (live: Live) => void = () => {};
    world.snapshot = () => new Promise((resolve) => (answer = resolve));
    world.hello();
    world.beat(11);
    await world.settle();
    expect(world.told).toEqual(["connecting"]);
    answer(live());
    await world.settle();
    world.beat(12);
    await world.settle();
    expect(world.told).toEqual(["connecting", "snapshot 10", "event 11 beat", "live", "event 12 beat"]);
    world.feed.stop();
  });

  it("starts over when the gateway says that events were missed", async () => {
    const world = await begun();
    world.hello();
    await world.settle();
    world.snapshot = async () => live({ last_event_id: 99 });
    world.say("resync", { type: "hello", run: "run-1", now: at(0) });
    await world.settle();
    expect(world.told.slice(-2)).toEqual(["snapshot 99", "live"]);
    world.feed.stop();
  });

  it("comes back by itself, sooner at first and later the longer it lasts", async () => {
    const world = await begun();
    world.hello();
    await world.settle();
    const down = async () => {
      throw new TypeError("network");
    };
    world.answers = Array.from({ length: 7 }, () => down);
    world.streams.at(-1)?.close();
    await world.settle();
    for (let i = 0; i < 7; i++) await world.pass(15_000);
    const waits = world.told.filter((told) => told.startsWith("lost"));
    expect(waits.slice(0, 7)).toEqual(["lost 500", "lost 1000", "lost 2000", "lost 4000", "lost 8000", "lost 15000", "lost 15000"]);
    world.hello();
    await world.settle();
    expect(world.told.at(-1)).toBe("live");
    world.feed.stop();
  });

  it("does not wait when somebody asks", async () => {
    const world = new World();
    world.answers = [refusal(503)];
    void world.feed.run();
    await world.settle();
    expect(world.told).toEqual(["connecting", "lost 500"]);
    world.feed.retryNow();
    await world.settle();
    world.hello();
    await world.settle();
    expect(world.told.at(-1)).toBe("live");
    world.feed.stop();
  });

  it("takes silence for a lost connection", async () => {
    const world = await begun();
    world.hello();
    await world.settle();
    await world.pass(QUIET_MS_MAX - 1_000);
    world.beat();
    await world.settle();
    await world.pass(QUIET_MS_MAX);
    expect(world.told.at(-1)).toBe("event null beat");
    await world.pass(2_000);
    expect(world.told.some((told) => told.startsWith("lost"))).toBe(true);
    world.feed.stop();
  });

  it("asks to sign in again when the sign-in has ended, on either request", async () => {
    const ended = new World();
    ended.answers = [refusal(401)];
    await ended.feed.run();
    expect(ended.told).toEqual(["connecting", "signed out"]);

    const world = await begun();
    world.snapshot = async () => {
      throw new Refused(401, null);
    };
    world.hello();
    await world.settle();
    expect(world.told).toEqual(["connecting", "signed out"]);
  });

  it("is silent once stopped", async () => {
    const world = await begun();
    world.hello();
    await world.settle();
    world.feed.stop();
    await world.settle();
    await world.pass(60_000);
    expect(world.told).toEqual(["connecting", "snapshot 10", "live"]);
  });
});
