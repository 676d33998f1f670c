/** The history as a time line: who, when, what from what to what, and why. Newest first. */
import { html } from "../html.js";
import { call, Problem } from "../api/http.js";
import { Changes, FIELDS, KINDS, WouldBe } from "../parts/change.js";
import { Confirmation } from "../parts/confirmation.js";
import { tell, tellError } from "../parts/notice.js";
import { Reason, reasonHeader } from "../parts/reason.js";
import { When } from "../parts/when.js";
import { href, route } from "../state/route.js";
import { useState } from "../vendor/hooks.js";

/** @import { Entry, Movie } from "../api/types.js" */

/**
 * @param {{id: string, movie: Movie | null, entries: Entry[], isMine: boolean, onDone: () => void}} props
 *   ``movie`` is null for a deleted one
 */
export function History({ id, movie, entries, isMine, onDone }) {
  const marked = Number(route.value.params.get("version"));
  const last = entries.length;
  return html`<section aria-labelledby="history">
    <h2 id="history">History</h2>
    <ol class="timeline" reversed>
      ${entries.toReversed().map(
        (entry) => html`<li key=${entry.version} class=${entry.version === marked ? "marked" : ""}>
          <p class="what">
            <b>Version ${entry.version}</b> · ${KINDS[entry.type]} by
            ${" "}${entry.actor.username || "unknown"} · <${When} at=${entry.at} />
          </p>
          ${entry.reason && html`<p class="reason">“${entry.reason}”</p>`}
          <${Changes} changes=${entry.changes} />
          <p class="actions">
            ${entry.version > 1 &&
            html`<${To} ...${{ id }} from=${entry.version - 1} to=${entry.version}
              label="Compare with the one before" />`}
            ${entry.version < last &&
            html`<${To} ...${{ id }} from=${entry.version} to=${last} label="Compare with now" />`}
            ${entry.version > 2 &&
            html`<${To} ...${{ id }} from=${1} to=${entry.version} label="Compare with the first" />`}
            ${isMine && entry.version > 1 && html`<${Undo} ...${{ id, movie, entry, onDone }} />`}
          </p>
        </li>`,
      )}
    </ol>
  </section>`;
}

const To = ({ id, from, to, label }) => html`<a href=${href(`movies/${id}`, { from, to })}>${label}</a>`;

/**
 * Take back one change and keep later ones, after a look at what would come of it.
 * @param {{id: string, movie: Movie | null, entry: Entry, onDone: () => void}} props
 */
function Undo({ id, movie, entry, onDone }) {
  const [conflict, setConflict] = useState("");
  const [preview, setPreview] = useState(/** @type {(Movie & {key: string}) | null} */ (null));
  const { version } = entry;

  /** @param {{query?: Record<string, string>, headers?: Record<string, string>}} options */
  const send = (options) => call("POST", `movies/${id}/undo/`, { ...options, body: { version } });

  async function look() {
    setConflict("");
    try {
      const { data } = await send({ query: { dry_run: "true" } });
      if (movie && FIELDS.every((name) => data[name] === movie[name])) tell("There is nothing to undo.");
      else setPreview({ ...data, key: crypto.randomUUID() });
    } catch (problem) {
      if (!(problem instanceof Problem) || problem.code !== "undo_conflict") tellError(problem);
      else {
        const fields = Object.entries(problem.document.conflicts || {});
        const told = fields.map(([name, { version: later, now }]) => `${name} (version ${later}: ${now})`);
        setConflict(`It cannot be undone: later versions changed ${told.join(", ")}.`);
      }
    }
  }

  /** Only if the movie still is what the preview was made of. */
  async function undo({ reason }) {
    if (!preview) return;
    /** @type {Record<string, string>} */
    const headers = { ...reasonHeader(reason), "Idempotency-Key": preview.key };
    if (movie) headers["If-Match"] = `"${movie.version}"`;
    await send({ headers });
    tell("The change is undone.");
    onDone();
  }

  return html`<button class="plain" aria-label=${`Undo this change: version ${version}`} onClick=${look}>
      Undo this change
    </button>
    ${conflict && html`<span class="errors" role="alert">${conflict}</span>`}
    ${preview &&
    html`<${Confirmation} title=${`Undo version ${version}?`} action="Undo the change"
      onConfirm=${undo} onClose=${() => setPreview(null)}>
      <${WouldBe} movie=${preview} isDeleted=${!movie} />
      <${Reason} />
    <//>`}`;
}
