// What the browser test looks at: a gateway somebody has started (PITCHSIDE_URL), or the scripted one of gateway/admin.

import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";

export interface Gateway {
  url: string;
  user: string;
  password: string;
  /** Makes the scripted clinic do something; null for a gateway that only does what it does. */
  control: ((command: string) => Promise<void>) | null;
  close(): Promise<void>;
}

/**
 * PITCHSIDE_URL, PITCHSIDE_USER, and PITCHSIDE_PASSWORD or PITCHSIDE_PASSWORD_FILE name a running gateway, e.g. that of
 * `pitchside demo`. Otherwise PITCHSIDE_SCRIPTED names the scripted gateway's binary; without it Cargo builds and runs it.
 */
export async function gateway(): Promise<Gateway> {
  const { PITCHSIDE_URL, PITCHSIDE_USER, PITCHSIDE_PASSWORD, PITCHSIDE_PASSWORD_FILE, PITCHSIDE_SCRIPTED } = process.env;
  if (PITCHSIDE_URL) {
    const password = PITCHSIDE_PASSWORD_FILE ? readFileSync(PITCHSIDE_PASSWORD_FILE, "utf8").trim() : PITCHSIDE_PASSWORD;
    if (!PITCHSIDE_USER || !password) {
      throw new Error("PITCHSIDE_URL needs PITCHSIDE_USER, and PITCHSIDE_PASSWORD_FILE or PITCHSIDE_PASSWORD, beside it");
    }
    return { url: PITCHSIDE_URL, user: PITCHSIDE_USER, password, control: null, close: async () => {} };
  }
  const [program, args]: [string, string[]] = PITCHSIDE_SCRIPTED
    ? [PITCHSIDE_SCRIPTED, []]
    : ["cargo", ["run", "--quiet", "--package", "pitchside-admin", "--example", "scripted"]];
  const child = spawn(program, args, { cwd: import.meta.dirname, stdio: ["pipe", "pipe", "inherit"] });
  const lines = new Lines(createInterface({ input: child.stdout }), child);
  const hello = JSON.parse(await lines.next()) as { url: string; user: string; password: string };
  return {
    ...hello,
    control: async (command) => {
      child.stdin.write(`${command}\n`);
      const answer = JSON.parse(await lines.next()) as { done?: string };
      if (answer.done !== command) throw new Error(`the scripted gateway did not do ${command}: ${JSON.stringify(answer)}`);
    },
    close: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null) return resolve();
        child.once("exit", () => resolve());
        // It ends with its input.
        child.stdin.end();
      }),
  };
}

/** Lines of a process, one at a time; a process that ends before its line is an error. */
class Lines {
  #ready: string[] = [];
  #waiting: { resolve: (line: string) => void; reject: (why: Error) => void }[] = [];
  #ended = false;

  constructor(lines: Interface, child: ChildProcess) {
    lines.on("line", (line) => {
      const next = this.#waiting.shift();
      if (next) next.resolve(line);
      else this.#ready.push(line);
    });
    const end = () => {
      this.#ended = true;
      for (const { reject } of this.#waiting) reject(new Error("the scripted gateway ended"));
    };
    child.once("exit", end);
    child.once("error", end);
  }

  next(): Promise<string> {
    const line = this.#ready.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.#ended) return Promise.reject(new Error("the scripted gateway ended"));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}
