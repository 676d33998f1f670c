/** Movies with an event that cannot be applied. */
import { html } from "../html.js";
import { call, get } from "../api/http.js";
import { Confirmation } from "../parts/confirmation.js";
import { tell, tellError } from "../parts/notice.js";
import { Pager } from "../parts/pager.js";
import { href } from "../state/route.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { Parked as ParkedMovie, ParkedPage } from "../api/types.js" */

const SIZE = 50;

/** @param {{known: string}} props read again when what is known of them changes */
export function Parked({ known }) {
  const [page, setPage] = useState(1);
  const [shown, setShown] = useState(/** @type {ParkedPage | null} */ (null));
  const [dropped, setDropped] = useState(/** @type {ParkedMovie | null} */ (null));

  async function read() {
    try {
      setShown((await get("ops/parked/", { page, page_size: SIZE })).data);
    } catch (problem) {
      if (page > 1) setPage(1); // fewer pages than before
      else tellError(problem);
    }
  }
  useEffect(() => void read(), [page, known]);

  /** @param {ParkedMovie} movie */
  async function retry(movie) {
    try {
      const { data } = await call("POST", `ops/parked/${movie.movie_id}/retry/`);
      tell(data.parked ? `It is parked still: ${data.error}` : "Its events are applied.", data.parked);
    } catch (problem) {
      tellError(problem);
    }
    await read();
  }

  async function drop() {
    if (!dropped) return;
    await call("POST", `ops/parked/${dropped.movie_id}/drop/`);
    tell("The movie is out of the lists.");
    await read();
  }

  return html`<section aria-labelledby="parked">
    <h2 id="parked">Parked movies</h2>
    ${shown?.count === 0 && html`<p>None: every event is applied.</p>`}
    ${shown &&
    shown.count > 0 &&
    html`<p>An event of these cannot be applied. Lists show the state before it, but for dropped ones.</p>
      <${List} movies=${shown.results} onRetry=${retry} onDrop=${setDropped} />
      <${Pager} page=${page} size=${SIZE} count=${shown.count} onPage=${setPage} of="parked movies" />`}
    ${dropped &&
    html`<${Confirmation} title="Take this movie out of the lists?" action="Drop" onConfirm=${drop}
      onClose=${() => setDropped(null)}>
      <p>Until it is retried or the read model is rebuilt. Its history stays.</p>
      <p><code>${dropped.movie_id}</code></p>
    <//>`}
  </section>`;
}

/** @param {{movies: ParkedMovie[], onRetry: (one: any) => void, onDrop: (one: any) => void}} props */
function List({ movies, onRetry, onDrop }) {
  return html`<div class="scrolls">
    <table>
      <thead>
        <tr>
          <th scope="col">Movie</th>
          <th scope="col">Position</th>
          <th scope="col">Event</th>
          <th scope="col">Reason</th>
          <th scope="col">In lists</th>
          <td></td>
        </tr>
      </thead>
      <tbody>
        ${movies.map(
          (one) => html`<tr key=${one.movie_id}>
            <th scope="row"><a href=${href(`movies/${one.movie_id}`)}>${one.movie_id}</a></th>
            <td class="number">${one.position}</td>
            <td>${one.type}</td>
            <td class="wide">${one.error}</td>
            <td>${one.dropped ? "dropped" : "as before"}</td>
            <td>
              <div class="actions">
                <button class="plain" aria-label=${`Retry ${one.movie_id}`}
                  onClick=${() => onRetry(one)}>
                  Retry
                </button>
                ${!one.dropped &&
                html`<button class="plain" aria-label=${`Drop ${one.movie_id}`}
                  onClick=${() => onDrop(one)}>
                  Drop
                </button>`}
              </div>
            </td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
