// Keeps the page fed: opens the event stream, fetches the snapshot after each greeting, and comes back by itself when the
// connection breaks. Everything it needs from the outside is passed in, so that tests can break it.

import { Refused, check, explain } from "./api";
import { EventParser } from "./sse";
import type { Live, LiveEvent } from "./types";

export type Phase =
  | { name: "connecting" }
  | { name: "live" }
  | { name: "lost"; since: number; retryAt: number; why: string };

export interface Outside {
  openEvents(signal: AbortSignal): Promise<Response>;
  live(): Promise<Live>;
  now(): number;
  random(): number;
  /** Resolves after so many milliseconds, or at once when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface Listener {
  phase(phase: Phase): void;
  snapshot(live: Live): void;
  event(id: number | null, event: LiveEvent): void;
  signedOut(): void;
}

/** The gateway says something at least every 5 s; three times that without a word means that nobody is there. */
export const QUIET_MS_MAX = 16_000;
const WAITS_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];

export class Feed {
  readonly #outside: Outside;
  readonly #listener: Listener;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #failures = 0;
  #lostSince: number | null = null;

  constructor(outside: Outside, listener: Listener) {
    this.#outside = outside;
    this.#listener = listener;
  }

  /** Runs until stopped or signed out. */
  async run(): Promise<void> {
    this.#listener.phase({ name: "connecting" });
    while (!this.#stop.signal.aborted) {
      let why = "The gateway closed the connection.";
      try {
        await this.#once();
      } catch (error) {
        if (error instanceof Refused && error.status === 401) {
          this.#listener.signedOut();
          return;
        }
        why = explain(error);
      }
      if (this.#stop.signal.aborted) return;
      await this.#wait(why);
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#wake.abort();
  }

  /** Somebody is looking, or the network is back: do not wait any longer. */
  retryNow(): void {
    this.#wake.abort();
  }

  async #wait(why: string): Promise<void> {
    const base = WAITS_MS[Math.min(this.#failures, WAITS_MS.length - 1)] ?? 15_000;
    this.#failures += 1;
    // Spread out, so that a whole clinic does not come back in the same instant.
    const ms = base * (0.75 + this.#outside.random() / 2);
    const now = this.#outside.now();
    this.#lostSince ??= now;
    this.#listener.phase({ name: "lost", since: this.#lostSince, retryAt: now + ms, why });
    this.#wake = new AbortController();
    await this.#outside.sleep(ms, this.#wake.signal);
  }

  /** One connection, from greeting to end. */
  async #once(): Promise<void> {
    const done = new AbortController();
    const stop = () => done.abort();
    this.#stop.signal.addEventListener("abort", stop);
    let lastWord = this.#outside.now();
    const watch = async () => {
      while (!done.signal.aborted) {
        await this.#outside.sleep(1_000, done.signal);
        if (this.#outside.now() - lastWord > QUIET_MS_MAX) done.abort();
      }
    };
    try {
      void watch();
      const response = await this.#outside.openEvents(done.signal);
      await check(response);
      if (!response.body) throw new Error("no body");
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      /** Events that came while the snapshot was on its way. */
      let waiting: [number | null, LiveEvent][] | null = null;
      let snapshots = 0;
      /** Why the snapshot could not be had, if it could not. */
      const failures: unknown[] = [];
      const fetchSnapshot = async () => {
        const mine = ++snapshots;
        try {
          const live = await this.#outside.live();
          // A later greeting, or an end, makes this answer useless.
          if (mine !== snapshots || done.signal.aborted) return;
          this.#listener.snapshot(live);
          for (const [id, event] of waiting ?? []) this.#listener.event(id, event);
          waiting = null;
          this.#failures = 0;
          this.#lostSince = null;
          this.#listener.phase({ name: "live" });
        } catch (error) {
          failures.push(error);
          done.abort();
        }
      };
      for (;;) {
        const { value, done: ended } = await reader.read().catch((error: unknown) => {
          throw failures[0] ?? error;
        });
        if (ended) return;
        lastWord = this.#outside.now();
        for (const { name, id, data } of parser.push(value)) {
          const event = JSON.parse(data) as LiveEvent;
          if (name === "hello" || name === "resync") {
            waiting = [];
            void fetchSnapshot();
          } else if (waiting) {
            waiting.push([id === null ? null : Number(id), event]);
          } else {
            this.#listener.event(id === null ? null : Number(id), event);
          }
        }
      }
    } finally {
      this.#stop.signal.removeEventListener("abort", stop);
      done.abort();
    }
  }
}

/** The browser itself. */
export function browser(openEvents: Outside["openEvents"], live: Outside["live"]): Outside {
  return {
    openEvents,
    live,
    now: () => Date.now(),
    random: () => Math.random(),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const timer = setTimeout(finish, ms);
        function finish() {
          clearTimeout(timer);
          signal.removeEventListener("abort", finish);
          resolve();
        }
        signal.addEventListener("abort", finish);
      }),
  };
}
