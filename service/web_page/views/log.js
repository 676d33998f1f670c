/** The log: what happened to all movies, newest last, and live. */
import { html } from "../html.js";
import { get, Problem } from "../api/http.js";
import { Changes, KINDS } from "../parts/change.js";
import { tellError } from "../parts/notice.js";
import { When } from "../parts/when.js";
import { lastChange } from "../state/live.js";
import { go, href, route } from "../state/route.js";
import { useEffect, useState } from "../vendor/hooks.js";

const SIZE = 50;

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

export function Log() {
  const params = route.value.params;
  const [entries, setEntries] = useState(/** @type {any[] | null} */ (null));
  const [next, setNext] = useState(/** @type {string | null} */ (null));
  const asked = params.toString();
  const change = lastChange.value;

  useEffect(() => {
    const stop = new AbortController();
    get("events/", { limit: SIZE, ...Object.fromEntries(params) }, { signal: stop.signal })
      .then(({ data }) => {
        setEntries(data.results);
        setNext(data.next);
      })
      .catch((problem) => {
        if (problem instanceof Problem) setEntries([]);
        tellError(problem);
      });
    return () => stop.abort();
  }, [asked]);
  useEffect(() => {
    const last = entries?.at(-1)?.position ?? 0;
    if (entries && !next && change && change.position > last && isWanted(change, params))
      setEntries([...entries, change]);
  }, [change]);

  async function more() {
    const { searchParams } = new URL(/** @type {string} */ (next), location.href);
    try {
      const { data } = await get("events/", Object.fromEntries(searchParams));
      setEntries([...(entries || []), ...data.results]);
      setNext(data.next);
    } catch (problem) {
      tellError(problem);
    }
  }

  return html`<section aria-busy=${!entries}>
    <h1>Log</h1>
    <${LogFilters} params=${params} />
    ${entries?.length === 0 && !next && html`<p class="empty">Nothing happened.</p>`}
    <ol class="timeline" aria-live="off">
      ${(entries || []).map(
        (entry) => html`<li key=${entry.position}>
          <p class="what">
            <a href=${href(`movies/${entry.movie_id}`, { version: entry.version })}>
              Version ${entry.version}
            </a>
            ${" "}${KINDS[entry.type]} by ${entry.actor.username || "unknown"} ·${" "}
            <${When} at=${entry.at} /> · position ${entry.position}
          </p>
          ${entry.reason && html`<p class="reason">“${entry.reason}”</p>`}
          <${Changes} changes=${entry.changes} />
        </li>`,
      )}
    </ol>
    ${next && html`<button class="secondary" onClick=${more}>Show more</button>`}
  </section>`;
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
