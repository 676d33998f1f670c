/** Request rate and latency, from two readings of `/metrics` (Prometheus text format 0.0.4). */

const HISTOGRAM = "cinelog_request_duration_seconds";
const LINE = /^(\w+)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
/** Probes, streams, and what the view itself asks for. */
const LEFT_OUT = /^\/(metrics|readyz|livez)$|\/events\/stream|\/ops\/status/;

/**
 * @typedef {object} Reading all counted since the service began
 * @property {number} count requests
 * @property {number} failed requests answered with 5xx
 * @property {[number, number][]} buckets upper bound in seconds, requests up to it; ascending
 *
 * @param {string} text @returns {Reading}
 */
export function readMetrics(text) {
  const buckets = new Map();
  let count = 0;
  let failed = 0;
  for (const line of text.split("\n")) {
    if (!line.startsWith(HISTOGRAM)) continue;
    const [, name, labelText = "", value] = line.match(LINE) || [];
    const labels = Object.fromEntries([...labelText.matchAll(LABEL)].map(([, key, is]) => [key, is]));
    if (LEFT_OUT.test(labels.route)) continue;
    if (name === `${HISTOGRAM}_count`) {
      count += Number(value);
      if (labels.status?.startsWith("5")) failed += Number(value);
    } else if (name === `${HISTOGRAM}_bucket`) {
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      buckets.set(bound, (buckets.get(bound) || 0) + Number(value));
    }
  }
  return { count, failed, buckets: [...buckets].sort(([one], [other]) => one - other) };
}

/**
 * @typedef {object} Rates between two readings; latencies are null where nothing was requested
 * @property {number} rate requests a second
 * @property {number} failed requests answered with 5xx, a second
 * @property {number | null} median milliseconds
 * @property {number | null} high milliseconds, of the 95th percentile
 *
 * @param {Reading} before @param {Reading} after @param {number} seconds between them
 * @returns {Rates | null} null where a counter went back: a process began again
 */
export function ratesOf(before, after, seconds) {
  const known = new Map(before.buckets);
  const buckets = after.buckets.map(([bound, count]) => [bound, count - (known.get(bound) || 0)]);
  const count = after.count - before.count;
  const failed = after.failed - before.failed;
  if (count < 0 || failed < 0 || buckets.some(([, some]) => some < 0)) return null;
  return {
    rate: count / seconds,
    failed: failed / seconds,
    median: quantile(buckets, 0.5),
    high: quantile(buckets, 0.95),
  };
}

/** The way of Prometheus: linear inside a bucket, the last finite bound beyond it. */
function quantile(buckets, part) {
  const total = buckets.at(-1)?.[1] || 0;
  if (!total) return null;
  const rank = part * total;
  let [lower, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= rank && bound === Infinity) break;
    if (count >= rank) return 1000 * (lower + ((bound - lower) * (rank - below)) / (count - below));
    [lower, below] = [bound, count];
  }
  return 1000 * lower;
}
