// The live page in real Chromium, before a real server. Steps build on each other. With PITCHSIDE_URL they run against a
// gateway such as `pitchside demo`'s; what only a scripted clinic can be told to do is then left out.

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { launch, open, seriousViolations, shot, type Tab } from "./browser";
import { gateway, type Gateway } from "./gateway";

let browser: Browser;
let box: Gateway;
let tab: Tab;
let page: Page;

const scripted = !process.env.PITCHSIDE_URL;
const WAIT = { timeout: 60_000 };

async function signIn(on: Page, password = box.password): Promise<void> {
  await on.getByLabel("Name").fill(box.user);
  await on.getByLabel("Password").fill(password);
  await on.getByRole("button", { name: "Sign in" }).click();
}

async function control(command: string): Promise<void> {
  if (!box.control) throw new Error(`only a scripted gateway can ${command}`);
  await box.control(command);
}

const tile = (device: string, quantity: string) =>
  page.locator(`[data-testid=tile][data-device="${device}"][data-quantity="${quantity}"]`);
const live = () => page.getByTestId("phase").filter({ hasText: /^Live$/ });

beforeAll(async () => {
  [box, browser] = await Promise.all([gateway(), launch()]);
  tab = await open(browser, box.url);
  page = tab.page;
});

afterAll(async () => {
  await browser?.close();
  await box?.close();
});

describe("signing in", () => {
  it("shows nothing to strangers", async () => {
    await page.getByRole("button", { name: "Sign in" }).waitFor(WAIT);
    expect(await page.getByTestId("tile").count()).toBe(0);
    expect(await seriousViolations(page)).toEqual([]);
    await shot(page, "login");
  });

  it("refuses a wrong password and says so", async () => {
    await signIn(page, "a wrong password");
    const refusal = page.getByRole("alert");
    await refusal.waitFor(WAIT);
    expect(await refusal.textContent()).toContain("do not fit together");
    expect(await page.getByLabel("Password").inputValue()).toBe("");
    expect(await page.getByLabel("Password").evaluate((field) => field === document.activeElement)).toBe(true);
    expect(await seriousViolations(page)).toEqual([]);
  });

  it("lets the right password in, by keyboard alone", async () => {
    await page.getByLabel("Name").fill(box.user);
    await page.getByLabel("Password").focus();
    await page.keyboard.type(box.password);
    await page.keyboard.press("Enter");
    await live().waitFor(WAIT);
  });

  it("keeps the cookie from scripts", async () => {
    expect(await page.evaluate(() => document.cookie)).toBe("");
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: "Strict", path: "/" });
  });
});

describe("the squad", () => {
  it("shows current values in tiles", async () => {
    const current = page.locator("[data-testid=tile][data-contact=current] [data-testid=value]");
    await current.first().waitFor(WAIT);
    expect(await current.first().textContent()).toMatch(/^−?\d+(\.\d+)?$/);
    expect(await page.getByTestId("tile").count()).toBeGreaterThanOrEqual(8);
  });

  it("shows new values by itself", async () => {
    const before = await page.getByTestId("value").allTextContents();
    await page.waitForFunction(
      (old) => {
        const values = [...document.querySelectorAll("[data-testid=value]")].map((value) => value.textContent);
        return values.length >= old.length / 2 && values.some((value, i) => value !== old[i]);
      },
      before,
      WAIT,
    );
  });

  it.runIf(scripted)("greys a tile whose sensor falls silent, then shows no value at all", async () => {
    await control("silence strap-2");
    const heartRate = tile("strap-2", "heart_rate");
    await heartRate.and(page.locator("[data-contact=stale]")).waitFor(WAIT);
    expect(await heartRate.getByTestId("age").textContent()).toMatch(/^\d+ s old$/);
    await heartRate.and(page.locator("[data-contact=lost]")).waitFor(WAIT);
    expect(await heartRate.getByTestId("age").textContent()).toMatch(/^no contact for \d+ s$/);
    expect(await heartRate.getByTestId("value").count()).toBe(0);
  });

  it.runIf(scripted)("says at once when a sensor loses the skin", async () => {
    await control("contact-lost strap-6");
    await tile("strap-6", "heart_rate").getByText("no contact with the skin").waitFor(WAIT);
  });
});

