// Asking the gateway.

import type { Alert, Live, Me, Problem } from "./types";

/** The gateway refused, and said why. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem | null,
  ) {
    super(problem ? `${problem.detail} ${problem.what_to_do}` : `The gateway answered with status ${status}.`);
    this.name = "Refused";
  }
}

/** Why something failed, for people. */
export function explain(error: unknown): string {
  if (error instanceof Refused) return error.message;
  return "The gateway cannot be reached. Check that this device is on the same network.";
}

const ANSWER_MS_MAX = 15_000;

async function ask(method: "GET" | "POST", path: string, body?: unknown): Promise<Response> {
  const response = await fetch(`/api/v1${path}`, {
    method,
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  await check(response);
  return response;
}

/** Throws what the gateway says if it refuses. */
export async function check(response: Response): Promise<void> {
  if (response.ok) return;
  const isProblem = response.headers.get("content-type") === "application/problem+json";
  const problem = isProblem ? ((await response.json().catch(() => null)) as Problem | null) : null;
  throw new Refused(response.status, problem);
}

export const me = async (): Promise<Me> => (await ask("GET", "/me")).json();
export const login = async (name: string, password: string): Promise<Me> =>
  (await ask("POST", "/login", { name, password })).json();
export const logout = async (): Promise<void> => void (await ask("POST", "/logout"));
export const live = async (): Promise<Live> => (await ask("GET", "/live")).json();
export const acknowledge = async (id: string): Promise<Alert> => (await ask("POST", `/alerts/${id}/acknowledge`)).json();
export const reset = async (id: string): Promise<Alert> => (await ask("POST", `/alerts/${id}/reset`, {})).json();

export const openEvents = (signal: AbortSignal): Promise<Response> =>
  fetch("/api/v1/events", { credentials: "same-origin", cache: "no-store", redirect: "error", signal });
