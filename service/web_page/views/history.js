/** The history as a time line: who, when, what from what to what, and why. Newest first. */
import { html } from "../html.js";
import { call, Problem } from "../api/http.js";
import { Changes, KINDS } from "../parts/change.js";
import { tell, tellError } from "../parts/notice.js";
import { When } from "../parts/when.js";
import { href, route } from "../state/route.js";
import { useState } from "../vendor/hooks.js";

/** @param {{id: string, entries: any[], isMine: boolean, onDone: () => void}} props */
export function History({ id, entries, isMine, onDone }) {
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
            ${isMine && entry.version > 1 && html`<${Undo} ...${{ id, entry, onDone }} />`}
          </p>
        </li>`,
      )}
    </ol>
  </section>`;
}

const To = ({ id, from, to, label }) => html`<a href=${href(`movies/${id}`, { from, to })}>${label}</a>`;

/** Take back one change and keep later ones, after a look at what would come of it. */
function Undo({ id, entry, onDone }) {
  const [conflict, setConflict] = useState("");
  async function undo() {
    setConflict("");
    try {
      const body = { version: entry.version };
      const { data } = await call("POST", `movies/${id}/undo/`, {
        body,
        headers: { "Idempotency-Key": crypto.randomUUID() },
      });
      tell(data.version === entry.version ? "There is nothing to undo." : "The change is undone.");
      onDone();
    } catch (problem) {
      if (!(problem instanceof Problem) || problem.code !== "undo_conflict") tellError(problem);
      else {
        const fields = Object.entries(problem.document.conflicts);
        const told = fields.map(([name, { version, now }]) => `${name} (version ${version}: ${now})`);
        setConflict(`It cannot be undone: later versions changed ${told.join(", ")}.`);
      }
    }
  }
  return html`<button class="plain" aria-label=${`Undo this change: version ${entry.version}`} onClick=${undo}>
      Undo this change
    </button>
    ${conflict && html`<span class="errors" role="alert">${conflict}</span>`}`;
}
