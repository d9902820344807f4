// How many readings a second one function node takes: node bench.js BODY.js COUNT [NODE-RED'S FOLDER]
// Prints one JSON object: "node_red" is a flow of Node-RED itself, a node that sends, the function node, a node that counts;
// "vm" is the same body in node's vm as Node-RED's function node runs it, with nothing around it.
"use strict";
const fs = require("fs");
const os = require("os");
const path = require("path");
const vm = require("vm");

const SQUAD = 40;
const AT_ONCE = 1000;
const [body, count, installed] = [fs.readFileSync(process.argv[2], "utf8"), Number(process.argv[3]), process.argv[4]];

function reading(i) {
  const time = Math.floor(i / SQUAD);
  return { athlete: "athlete-" + (i % SQUAD), time, value: 140 + ((time * 7 + i) % 60) };
}

const seconds = (begun) => Number(process.hrtime.bigint() - begun) / 1e9;

async function inVm() {
  const memory = new Map();
  const context = { get: (key) => memory.get(key), set: (key, value) => memory.set(key, value) };
  const sandbox = vm.createContext({ context, results: null, msg: null });
  const script = new vm.Script("results = (async function(msg){\n" + body + "\n})(msg);");
  const begun = process.hrtime.bigint();
  for (let i = 0; i < count; i++) {
    sandbox.msg = { payload: reading(i) };
    script.runInContext(sandbox);
    await sandbox.results;
  }
  return count / seconds(begun);
}

function inNodeRed() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "node-red-"));
  const RED = require(path.join(installed, "node_modules", "node-red"));
  const server = require("http").createServer(() => {});
  return new Promise((done, failed) => {
    let begun, heard = 0;
    const bench = {
      reading,
      count,
      begin() { begun = process.hrtime.bigint(); },
      heard() { if (++heard === count) done(count / seconds(begun)); },
    };
    // Without a place it would be taken for a configuration.
    const node = (id, func, wires) => ({ id, type: "function", z: "tab", x: 1, y: 1, name: id, func, outputs: wires.length, wires });
    const send =
      "const bench = global.get('bench');\n" +
      "let i = msg.from;\n" +
      "if (i === 0) bench.begin();\n" +
      "const end = Math.min(i + " + AT_ONCE + ", bench.count);\n" +
      "for (; i < end; i++) node.send([{ payload: bench.reading(i) }, null]);\n" +
      "if (end < bench.count) node.send([null, { from: end }]);";
    const flows = [
      { id: "tab", type: "tab", label: "bench" },
      { id: "once", type: "inject", z: "tab", x: 1, y: 1, props: [{ p: "from", v: "0", vt: "num" }], once: true, onceDelay: 0.1, repeat: "", crontab: "", wires: [["send"]] },
      node("send", send, [["rule"], ["send"]]),
      node("rule", body, [["count"]]),
      node("count", "global.get('bench').heard();", []),
    ];
    fs.writeFileSync(path.join(folder, "flows.json"), JSON.stringify(flows));
    RED.init(server, {
      userDir: folder,
      flowFile: "flows.json",
      httpAdminRoot: false,
      httpNodeRoot: false,
      functionGlobalContext: { bench },
      telemetry: { enabled: false },
      logging: { console: { level: "off", metrics: false, audit: false } },
    });
    RED.start().catch(failed);
  }).finally(() => fs.rmSync(folder, { recursive: true, force: true }));
}

(async () => {
  const said = { vm: await inVm() };
  if (installed) said.node_red = await inNodeRed();
  process.stdout.write(JSON.stringify(said) + "\n", () => process.exit(0));
})().catch((error) => {
  process.stderr.write(String(error) + "\n");
  process.exit(1);
});
