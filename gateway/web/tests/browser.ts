// Real Chromium, and what may not happen in it.

import { createRequire } from "node:module";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const axeSource = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Chromium; with a home folder it believes the authorities of the NSS database there. */
export async function launch(home?: string): Promise<Browser> {
  const executablePath = process.env.PITCHSIDE_CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) {
    throw new Error(`there is no Chromium at ${executablePath}: install the package chromium, or set PITCHSIDE_CHROMIUM`);
  }
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  return chromium.launch({
    executablePath,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", ...quiet],
    ...(home === undefined ? {} : { env: { ...process.env, HOME: home } }),
  });
}

export interface Tab {
  page: Page;
  /** Requests to anywhere but the gateway, breaches of the page's policy, uncaught errors. */
  faults: string[];
}

/** A tab that writes down what must not happen. The gateway's certificate is its own, which is excused unless the options say otherwise. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Tab> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: "en-GB", ...options });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) faults.push(`request to ${request.url()}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (/content security policy|trusted/i.test(message.text())) faults.push(message.text());
  });
  await page.goto(url);
  return { page, faults };
}

/** A picture for people to look at, if PITCHSIDE_SHOTS names a folder for them. */
export async function shot(page: Page, name: string, fullPage = false): Promise<void> {
  const folder = process.env.PITCHSIDE_SHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage });
}

/** What axe finds, from serious on. It is injected past the page's policy, by the debugger. */
export async function seriousViolations(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: readFileSync(axeSource, "utf8") });
  const results = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    return axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
  });
  await session.detach();
  return results.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" ; ")}`);
}
