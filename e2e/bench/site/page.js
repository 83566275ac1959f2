// `fieldpost(call, ...args)` asks the Python worker, `plain(...)` the JavaScript one.
const channel = new BroadcastChannel("bench");
const asked = new Map();
let plainWorker = null;
let next = 0;

channel.onmessage = ({ data }) => settle(JSON.parse(data));

function settle(told) {
  const waiting = asked.get(told.id);
  if (!waiting) return;
  asked.delete(told.id);
  if ("error" in told) waiting.reject(new Error(told.error));
  else waiting.resolve(told.ok);
}

const ask = (post) => (call, ...args) => new Promise((resolve, reject) => {
  asked.set(++next, { resolve, reject });
  post({ id: next, call, args });
});

globalThis.fieldpost = ask((message) => channel.postMessage(JSON.stringify(message)));
globalThis.plain = ask((message) => {
  if (!plainWorker) {
    plainWorker = new Worker("./baseline.mjs", { type: "module" });
    plainWorker.onmessage = ({ data }) => settle(data);
    plainWorker.onerror = (event) => { throw new Error(event.message); };
  }
  plainWorker.postMessage(message);
});

/** Save by the page itself, as the app does: ms of each. */
globalThis.captures = async (n) => {
  const device = await fieldpostGlue.open(`bench-capture-${Date.now()}`);
  const each = [];
  for (let i = 0; i < n; i++) {
    const text = JSON.stringify({ id: fieldpostGlue.uuid7(), at: Date.now(), form: "ticket", data: {
      kind: "ticket", payload: { summary: `Ticket ${i}`, description: "d".repeat(560), severity: "medium" } } });
    const started = performance.now();
    await device.capture(text);
    each.push(performance.now() - started);
  }
  await device.close();
  return each;
};
