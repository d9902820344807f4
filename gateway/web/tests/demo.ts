// `pitchside demo` as a newcomer starts it, and a home folder whose browser trusts the demo's own authority.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

export interface Summary {
  schema: string;
  readings: number;
  acknowledged: number;
  lost: number;
  alerts: { id: string; rule: string; athlete: string; value: string | null; unit: string }[];
  blocks: number;
  receipts: Record<string, number>;
  missing: string[];
  ok: boolean;
}

export class Demo {
  readonly url: string;
  readonly home: string;
  user = "";
  password = "";
  /** What it said on its standard error, line by line. */
  readonly said: string[] = [];
  readonly #dir: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #printed = "";

  private constructor(binary: string, dir: string, port: number, args: string[]) {
    this.url = `https://127.0.0.1:${port}`;
    this.#dir = dir;
    this.home = join(dir, "home");
    const all = ["demo", "--json", "--dir", join(dir, "demo"), "--http", `127.0.0.1:${port}`, ...args];
    this.#child = spawn(binary, all, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stdout?.on("data", (piece: Buffer) => (this.#printed += piece.toString()));
    this.#ended = new Promise((done) => {
      this.#child.once("close", done);
      this.#child.once("error", () => done(null));
    });
  }

  /** Starts it and waits until it has said where the page is and how to sign in. PITCHSIDE_BINARY names another binary. */
  static async start(...args: string[]): Promise<Demo> {
    const binary = process.env.PITCHSIDE_BINARY ?? resolve(import.meta.dirname, "../../../target/debug/pitchside");
    if (!existsSync(binary)) throw new Error(`there is no ${binary}: run make build, or set PITCHSIDE_BINARY`);
    const demo = new Demo(binary, mkdtempSync(join(tmpdir(), "pitchside-demo-")), await freePort(), args);
    const stderr = demo.#child.stderr;
    if (!stderr) throw new Error("the demo has no standard error");
    await new Promise<void>((ready, failed) => {
      createInterface({ input: stderr }).on("line", (line) => {
        demo.said.push(line);
        const signIn = /^Sign in as (\S+) with the password (\S+)$/.exec(line);
        if (!signIn) return;
        [, demo.user = "", demo.password = ""] = signIn;
        ready();
      });
      void demo.#ended.then((code) => failed(new Error(`the demo ended (${code}) early:\n${demo.said.join("\n")}`)));
    });
    demo.#trust(join(demo.#dir, "demo/keys/ca.pem"));
    return demo;
  }

  /** What Chromium on Linux believes stands in the NSS database of the user's home. */
  #trust(authority: string): void {
    const database = join(this.home, ".pki/nssdb");
    mkdirSync(database, { recursive: true });
    const certutil = (...args: string[]) => execFileSync("certutil", ["-d", `sql:${database}`, ...args], { stdio: "pipe" });
    certutil("-N", "--empty-password");
    certutil("-A", "-t", "C,,", "-n", "box", "-i", authority);
  }

  /** Waits for its end: the JSON object it printed last, and its exit code. */
  async summary(): Promise<{ code: number | null; summary: Summary }> {
    const code = await this.#ended;
    return { code, summary: JSON.parse(this.#printed) as Summary };
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGINT");
    await this.#ended;
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
