/** Two versions side by side, and the way back to the earlier one. */
import { html } from "../html.js";
import { call } from "../api/http.js";
import { FIELDS, Words, WouldBe } from "../parts/change.js";
import { tell, tellError } from "../parts/notice.js";
import { valuesOf } from "../parts/field.js";
import { Reason, reasonHeader } from "../parts/reason.js";
import { When } from "../parts/when.js";
import { adjust, go, href } from "../state/route.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { Entry, Movie, State } from "../api/types.js" */

/**
 * @param {{id: string, movie: Movie | null, states: (State | null)[], entries: Entry[],
 *   isMine: boolean, from: number, to: number, onDone: () => void}} props
 */
export function Comparison({ id, movie, states, entries, isMine, from, to, onDone }) {
  const [old, now] = [states[from - 1], states[to - 1]];
  const choose = (name) => (event) =>
    adjust(`movies/${id}`, { from, to, [name]: event.target.value });
  return html`<section class="comparison" aria-labelledby="comparison">
    <div class="title">
      <h2 id="comparison">Comparison</h2>
      <a href=${href(`movies/${id}`)}>Close</a>
    </div>
    <div class="scrolls">
      <table>
        <thead>
          <tr>
            <td></td>
            <th scope="col"><${Choice} name="from" value=${from} ...${{ entries }}
              onChange=${choose("from")} /></th>
            <th scope="col"><${Choice} name="to" value=${to} ...${{ entries }}
              onChange=${choose("to")} /></th>
            <th scope="col">Difference</th>
          </tr>
        </thead>
        <tbody>
          ${FIELDS.map(
            (name) => html`<tr key=${name}>
              <th scope="row">${name}</th>
              <td>${old ? old[name] : html`<em>deleted</em>`}</td>
              <td>${now ? now[name] : html`<em>deleted</em>`}</td>
              <td>
                ${old && now && old[name] !== now[name]
                  ? html`<${Words} from=${old[name]} to=${now[name]} />`
                  : "–"}
              </td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${isMine && old && html`<${WayBack} ...${{ id, movie, old, version: from, onDone }} />`}
  </section>`;
}

/** @param {{name: string, value: number, entries: Entry[], onChange: (event: any) => void}} props */
function Choice({ name, value, entries, onChange }) {
  const label = name === "from" ? "Earlier version" : "Later version";
  return html`<label class="hidden" for=${`compare-${name}`}>${label}</label>
    <select id=${`compare-${name}`} value=${value} onChange=${onChange}>
      ${entries.map(
        (entry) =>
          html`<option key=${entry.version} value=${entry.version} selected=${entry.version === value}>
            Version ${entry.version}
          </option>`,
      )}
    </select>
    <small><${When} at=${entries[value - 1].at} /></small>`;
}

/**
 * Offered only where it would change something; first what would come of it is shown.
 * @param {{id: string, movie: Movie | null, old: State, version: number, onDone: () => void}} props
 */
function WayBack({ id, movie, old, version, onDone }) {
  const [preview, setPreview] = useState(/** @type {Movie | null} */ (null));
  useEffect(() => setPreview(null), [version, movie?.version]);
  if (movie && FIELDS.every((name) => movie[name] === old[name])) return null;

  /** @param {boolean} isTried @param {string} [reason] */
  async function send(isTried, reason = "") {
    try {
      const { data } = await call("POST", `movies/${id}/revert/`, {
        query: isTried ? { dry_run: "true" } : {},
        body: { version },
        headers: {
          ...reasonHeader(reason),
          ...(movie ? { "If-Match": `"${movie.version}"` } : {}),
        },
      });
      if (isTried) return setPreview(data);
      tell(`The movie is as it was at version ${version}.`);
      go(`movies/${id}`);
      onDone();
    } catch (problem) {
      tellError(problem);
    }
    return undefined;
  }

  if (!preview)
    return html`<button onClick=${() => send(true)}>Take back to version ${version} …</button>`;
  return html`<div class="banner" role="status">
    <${WouldBe} movie=${preview} isDeleted=${!movie} />
    <form
      onSubmit=${(event) => {
        event.preventDefault();
        send(false, valuesOf(event.target).reason);
      }}
    >
      <${Reason} />
      <p class="actions">
        <button type="submit">Take back to version ${version}</button>
        <button type="button" class="secondary" onClick=${() => setPreview(null)}>Leave it</button>
      </p>
    </form>
  </div>`;
}
