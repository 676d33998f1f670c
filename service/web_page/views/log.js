/** The log: what happened to all movies, newest first, and live. */
import { html } from "../html.js";
import { get, Problem } from "../api/http.js";
import { boundsOf, readBack } from "../data/log_reading.js";
import { Changes, KINDS } from "../parts/change.js";
import { Moment } from "../parts/moment.js";
import { tellError } from "../parts/notice.js";
import { When } from "../parts/when.js";
import { lastChange } from "../state/live.js";
import { adjust, go, href, route } from "../state/route.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";

/** @import { MovieEvent } from "../api/types.js" */

/** @param {AbortSignal} signal @returns {Promise<number>} the position of now */
async function readHead(signal) {
  const { headers } = await get("movies/", { page_size: 1 }, { signal });
  return Number(headers.get("Event-Position"));
}

/** The feed, for reading backwards. @param {AbortSignal} [signal] */
const feed = (signal) => (/** @type {Record<string, any>} */ query) => get("events/", query, { signal });

/** @param {MovieEvent} entry @param {URLSearchParams} params */
function isWanted(entry, params) {
  const kind = params.get("type");
  const who = params.get("actor__username");
  const at = Date.parse(entry.at || "");
  const isIn = (name, isPast) => !params.get(name) || isPast(at, Date.parse(params.get(name) || ""));
  return (
    isIn("at__gte", (one, other) => one >= other) &&
    isIn("at__lt", (one, other) => one < other) &&
    (!kind || entry.type === kind) &&
    (!who || entry.actor.username?.toLowerCase() === who.toLowerCase()) &&
    (!params.get("movie") || entry.movie_id === params.get("movie"))
  );
}

/**
 * @typedef {{entries: MovieEvent[], reached: number, floor: number}} Shown nothing lies up to ``floor``
 * @param {Shown} shown @param {MovieEvent[]} changes oldest first
 */
function withNewer(shown, changes) {
  const newest = shown.entries[0]?.position ?? 0;
  const newer = changes.filter(({ position }) => position > newest).toReversed();
  return { ...shown, entries: [...newer, ...shown.entries] };
}

export function Log() {
  const params = route.value.params;
  const [shown, setShown] = useState(/** @type {Shown | null} */ (null));
  /** What arrives while the entries are read. */
  const arrived = useRef(/** @type {MovieEvent[] | null} */ ([]));
  const asked = params.toString();
  const query = Object.fromEntries(params);
  const change = lastChange.value;

  useEffect(() => {
    const stop = new AbortController();
    setShown(null);
    arrived.current = [];
    async function read() {
      const bounds = await boundsOf(feed(stop.signal), query, await readHead(stop.signal));
      const found = await readBack(feed(stop.signal), query, bounds);
      setShown(withNewer({ ...found, floor: bounds.floor }, arrived.current || []));
      arrived.current = null;
    }
    read().catch((problem) => {
      if (problem instanceof Problem) setShown({ entries: [], reached: 0, floor: 0 });
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
      const { floor } = shown;
      const found = await readBack(feed(), query, { floor, end: shown.reached });
      setShown({ entries: [...shown.entries, ...found.entries], reached: found.reached, floor });
    } catch (problem) {
      tellError(problem);
    }
  }

  return html`<section aria-busy=${!shown}>
    <h1>Log</h1>
    <${LogFilters} params=${params} />
    ${shown?.entries.length === 0 &&
    html`<p class="empty">
      ${shown.reached > shown.floor
        ? `Nothing like that was found after position ${shown.reached.toLocaleString()}.`
        : "Nothing like that was found."}
    </p>`}
    <ol class="timeline" reversed>
      ${(shown?.entries || []).map((entry) => html`<${Entry} key=${entry.position} entry=${entry} />`)}
    </ol>
    ${shown &&
    shown.reached > shown.floor &&
    html`<button class="secondary" onClick=${earlier}>Show earlier changes</button>`}
  </section>`;
}

/** @param {{entry: MovieEvent}} props */
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

/** @param {{params: URLSearchParams}} props */
function LogFilters({ params }) {
  const query = Object.fromEntries(params);
  const set = (name) => (event) => go("log", { ...query, [name]: event.target.value.trim() });
  const moment = (name, label, open) =>
    html`<${Moment} ...${{ id: `log-${open}`, label, open }} at=${query[name] || ""}
      onChange=${(at) => adjust("log", { ...query, [name]: at })} />`;
  return html`<div class="filters">
    <form class="row" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
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
  </form>
    ${moment("at__gte", "From", "start")} ${moment("at__lt", "Until", "now")}
  </div>`;
}
