// What the components look at: who is signed in, the page, the connection, the time.

import * as api from "./api";
import { Refused, explain } from "./api";
import { Feed, browser, type Phase } from "./feed";
import { apply, fromSnapshot, type Page } from "./reducer";
import type { Alert, Me } from "./types";

type Screen = { name: "checking" } | { name: "login"; why: string } | { name: "page"; me: Me };

export class LivePage {
  screen = $state.raw<Screen>({ name: "checking" });
  phase = $state.raw<Phase>({ name: "connecting" });
  page = $state.raw<Page | null>(null);
  /** This browser's clock, twice a second. */
  now = $state(Date.now());
  /** Read out by screen readers. */
  announcement = $state("");
  #feed: Feed | null = null;

  /** The gateway's clock. */
  get gatewayNow(): number {
    return this.now + (this.page?.skewMs ?? 0);
  }

  /** Starts, and returns what stops it again. */
  start(): () => void {
    const tick = setInterval(() => (this.now = Date.now()), 500);
    const back = () => {
      this.now = Date.now();
      if (document.visibilityState === "visible") this.#feed?.retryNow();
    };
    window.addEventListener("online", back);
    document.addEventListener("visibilitychange", back);
    void this.#whoAmI();
    return () => {
      clearInterval(tick);
      window.removeEventListener("online", back);
      document.removeEventListener("visibilitychange", back);
      this.#feed?.stop();
    };
  }

  async #whoAmI(): Promise<void> {
    try {
      this.#enter(await api.me());
    } catch (error) {
      const unknown = error instanceof Refused && error.status === 401;
      this.screen = { name: "login", why: unknown ? "" : explain(error) };
    }
  }

  async login(name: string, password: string): Promise<void> {
    this.#enter(await api.login(name, password));
  }

  async logout(): Promise<void> {
    this.#feed?.stop();
    // Whoever leaves must not leave the squad's values on the screen, whatever the gateway answers.
    this.page = null;
    try {
      await api.logout();
      this.screen = { name: "login", why: "You have signed out." };
    } catch (error) {
      const gone = error instanceof Refused && error.status === 401;
      const why = "The gateway could not be told. Sign out again when it is back, or close this browser.";
      this.screen = { name: "login", why: gone ? "You have signed out." : why };
    }
  }

  /** Throws what the gateway says if it refuses. */
  async acknowledge(alert: Alert): Promise<void> {
    try {
      const seen = await api.acknowledge(alert.id);
      const [by, at] = [seen.acknowledged_by, seen.acknowledged_at];
      if (this.page && by !== null && at !== null) {
        this.page = apply(this.page, null, { type: "alert_acknowledged", id: seen.id, by, at }, Date.now());
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 401) this.#signedOut();
      throw error;
    }
  }

  /** Throws what the gateway says if it refuses. */
  async reset(alert: Alert): Promise<void> {
    try {
      const over = await api.reset(alert.id);
      const [by, at] = [over.reset_by, over.cleared_at];
      if (this.page && by !== null && at !== null) {
        this.page = apply(this.page, null, { type: "alert_cleared", id: over.id, at, by }, Date.now());
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 401) this.#signedOut();
      throw error;
    }
  }

  retryNow(): void {
    this.#feed?.retryNow();
  }

  #enter(me: Me): void {
    this.screen = { name: "page", me };
    this.#feed?.stop();
    const feed = new Feed(browser(api.openEvents, api.live), {
      phase: (phase) => {
        if (this.#feed !== feed) return;
        if (phase.name === "lost" && this.phase.name === "live") this.announcement = "Connection to the gateway lost.";
        if (phase.name === "live" && this.phase.name === "lost") this.announcement = "Connected to the gateway again.";
        this.phase = phase;
      },
      snapshot: (live) => {
        if (this.#feed !== feed) return;
        const known = new Set(this.page?.alerts.map((alert) => alert.id));
        this.now = Date.now();
        this.page = fromSnapshot(live, this.page, this.now);
        const unseen = this.page.alerts.filter((alert) => alert.state === "raised" && !known.has(alert.id));
        if (unseen.length > 0) this.announcement = `${unseen.length} open ${unseen.length === 1 ? "alert" : "alerts"}.`;
      },
      event: (id, event) => {
        if (this.#feed !== feed || !this.page) return;
        this.now = Date.now();
        this.page = apply(this.page, id, event, this.now);
        if (event.type === "alert_raised") {
          const { priority, athlete, message } = event.alert;
          this.announcement = `Alert, ${priority} priority${athlete === null ? "" : `, ${athlete}`}: ${message}`;
        }
      },
      signedOut: () => {
        if (this.#feed === feed) this.#signedOut();
      },
    });
    this.#feed = feed;
    this.phase = { name: "connecting" };
    void feed.run();
  }

  #signedOut(): void {
    this.#feed?.stop();
    this.page = null;
    this.screen = { name: "login", why: "Your sign-in has ended, or the gateway was started anew. Please sign in again." };
  }
}
