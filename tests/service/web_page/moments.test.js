/** The time of the log on a slider, and two moments compared. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { differences } from "./data/moments.js";
import { barsOf, momentAt, scaleOf, stepOf } from "./data/time_scale.js";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const T = Date.parse("2026-01-02T10:17:23.456Z");

test("steps are minutes for a day, and days for years; the last one is not before now", () => {
  for (const [span, unit] of [[30 * MINUTE, MINUTE], [DAY, MINUTE], [30 * DAY, 60 * MINUTE], [3_000 * DAY, DAY]]) {
    const scale = scaleOf(T, T + span);
    assert.equal(scale.unit, unit);
    assert.ok(scale.base <= T && scale.base > T - 2 * unit - DAY);
    assert.ok(Date.parse(momentAt(scale, scale.steps)) >= T + span);
    assert.ok(Date.parse(momentAt(scale, scale.steps - 1)) < T + span);
  }
  assert.equal(scaleOf(T, T).steps, 1);
  assert.equal(momentAt(scaleOf(T, T + DAY), 1), "2026-01-02T10:18:00.000Z");
});

test("a moment has its step, one outside the nearest", () => {
  const scale = scaleOf(T, T + DAY);
  for (const step of [0, 1, 700, scale.steps]) assert.equal(stepOf(scale, momentAt(scale, step)), step);
  assert.equal(stepOf(scale, "2001-01-01T00:00:00Z"), 0);
  assert.equal(stepOf(scale, "2101-01-01T00:00:00Z"), scale.steps);
});

const day = (name, created) => ({ day: name, created, updated: 0, deleted: 0, restored: 0 });

test("a bar for each day, inside the plot, at its place", () => {
  const scale = scaleOf(T, T + 10 * DAY);
  const bars = barsOf([day("2026-01-02", 100), day("2026-01-07", 25), day("2026-01-12", 1)], scale);
  assert.deepEqual(bars.map(({ height }) => Math.round(height)), [100, 50, 10]);
  assert.equal(bars[0].x, 0);
  assert.ok(bars[0].width < bars[1].width, "the first day is cut");
  assert.ok(Math.abs(bars[1].width - 10) < 0.2);
  assert.ok(bars.every(({ x, width }) => x >= 0 && width > 0 && x + width <= 100.001));
});

test("years have at most 121 bars, which keep every change", () => {
  const days = Array.from({ length: 3_000 }, (_, at) =>
    day(new Date(T + at * DAY).toISOString().slice(0, 10), 1));
  const bars = barsOf(days, scaleOf(T, T + 3_000 * DAY));
  assert.ok(bars.length <= 121);
  assert.equal(Math.max(...bars.map(({ height }) => height)), 100);
});

const field = (from, to) => ({ from, to });
const entry = (movie_id, version, type, changes = {}) => ({ movie_id, version, type, changes });
const created = (id, title) => entry(id, 1, "MovieCreated", { title: field(null, title) });

test("added, changed and deleted", () => {
  const found = differences([
    created("a", "Alien"),
    entry("b", 5, "MovieUpdated", { year: field(1979, 1980) }),
    entry("c", 3, "MovieDeleted"),
  ]);
  assert.deepEqual(found, {
    added: [{ id: "a", title: "Alien", version: 1, changes: { title: field(null, "Alien") } }],
    changed: [{ id: "b", title: null, version: 5, changes: { year: field(1979, 1980) } }],
    deleted: [{ id: "c", title: null, version: 2, changes: {} }],
  });
});

test("changes are joined, and what was changed back is none", () => {
  const { changed } = differences([
    entry("a", 2, "MovieUpdated", { title: field("A", "B"), year: field(1, 2) }),
    entry("b", 2, "MovieUpdated", { year: field(1, 2) }),
    entry("a", 3, "MovieUpdated", { title: field("B", "C"), year: field(2, 1) }),
    entry("b", 3, "MovieUpdated", { year: field(2, 1) }),
  ]);
  assert.deepEqual(changed, [{ id: "a", title: "C", version: 3, changes: { title: field("A", "C") } }]);
});

test("what came and went between is neither; what went and came back is compared", () => {
  const found = differences([
    created("a", "A"),
    entry("a", 2, "MovieDeleted"),
    entry("b", 4, "MovieDeleted"),
    entry("b", 5, "MovieRestored", { year: field(1, 2) }),
    entry("c", 7, "MovieDeleted"),
    entry("c", 8, "MovieRestored"),
    entry("d", 9, "MovieRestored", { title: field("D", "E") }),
    entry("e", 2, "MovieUpdated", { title: field("E", "F") }),
    entry("e", 3, "MovieDeleted"),
  ]);
  assert.deepEqual(found.added.map(({ id, title }) => [id, title]), [["d", "E"]]);
  assert.deepEqual(found.changed.map(({ id, changes }) => [id, changes]), [["b", { year: field(1, 2) }]]);
  assert.deepEqual(found.deleted.map(({ id, title, version }) => [id, title, version]), [["e", "F", 2]]);
});

test("an entry that cannot be read is an unknown change", () => {
  const { changed } = differences([entry("a", 2, "MovieUpdated", null)]);
  assert.deepEqual(changed, []);
});
