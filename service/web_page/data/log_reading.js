/**
 * Reads the log backwards, by a feed that goes forwards: window after window, each before the last
 * one. Where times bound what is wanted, the feed itself tells where that begins and ends.
 */

/** @import { MovieEvent } from "../api/types.js" */

/** Positions of the first window. Windows grow while little is found, up to what one call reads. */
const WINDOW = 500;
const MAX_WINDOW = 10_000;
const GROWTH = 4;
/** How many entries are looked for, in about how many calls. */
const ENOUGH = 30;
const MAX_CALLS = 20;
const MAX_LIMIT = 1_000;

/**
 * @typedef {Record<string, any>} Query filters of the feed
 * @typedef {(query: Query) => Promise<{data: {results: MovieEvent[], next: string | null},
 *   headers: Headers}>} ReadFeed
 * @typedef {{floor: number, end: number}} Bounds all wanted entries are after ``floor``, up to ``end``
 */

/**
 * Where the wanted times lie in a log whose last position is ``head``. Clocks of machines differ, so
 * earlier times may follow later ones.
 * @param {ReadFeed} read @param {Query} query @param {number} head @returns {Promise<Bounds>}
 */
export async function boundsOf(read, { at__gte, at__lt }, head) {
  if (!at__gte && !at__lt) return { floor: 0, end: head };
  const range = { at__gte, at__lt };
  const first = await firstAfter(read, range, 0);
  if (first === null) return { floor: head, end: head };
  let end = head;
  if (at__lt) end = (await firstAfter(read, { at__gte: at__lt }, first)) ?? head;
  for (let step = WINDOW; end < head; step *= 2) {
    const stray = await firstAfter(read, range, end);
    if (stray === null) break;
    end = stray + step;
  }
  return { floor: first - 1, end: Math.min(end, head) };
}

/**
 * @param {ReadFeed} read @param {Query} query @param {number} after
 * @returns {Promise<number | null>} the position of the first wanted entry
 */
async function firstAfter(read, query, after) {
  for (let at = after; ; ) {
    const { data, headers } = await read({ ...query, after: at, limit: 1 });
    if (data.results.length) return data.results[0].position;
    if (!data.next) return null;
    at = Number(headers.get("Event-Position"));
  }
}

/**
 * @param {ReadFeed} read @param {Query} query @param {Bounds} bounds
 * @returns {Promise<{entries: MovieEvent[], reached: number}>} The newest entries, newest first, and the
 *   position after which they are complete.
 */
export async function readBack(read, query, { floor, end }) {
  /** @type {MovieEvent[]} */
  const entries = [];
  let reached = end;
  let calls = 0;
  // Of one movie the service reads the whole history at once.
  let size = query.movie ? end : WINDOW;
  while (reached > floor && entries.length < ENOUGH && calls < MAX_CALLS) {
    const after = Math.max(floor, reached - size);
    const window = await readWindow(read, query, after, reached);
    entries.push(...window.entries.toReversed());
    calls += window.calls;
    reached = after;
    size = Math.min(GROWTH * size, Math.max(MAX_WINDOW, size));
  }
  return { entries, reached };
}

/** @param {ReadFeed} read @param {Query} query @param {number} after @param {number} end */
async function readWindow(read, query, after, end) {
  /** @type {MovieEvent[]} */
  const entries = [];
  let calls = 0;
  for (let at = after; at < end; calls += 1) {
    const { data, headers } = await read({ ...query, after: at, limit: Math.min(MAX_LIMIT, end - at) });
    entries.push(...data.results.filter(({ position }) => position <= end));
    at = data.next ? Number(headers.get("Event-Position")) : end;
  }
  return { entries, calls };
}
