/** When the log begins, and how much changed on each day. */
import { get } from "../api/http.js";
import { signal } from "../vendor/signals.js";

const KEPT_MS = 60_000;

/** @import { DaySummary } from "../api/types.js" */

export const activity = signal(
  /** @type {{first: number, now: number, days: DaySummary[]} | null} */ (null),
);
let asked = 0;

/** Ask for it unless that was done just now. Where it is refused, there is none. */
export async function loadActivity() {
  const now = Date.now();
  if (now - asked < KEPT_MS) return;
  asked = now;
  try {
    const [{ data: summary }, { data: feed }] = await Promise.all([
      get("events/summary", { by: "day" }),
      get("events/", { limit: 1 }),
    ]);
    const days = summary.results;
    const first = Date.parse(feed.results[0]?.at || days[0]?.day);
    activity.value = Number.isNaN(first) ? null : { first, now, days };
  } catch {
    asked = 0; // the page does without
  }
}
