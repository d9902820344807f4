// The whole thing: `pitchside demo` with its gateway, ledger and sensors, and somebody who looks at it in real Chromium, which
// trusts the box by its authority alone. live.spec.ts has the page in every state; this has the states that really come.

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { launch, open, seriousViolations, shot, type Tab } from "./browser";
import { Demo } from "./demo";

let demo: Demo;
let browser: Browser;
let tab: Tab;
let page: Page;

const WAIT = { timeout: 60_000 };
const TIMES = "10";
const ATHLETES = ["ada", "ben", "cai", "dee", "eva", "fay", "gus", "hal"];

const alert = (athlete: string, rule: string) => page.getByTestId("alert").filter({ hasText: `${athlete}: ${rule}` });
const tileOf = (device: string, quantity: string) =>
  page.locator(`[data-testid=tile][data-device="${device}"][data-quantity="${quantity}"]`);

// One that somebody else has started is live.spec.ts's.
describe.skipIf(process.env.PITCHSIDE_URL)("the demo", () => {
  beforeAll(async () => {
    demo = await Demo.start("--for", "40s", "--speed", TIMES);
    browser = await launch(demo.home);
    tab = await open(browser, demo.url, { ignoreHTTPSErrors: false });
    page = tab.page;
  });

  afterAll(async () => {
    await browser?.close();
    await demo?.close();
  });

  it("is believed by a browser that has its authority, and by no other", async () => {
    await page.getByRole("button", { name: "Sign in" }).waitFor(WAIT);
    const stranger = await launch();
    try {
      await expect(open(stranger, demo.url, { ignoreHTTPSErrors: false })).rejects.toThrow("ERR_CERT_AUTHORITY_INVALID");
    } finally {
      await stranger.close();
    }
  });

  it("lets in whoever signs in as it says", async () => {
    await page.getByLabel("Name").fill(demo.user);
    await page.getByLabel("Password").fill(demo.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByTestId("phase").filter({ hasText: /^Live$/ }).waitFor(WAIT);
  });

  it("shows eight athletes, each with a current value", async () => {
    for (const athlete of ATHLETES) {
      const region = page.getByRole("region", { name: athlete, exact: true });
      await region.locator("[data-testid=tile][data-contact=current]").first().waitFor(WAIT);
    }
    // Not in a session yet, or assigned to nobody: none.
    expect(await page.getByRole("region", { name: "Assigned to nobody" }).count()).toBe(0);
  });

  it("shows values that move, and the ECG as a line", async () => {
    await tileOf("ecg-eva", "ecg").locator("svg.wave path").waitFor(WAIT);
    for (const [device, quantity] of [["strap-ada", "heart_rate"], ["strap-cai", "heart_rate"], ["power-ben", "power"]] as const) {
      const value = tileOf(device, quantity).getByTestId("value");
      const before = await value.textContent();
      await page.waitForFunction(
        ([selector, old]) => {
          const text = document.querySelector(selector)?.textContent;
          return text !== undefined && text !== old;
        },
        [`[data-device="${device}"][data-quantity="${quantity}"] [data-testid=value]`, before] as const,
        WAIT,
      );
    }
  });

  it("says that a heart rate passed the ceiling, when it has", async () => {
    await alert("hal", "Heart rate ceiling").waitFor(WAIT);
    expect(await page.title()).toMatch(/^\(\d+\) Pitchside$/);
    await shot(page, "demo-alert");
    expect(await seriousViolations(page)).toEqual([]);
  });

  it("says that a link went down, and shows no value for it", async () => {
    await alert("fay", "Sensor silent").waitFor(WAIT);
    const lost = tileOf("strap-fay", "heart_rate").and(page.locator("[data-contact=lost]"));
    await lost.waitFor(WAIT);
    expect(await lost.getByTestId("value").count()).toBe(0);
    await shot(page, "demo-lost-link");
    await tileOf("strap-fay", "heart_rate").and(page.locator("[data-contact=current]")).waitFor(WAIT);
  });

  it("shows blocks sealed here until a published checkpoint of the ledger covers them", async () => {
    await page.locator("[data-testid=block][data-receipt=R2]").first().waitFor(WAIT);
  });

  it("takes an acknowledgement, and says whose", async () => {
    const ceiling = alert("hal", "Heart rate ceiling");
    const press = ceiling.getByRole("button", { name: /^Acknowledge/ });
    await press.click();
    // Over already, it leaves; or it stays until it is.
    await press.waitFor({ state: "detached", ...WAIT });
    await page.waitForFunction(
      (user) =>
        [...document.querySelectorAll("[data-testid=alert]")].every(
          ({ textContent: text }) => !text?.includes("hal: Heart rate ceiling") || text.includes(`Acknowledged by ${user}`),
        ),
      demo.user,
      WAIT,
    );
  });

  it("says that a core temperature is high and rising", async () => {
    await alert("ada", "Heat illness").waitFor(WAIT);
    for (const [colorScheme, width] of [["light", 1_400], ["dark", 1_400], ["light", 820], ["light", 390]] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(overflow, `sideways scrolling at ${width}`).toBeLessThanOrEqual(0);
      await shot(page, `demo-${colorScheme}-${width}`, true);
    }
    expect(await seriousViolations(page)).toEqual([]);
  });

  it("ends with a summary in which nothing is missing", async () => {
    const { code, summary } = await demo.summary();
    expect({ code, ok: summary.ok, missing: summary.missing, lost: summary.lost }).toEqual({ code: 0, ok: true, missing: [], lost: 0 });
    expect(summary.readings).toBeGreaterThan(0);
    expect(summary.receipts.R2).toBe(summary.blocks);
    const raised = summary.alerts.map(({ athlete, rule }) => `${athlete} ${rule}`);
    expect(raised).toEqual(expect.arrayContaining(["hal heart-rate-ceiling", "fay sensor-silent", "ada heat-illness"]));
    await page.getByTestId("lost").waitFor(WAIT);
    expect(await page.locator("[data-testid=tile][data-contact=current]").count()).toBe(0);
    await shot(page, "demo-over");
  });

  it("asked nobody but its gateway, broke no rule of the page and threw nothing", () => {
    expect(tab.faults).toEqual([]);
  });
});
