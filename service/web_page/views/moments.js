/** Two moments compared: which movies were added, changed and deleted between them. */
import { html } from "../html.js";
import { get } from "../api/http.js";
import { Changes } from "../parts/change.js";
import { Moment } from "../parts/moment.js";
import { tellError } from "../parts/notice.js";
import { When } from "../parts/when.js";
import { differences } from "../data/moments.js";
import { patience } from "../data/patience.js";
import { adjust, href, route } from "../state/route.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { Movie as Difference } from "../data/moments.js" */

/** @import { MovieEvent } from "../api/types.js" */

const MAX_ENTRIES = 1_000;
const SHOWN = 50;
const KINDS = { added: "added", changed: "changed", deleted: "deleted" };

/**
 * Read what lies between two moments; an empty one is the beginning, or now.
 * @param {{from: string, to: string, after: string}} moments ``after`` is a position to begin from
 *   instead of ``from``
 * @param {AbortSignal} signal
 * @returns {Promise<{entries: MovieEvent[], isWhole: boolean}>}
 */
async function readBetween({ from, to, after: begin }, signal) {
  const patiently = patience(signal);
  /** @param {Record<string, any>} query */
  const read = (query) => patiently(() => get("events/", query, { signal }));
  const positionOf = async (at) => {
    const { headers } = await patiently(() => get("movies/", { page_size: 1, at }, { signal }));
    return Number(headers.get("Event-Position"));
  };
  const first = begin || (from ? positionOf(from) : 0);
  const places = (await Promise.all([first, positionOf(to)])).map(Number);
  const [after, until] = places.sort((one, other) => one - other);
  if (after === until) return { entries: [], isWhole: true };
  const isBetween = ({ position }) => position <= until;
  const { data } = await read({ after, limit: MAX_ENTRIES });
  const entries = data.results.filter(isBetween);
  if (!data.next || entries.length < data.results.length) return { entries, isWhole: true };
  const further = await read({ after: entries.at(-1)?.position, limit: 1 });
  return { entries, isWhole: !further.data.results.some(isBetween) };
}

export function Moments() {
  const { params } = route.value;
  const from = params.get("from") || "";
  const to = params.get("to") || "";
  const after = params.get("after") || "";
  const [found, setFound] = useState(/** @type {any} */ (null));

  useEffect(() => {
    const stop = new AbortController();
    setFound(null);
    readBetween({ from, to, after }, stop.signal)
      .then(({ entries, isWhole }) =>
        setFound({ ...differences(entries), isWhole, count: entries.length, last: entries.at(-1) }),
      )
      .catch((problem) => {
        if (!stop.signal.aborted) setFound({});
        tellError(problem);
      });
    return () => stop.abort();
  }, [from, to, after]);

  const set = (name) => (at) => adjust("moments", { from, to, [name]: at });
  return html`<section aria-busy=${!found}>
    <h1>What changed</h1>
    <div class="filters">
      <${Moment} id="from" label="Between" at=${from} open="start" onChange=${set("from")} />
      <${Moment} id="to" label="and" at=${to} onChange=${set("to")} />
    </div>
    ${found && html`<${Found} found=${found} to=${to} />`}
  </section>`;
}

function Found({ found, to }) {
  if (found.count === undefined) return null;
  const kinds = Object.keys(KINDS).filter((kind) => found[kind].length);
  return html`<div>
    ${!found.isWhole &&
    html`<p class="banner" role="status">
      More than ${MAX_ENTRIES.toLocaleString()} changes lie between the two. These are the first ones, up
      to <${When} at=${found.last.at} />.${" "}
      <a href=${href("moments", { from: found.last.at, after: found.last.position, to })}>
        Go on from there
      </a>
    </p>`}
    ${!kinds.length && html`<p class="empty">The movies are the same at both.</p>`}
    ${kinds.map((kind) => html`<${Group} key=${kind} kind=${kind} movies=${found[kind]} />`)}
  </div>`;
}

/** @param {{kind: string, movies: Difference[]}} props */
function Group({ kind, movies }) {
  const [isAll, setAll] = useState(false);
  const shown = isAll ? movies : movies.slice(0, SHOWN);
  return html`<section aria-label=${`Movies ${KINDS[kind]}`}>
    <h2>${movies.length.toLocaleString()} ${KINDS[kind]}</h2>
    <ul class="timeline">
      ${shown.map(
        (movie) => html`<li key=${movie.id}>
          <${Name} movie=${movie} />
          ${kind === "added" ? html`<${Facts} changes=${movie.changes} />` : null}
          ${kind === "changed" && html`<${Changes} changes=${movie.changes} />`}
        </li>`,
      )}
    </ul>
    ${shown.length < movies.length &&
    html`<button class="secondary" onClick=${() => setAll(true)}>
      Show all ${movies.length.toLocaleString()}
    </button>`}
  </section>`;
}

const Facts = ({ changes: { genre, year } }) =>
  html`<span class="quiet">${[genre?.to, year?.to].filter(Boolean).map((value) => ` · ${value}`)}</span>`;

/** The title; asked for where the log between the moments does not tell it. */
function Name({ movie: { id, version, title } }) {
  const [name, setName] = useState(title);
  useEffect(() => {
    if (title !== null) return undefined;
    const stop = new AbortController();
    get(`movies/${id}/`, { version }, { signal: stop.signal }).then(
      ({ data }) => setName(data.title),
      () => setName(id),
    );
    return () => stop.abort();
  }, [id, version, title]);
  return html`<a href=${href(`movies/${id}`, { version })}>${name ?? "…"}</a>`;
}
