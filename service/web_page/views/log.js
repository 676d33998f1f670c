/** The log: what happened to all movies, newest first, and live. */
import { html } from "../html.js";
import { get, Problem } from "../api/http.js";
import { Changes, KINDS } from "../parts/change.js";
import { tellError } from "../parts/notice.js";
import { When } from "../parts/when.js";
import { lastChange } from "../state/live.js";
import { go, href, route } from "../state/route.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";

/** Positions that one step back reads, and how many entries it looks for in how many steps. */
const WINDOW = 500;
const ENOUGH = 30;
const MAX_STEPS = 20;

/**
 * Entries before a position, read backwards in windows of the log.
 * @param {number} before
 * @param {URLSearchParams} params
 * @param {AbortSignal} [signal]
 * @returns {Promise<{entries: any[], reached: number}>} newest first, and the position reached
 */
async function readBack(before, params, signal) {
  const entries = [];
  let reached = before;
  for (let step = 0; step < MAX_STEPS && reached > 0 && entries.length < ENOUGH; step += 1) {
    const after = Math.max(0, reached - WINDOW);
    const query = { ...Object.fromEntries(params), after, limit: WINDOW };
    const { data } = await get("events/", query, { signal });
    const end = reached;
    entries.push(...data.results.filter(({ position }) => position <= end).toReversed());
    reached = after;
  }
  return { entries, reached };
}

/** @param {AbortSignal} signal @returns {Promise<number>} the position of now */
async function readHead(signal) {
  const { headers } = await get("movies/", { page_size: 1 }, { signal });
  return Number(headers.get("Event-Position"));
}

/** @param {any} entry @param {URLSearchParams} params */
function isWanted(entry, params) {
  const kind = params.get("type");
  const who = params.get("actor__username");
  return (
    (!kind || entry.type === kind) &&
    (!who || entry.actor.username?.toLowerCase() === who.toLowerCase()) &&
    (!params.get("movie") || entry.movie_id === params.get("movie"))
  );
}

/** @param {{entries: any[], reached: number}} shown @param {any[]} changes oldest first */
function withNewer(shown, changes) {
  const newest = shown.entries[0]?.position ?? 0;
  const newer = changes.filter(({ position }) => position > newest).toReversed();
  return { ...shown, entries: [...newer, ...shown.entries] };
}

export function Log() {
  const params = route.value.params;
  const [shown, setShown] = useState(/** @type {{entries: any[], reached: number} | null} */ (null));
  /** What arrives while the entries are read. */
  const arrived = useRef(/** @type {any[] | null} */ ([]));
  const asked = params.toString();
  const change = lastChange.value;

  useEffect(() => {
    const stop = new AbortController();
    setShown(null);
    arrived.current = [];
    readHead(stop.signal)
      .then((head) => readBack(head, params, stop.signal))
      .then((found) => {
        setShown(withNewer(found, arrived.current || []));
        arrived.current = null;
      })
      .catch((problem) => {
        if (problem instanceof Problem) setShown({ entries: [], reached: 0 });
        tellError(problem);
      });
    return () => stop.abort();
  }, [asked]);
  useEffect(() => {
    if (!change || !isWanted(change, params)) return;
    arrived.current?.push(change);
    setShown((before) => before && withNewer(before, [change]));
  }, [change]);

  async function earlier() {
    if (!shown) return;
    try {
      const found = await readBack(shown.reached, params);
      setShown({ entries: [...shown.entries, ...found.entries], reached: found.reached });
    } catch (problem) {
      tellError(problem);
    }
  }

  return html`<section aria-busy=${!shown}>
    <h1>Log</h1>
    <${LogFilters} params=${params} />
    ${shown?.entries.length === 0 && html`<p class="empty">Nothing like that was found.</p>`}
    <ol class="timeline" reversed>
      ${(shown?.entries || []).map((entry) => html`<${Entry} key=${entry.position} entry=${entry} />`)}
    </ol>
    ${shown &&
    shown.reached > 0 &&
    html`<button class="secondary" onClick=${earlier}>Show earlier changes</button>`}
  </section>`;
}

function Entry({ entry }) {
  return html`<li>
    <p class="what">
      <a href=${href(`movies/${entry.movie_id}`, { version: entry.version })}>
        Version ${entry.version}
      </a>
      ${" "}${KINDS[entry.type]} by ${entry.actor.username || "unknown"} ·${" "}
      <${When} at=${entry.at} /> · position ${entry.position}
    </p>
    ${entry.reason && html`<p class="reason">“${entry.reason}”</p>`}
    <${Changes} changes=${entry.changes} />
  </li>`;
}

function LogFilters({ params }) {
  const set = (name) => (event) =>
    go("log", { ...Object.fromEntries(params), [name]: event.target.value.trim() });
  return html`<form class="row" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
    <p>
      <label for="log-kind">What</label>
      <select id="log-kind" onChange=${set("type")}>
        <option value="">Everything</option>
        ${Object.entries(KINDS).map(
          ([kind, label]) => html`<option key=${kind} value=${kind}
            selected=${params.get("type") === kind}>${label}</option>`,
        )}
      </select>
    </p>
    <p>
      <label for="log-who">By account</label>
      <input id="log-who" value=${params.get("actor__username") || ""}
        onChange=${set("actor__username")} />
    </p>
    <p>
      <label for="log-movie">Movie (id)</label>
      <input id="log-movie" value=${params.get("movie") || ""} onChange=${set("movie")} />
    </p>
  </form>`;
}
