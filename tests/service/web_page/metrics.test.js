/** Request rate and latency, from two readings of the metrics. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ratesOf, readMetrics } from "./operations/metrics.js";

const NAME = "cinelog_request_duration_seconds";
const lines = (labels, [fast, slow, all]) =>
  [
    `${NAME}_sum{${labels}} 1.5`,
    `${NAME}_bucket{le="0.01",${labels}} ${fast}.0`,
    `${NAME}_bucket{le="0.1",${labels}} ${slow}.0`,
    `${NAME}_bucket{le="+Inf",${labels}} ${all}.0`,
    `${NAME}_count{${labels}} ${all}.0`,
  ].join("\n");
const of = (route, status = "200") => `method="GET",route="${route}",status="${status}"`;
const LIST = of("/api/v1/movies");
const NOTHING = readMetrics("");
const tenths = (value) => Math.round(value * 10) / 10;

test("the counts of all routes are added up", () => {
  const text = `# HELP ${NAME} x\n# TYPE ${NAME} histogram\n${lines(LIST, [1, 2, 3])}
cinelog_up{part="event_store"} 1.0
${lines(of("/page/{digest}/{path}", "503"), [10, 20, 30])}\n`;
  assert.deepEqual(readMetrics(text), {
    count: 33,
    failed: 30,
    buckets: [[0.01, 11], [0.1, 22], [Infinity, 33]],
  });
});

for (const route of ["/metrics", "/readyz", "/livez", "/api/v1/events/stream", "/api/v1/ops/status"])
  test(`${route} is left out`, () =>
    assert.deepEqual(readMetrics(lines(of(route), [1, 1, 1])), NOTHING));

test("rates are of the time between two readings", () => {
  const before = readMetrics(lines(LIST, [10, 10, 10]));
  const after = readMetrics(`${lines(LIST, [110, 110, 110])}\n${lines(of("/x", "500"), [4, 4, 4])}`);
  const { rate, failed } = ratesOf(before, after, 2);
  assert.deepEqual([rate, failed], [52, 2]);
});

test("percentiles are linear inside a bucket, and at most the last finite bound", () => {
  const quick = ratesOf(NOTHING, readMetrics(lines(LIST, [100, 100, 100])), 1);
  assert.deepEqual([tenths(quick.median), tenths(quick.high)], [5, 9.5]);
  const slow = ratesOf(NOTHING, readMetrics(lines(LIST, [0, 50, 100])), 1);
  assert.deepEqual([tenths(slow.median), tenths(slow.high)], [100, 100]);
});

test("nothing requested has a rate, but no latency", () => {
  const same = readMetrics(lines(LIST, [1, 2, 3]));
  assert.deepEqual(ratesOf(same, same, 2), { rate: 0, failed: 0, median: null, high: null });
});

test("a counter that went back says nothing", () => {
  const before = readMetrics(lines(LIST, [5, 5, 5]));
  assert.equal(ratesOf(before, readMetrics(lines(LIST, [4, 5, 5])), 2), null);
  assert.equal(ratesOf(before, NOTHING, 2), null);
});
