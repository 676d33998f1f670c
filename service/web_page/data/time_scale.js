/** The time of the log as steps of a slider, and how much changed when. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNITS = [MINUTE, 5 * MINUTE, HOUR, 6 * HOUR, DAY];
const MAX_STEPS = 2_500;
const MAX_BARS = 120;
/** Of the height of the plot, in percent, so that a single change can be seen. */
const MIN_HEIGHT = 8;

/**
 * @typedef {{base: number, unit: number, steps: number}} Scale ``base`` and ``unit`` in ms
 * @param {number} first when the log begins @param {number} now @returns {Scale}
 */
export function scaleOf(first, now) {
  const unit = UNITS.find((ms) => (now - first) / ms <= MAX_STEPS) || DAY;
  const base = new Date(first - (first % Math.min(unit, 5 * MINUTE)));
  if (unit >= HOUR) base.setMinutes(0, 0, 0);
  if (unit > HOUR) base.setHours(0);
  return { base: base.getTime(), unit, steps: Math.max(1, Math.ceil((now - base.getTime()) / unit)) };
}

/** @param {Scale} scale @param {number} step @returns {string} RFC 3339 */
export const momentAt = ({ base, unit }, step) => new Date(base + step * unit).toISOString();

/** @param {Scale} scale @param {string} at @returns {number} the nearest step */
export function stepOf({ base, unit, steps }, at) {
  return Math.min(steps, Math.max(0, Math.round((Date.parse(at) - base) / unit)));
}

/**
 * Bars of the number of changes. Heights go by its square root: an import does not hide other days.
 * @param {{day: string, created: number, updated: number, deleted: number, restored: number}[]} days
 * @param {Scale} scale
 * @returns {{x: number, width: number, height: number}[]} percent of the plot
 */
export function barsOf(days, { base, unit, steps }) {
  const span = steps * unit;
  const wide = DAY * Math.ceil(span / DAY / MAX_BARS);
  const sums = new Map();
  const begin = Math.floor(base / DAY) * DAY; // days are in UTC
  for (const { day, created, updated, deleted, restored } of days) {
    const bar = Math.floor((Date.parse(`${day}T00:00:00Z`) - begin) / wide);
    sums.set(bar, (sums.get(bar) || 0) + created + updated + deleted + restored);
  }
  const most = Math.max(...sums.values());
  return [...sums].map(([bar, sum]) => {
    const from = Math.max(0, begin + bar * wide - base);
    const to = Math.min(span, begin + (bar + 1) * wide - base);
    return {
      x: (100 * from) / span,
      width: (100 * Math.max(0, to - from)) / span,
      height: Math.max(MIN_HEIGHT, 100 * Math.sqrt(sum / most)),
    };
  });
}