describe("alerts", () => {
  const unseen = () => page.getByTestId("alert").filter({ has: page.getByRole("button", { name: /^Acknowledge/ }) });

  it("appear by themselves, and are read out", async () => {
    if (scripted) await control("raise");
    await unseen().first().waitFor(WAIT);
    await page.waitForFunction(() => /\(\d+\) Pitchside/.test(document.title), null, WAIT);
    expect(await page.getByTestId("announcement").textContent()).toMatch(/alert/i);
  });

  it("have no serious accessibility faults, in light, dark and at phone width", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      for (const width of [1_400, 390]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 860 });
        expect(await seriousViolations(page), `${colorScheme} ${width}`).toEqual([]);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        expect(overflow, `sideways scrolling at ${width}`).toBeLessThanOrEqual(0);
        await shot(page, `live-${colorScheme}-${width}`, true);
      }
    }
    await page.emulateMedia({ colorScheme: null });
    await page.setViewportSize({ width: 1_400, height: 860 });
  });

  it("stay in sight on a phone, however far one scrolls", async () => {
    await page.setViewportSize({ width: 390, height: 700 });
    await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
    const jump = page.getByRole("link", { name: /not acknowledged/ });
    await jump.waitFor(WAIT);
    await shot(page, "scrolled");
    await jump.click();
    await jump.waitFor({ state: "detached", ...WAIT });
    await page.setViewportSize({ width: 1_400, height: 860 });
  });

  it("can be acknowledged, which everybody sees", async () => {
    const other = await open(browser, box.url);
    await signIn(other.page);
    await other.page.getByTestId("alert").first().waitFor(WAIT);
    const waiting = await unseen().count();
    await unseen().first().getByRole("button").press("Enter");
    await page.getByText(`Acknowledged by ${box.user}`).first().waitFor(WAIT);
    await other.page.getByText(`Acknowledged by ${box.user}`).first().waitFor(WAIT);
    if (scripted) expect(await unseen().count()).toBe(waiting - 1);
    expect(other.faults).toEqual([]);
    await other.page.context().close();
  });

  it.runIf(scripted)("are reset by a button where their rule latches, and nowhere else", async () => {
    await control("latch");
    const latched = page.getByTestId("alert").filter({ hasText: "bea-11" });
    const reset = latched.getByRole("button", { name: /^Reset/ });
    await reset.waitFor(WAIT);
    expect(await page.getByRole("button", { name: /^Reset/ }).count(), "one latches").toBe(1);
    expect(await seriousViolations(page)).toEqual([]);
    await shot(page, "latched");
    await reset.press("Enter");
    await latched.getByText(`Reset by ${box.user}`).waitFor(WAIT);
    expect(await latched.getByRole("button", { name: /^Reset/ }).count()).toBe(0);
    await latched.getByRole("button", { name: /^Acknowledge/ }).press("Enter");
    await latched.waitFor({ state: "detached", ...WAIT });
  });

  it.runIf(scripted)("leave the page once they are over and acknowledged", async () => {
    await control("clear");
    await page.getByText("No open alerts.").waitFor(WAIT);
  });
});

describe("blocks", () => {
  it("show how far they have come, in words", async () => {
    if (scripted) await control("seal");
    const published = page.locator("[data-testid=block][data-receipt=R2]");
    await published.first().waitFor(WAIT);
    expect(await published.first().textContent()).toContain("in a published checkpoint");
    await page.getByText("What R0 to R3 mean").click();
    await page.getByText("signed by the ledger covers the block").waitFor(WAIT);
  });
});

describe.runIf(scripted)("a gateway that goes away", () => {
  it("is missed at once, and found again by itself", async () => {
    await control("stop");
    await page.getByTestId("lost").waitFor(WAIT);
    expect(await page.getByTestId("lost").textContent()).toContain("not current");
    expect(await page.locator("[data-testid=tile][data-contact=current]").count()).toBe(0);
    await shot(page, "lost");
    expect(await seriousViolations(page)).toEqual([]);
    await control("start");
    await live().waitFor(WAIT);
    await page.getByTestId("lost").waitFor({ state: "detached", ...WAIT });
    await page.locator("[data-testid=tile][data-contact=current]").first().waitFor(WAIT);
  });

  it("asks to sign in again after a new start, and then goes on", async () => {
    await control("stop");
    await control("forget");
    await control("start");
    await page.getByText("Please sign in again").waitFor(WAIT);
    expect(await page.getByTestId("tile").count()).toBe(0);
    await signIn(page);
    await live().waitFor(WAIT);
    await page.getByTestId("tile").first().waitFor(WAIT);
  });
});

describe("leaving", () => {
  it("takes every value off the screen", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("You have signed out.").waitFor(WAIT);
    expect(await page.getByTestId("tile").count()).toBe(0);
    await page.reload();
    await page.getByRole("button", { name: "Sign in" }).waitFor(WAIT);
  });

  it("finds that the page asked nobody else, broke none of its rules and threw nothing", () => {
    expect(tab.faults).toEqual([]);
  });
});
