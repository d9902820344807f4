import { describe, expect, it } from "vitest";

import { EventParser } from "./sse";

const TEXT = 'event:hello\ndata:{"a":1}\n\n:comment\n\nevent: tiles\r\nid: 7\r\ndata: x\r\ndata: y\r\n\r\ndata\n\n';
const EVENTS = [
  { name: "hello", id: null, data: '{"a":1}' },
  { name: "tiles", id: "7", data: "x\ny" },
  { name: "message", id: null, data: "" },
];

describe("EventParser", () => {
  it("reads events however the text is cut", () => {
    for (let size = 1; size <= TEXT.length; size++) {
      const parser = new EventParser();
      const events = [];
      for (let i = 0; i < TEXT.length; i += size) events.push(...parser.push(TEXT.slice(i, i + size)));
      expect(events).toEqual(EVENTS);
    }
  });

  it("gives up on a stream that is not made of lines", () => {
    expect(() => new EventParser().push("x".repeat(4_000_001))).toThrow();
  });
});
