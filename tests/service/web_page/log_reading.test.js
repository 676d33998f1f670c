import assert from "node:assert/strict";
import { test } from "node:test";

import { boundsOf, readBack } from "./data/log_reading.js";

/** A log with an entry at each position, and a feed that reads as much of it as the service's. */
function logOf(entries) {
  const log = { calls: 0, head: entries.length };
  const isIn = ({ at }, { at__gte = 0, at__lt = Infinity }) => at >= at__gte && at < at__lt;
  log.read = async (query) => {
    log.calls += 1;
    const results = [];
    let { after: reached } = query;
    const first = entries.findIndex((entry, index) => index >= reached && isIn(entry, query));
    reached = first < 0 ? entries.length : first;
    for (let read = 0; read < 10_000 && reached < entries.length && results.length < query.limit; read += 1) {
      const entry = entries[reached];
      reached += 1;
      const isWanted = isIn(entry, query) && (!query.type || query.type === entry.type);
      if (isWanted) results.push({ ...entry, position: reached });
    }
    const next = reached < entries.length ? "further" : null;
    return { data: { results, next }, headers: new Headers({ "Event-Position": String(reached) }) };
  };
  return log;
}

const days = (count, atOf = (index) => index) =>
  logOf(Array.from({ length: count }, (_, index) => ({ at: atOf(index), type: index % 5_000 ? "usual" : "rare" })));

const positionsOf = ({ entries }) => entries.map(({ position }) => position);
const from = (high, count) => Array.from({ length: count }, (_, index) => high - index);

test("without filters one window is read", async () => {
  const log = days(2_000);
  const bounds = await boundsOf(log.read, {}, log.head);
  const found = await readBack(log.read, {}, bounds);
  assert.deepEqual(positionsOf(found), from(2_000, 500));
  assert.equal(found.reached, 1_500);
  assert.equal(log.calls, 1);
  const earlier = await readBack(log.read, {}, { ...bounds, end: found.reached });
  assert.equal(positionsOf(earlier)[0], 1_500);
});

test("old entries of a range of times are found with few calls", async () => {
  const log = days(200_000);
  const range = { at__gte: 1_000, at__lt: 1_040 };
  const bounds = await boundsOf(log.read, range, log.head);
  const found = await readBack(log.read, range, bounds);
  assert.deepEqual(positionsOf(found), from(1_040, 40));
  assert.equal(found.reached, bounds.floor); // there is nothing before
  assert.ok(log.calls <= 5, `${log.calls} calls`);
});

test("an entry that a slow clock stamped is found behind the range", async () => {
  const log = days(20_000, (index) => (index === 15_000 ? 1_010 : index));
  const range = { at__gte: 1_000, at__lt: 1_020 };
  const found = await readBack(log.read, range, await boundsOf(log.read, range, log.head));
  assert.deepEqual(positionsOf(found), [15_001, ...from(1_020, 20)]);
});

test("open ranges, and one in which nothing lies", async () => {
  const log = days(3_000);
  assert.deepEqual(await boundsOf(log.read, { at__gte: 2_990 }, 3_000), { floor: 2_990, end: 3_000 });
  assert.deepEqual(await boundsOf(log.read, { at__lt: 10 }, 3_000), { floor: 0, end: 11 });
  const none = await boundsOf(log.read, { at__gte: 5_000 }, 3_000);
  const found = await readBack(log.read, { at__gte: 5_000 }, none);
  assert.deepEqual(found, { entries: [], reached: none.floor });
});

test("windows grow where a filter lets little through", async () => {
  const log = days(150_000);
  const found = await readBack(log.read, { type: "rare" }, { floor: 0, end: log.head });
  assert.deepEqual(positionsOf(found), Array.from({ length: 30 }, (_, index) => 145_001 - 5_000 * index));
  assert.ok(log.calls <= 20, `${log.calls} calls`);
});
