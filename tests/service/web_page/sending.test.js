/** Rows that are sent some at once, and waits that the service asks for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pause } from "./data/patience.js";
import { keyOf, sendRows } from "./data/sending.js";

const rows = (count) => Array.from({ length: count }, (_, at) => ({ line: at + 2, fields: { title: "x" } }));
const answer = (headers = {}) => ({ headers: new Headers(headers) });
const refusal = (status, headers = {}) => ({ status, code: "", headers: new Headers(headers) });
const quiet = () => ({ signal: new AbortController().signal, onProgress: () => {} });

test("four requests at once, each row once", async () => {
  const sent = [];
  let running = 0;
  let most = 0;
  const post = async (row) => {
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setTimeout(resolve, 1));
    running -= 1;
    sent.push(row.line);
    return answer(row.line % 2 ? { "Idempotent-Replayed": "true" } : {});
  };
  const outcome = await sendRows(rows(50), post, quiet());
  assert.equal(most, 4);
  assert.equal(new Set(sent).size, 50);
  assert.deepEqual(outcome, { added: 25, known: 25, refused: [] });
});

test("a refused row is told and the others go on", async () => {
  const post = async ({ line }) => {
    if (line === 3) throw refusal(400);
    return answer();
  };
  const outcome = await sendRows(rows(10), post, quiet());
  assert.equal(outcome.added, 9);
  assert.deepEqual(outcome.refused.map(({ line }) => line), [3]);
});

test("429, 503, a key in flight and a lost connection are repeated after Retry-After", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: 1_000 });
  const waits = [];
  const wait = async (ms) => {
    waits.push(ms);
    context.mock.timers.tick(ms);
  };
  const refusals = [
    refusal(429, { "Retry-After": "7" }),
    refusal(503, { "Retry-After": "3" }),
    { ...refusal(409, { "Retry-After": "1" }), code: "idempotency_key_in_flight" },
    refusal(0),
  ];
  const post = async () => {
    if (refusals.length) throw refusals.shift();
    return answer();
  };
  const outcome = await sendRows(rows(1), post, { ...quiet(), wait });
  assert.equal(outcome.added, 1);
  assert.deepEqual(waits, [7_000, 3_000, 1_000, 2_000]);
});

test("a wait holds for all that is sent at once", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: 1_000 });
  let isLimited = true;
  let early = 0;
  const wait = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    context.mock.timers.tick(5_000);
    isLimited = false;
  };
  const post = async ({ line }) => {
    if (line === 2 && isLimited) throw refusal(429, { "Retry-After": "5" });
    if (line > 5 && isLimited) early += 1;
    return answer();
  };
  await sendRows(rows(20), post, { ...quiet(), wait });
  assert.equal(early, 0);
});

test("any other refusal ends it", async () => {
  let sent = 0;
  const post = async () => {
    sent += 1;
    throw refusal(401);
  };
  await assert.rejects(sendRows(rows(100), post, quiet()), { status: 401 });
  assert.equal(sent, 4);
});

test("it can be stopped, also in a wait", async () => {
  const stop = new AbortController();
  const post = async () => {
    setTimeout(() => stop.abort(), 5);
    throw refusal(429, { "Retry-After": "60" });
  };
  await assert.rejects(sendRows(rows(9), post, { ...quiet(), signal: stop.signal }), { name: "AbortError" });
  await assert.rejects(pause(60_000, stop.signal), { name: "AbortError" });
});

test("the key depends on file, line and content", async () => {
  const row = { line: 2, fields: { title: "x" } };
  const key = await keyOf("a.csv", row);
  assert.match(key, /^[0-9a-f]{64}$/);
  assert.equal(await keyOf("a.csv", { line: 2, fields: { title: "x" } }), key);
  for (const other of [["b.csv", row], ["a.csv", { ...row, line: 3 }], ["a.csv", { line: 2, fields: { title: "y" } }]])
    assert.notEqual(await keyOf(...other), key);
});
