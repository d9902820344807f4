// Server-sent events from a fetch stream (WHATWG HTML, 9.2.6), as far as the gateway uses them. EventSource would hide the
// status and the problem of a refused stream, and reconnects when it likes.

export interface ServerEvent {
  name: string;
  id: string | null;
  data: string;
}

/** More than this without an end of line is not ours. */
const BUFFER_MAX = 4_000_000;

/** Cuts text into events. Feed it pieces as they come. */
export class EventParser {
  #buffer = "";
  #name = "";
  #id: string | null = null;
  #data: string[] = [];

  push(piece: string): ServerEvent[] {
    this.#buffer += piece;
    if (this.#buffer.length > BUFFER_MAX) throw new Error("the event stream is not made of lines");
    const events: ServerEvent[] = [];
    for (;;) {
      const end = this.#buffer.indexOf("\n");
      if (end < 0) return events;
      const line = this.#buffer.slice(0, end).replace(/\r$/, "");
      this.#buffer = this.#buffer.slice(end + 1);
      const event = this.#line(line);
      if (event) events.push(event);
    }
  }

  #line(line: string): ServerEvent | null {
    if (line === "") {
      const event = { name: this.#name || "message", id: this.#id, data: this.#data.join("\n") };
      const complete = this.#data.length > 0;
      this.#name = "";
      this.#id = null;
      this.#data = [];
      return complete ? event : null;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "id") this.#id = value;
    else if (field === "data") this.#data.push(value);
    return null;
  }
}
