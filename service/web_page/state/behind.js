/** Lists follow the log. Where one does not yet show a change, it is asked until it does. */
import { get, onBehind, Problem } from "../api/http.js";
import { signal } from "../vendor/signals.js";
import { account } from "./session.js";

const RETRY_S = 1;
/** Refusals that pass: none at all, a limit, a list that is behind or being built. */
const PASSING = [0, 429, 503];

/** What lists do not show yet: "" nothing, "mine" what this page changed, "others". */
export const behind = signal("");
/** Counts how often lists have caught up: then views read again. */
export const caughtUp = signal(0);

let wanted = 0;
let isAsking = false;

/** Ask until lists show a position. @param {number} position @param {"mine" | "others"} whose */
export async function follow(position, whose) {
  wanted = Math.max(wanted, position);
  if (behind.value !== "mine") behind.value = whose;
  if (isAsking) return;
  isAsking = true;
  while (wanted && account.value) {
    const asked = wanted;
    const wait = await ask(asked);
    if (wait) await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
    else if (wanted === asked) wanted = 0;
  }
  isAsking = false;
  behind.value = "";
  caughtUp.value += 1;
}

/** @param {number} position @returns {Promise<number>} seconds until it may be asked again, 0: it is shown */
async function ask(position) {
  try {
    await get("movies/", { page_size: 1 }, { headers: { "Min-Event-Position": String(position) } });
  } catch (problem) {
    if (problem instanceof Problem && PASSING.includes(problem.status))
      return Number(problem.headers.get("Retry-After")) || RETRY_S;
    // Another log, or no session any more: nothing to wait for.
  }
  return 0;
}

onBehind.call = (position) => void follow(position, "mine");
