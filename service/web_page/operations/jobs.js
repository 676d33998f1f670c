/** Rebuild and verify the read model: start a job, and see how far the last one is. */
import { html } from "../html.js";
import { call } from "../api/http.js";
import { Confirmation } from "../parts/confirmation.js";
import { tell } from "../parts/notice.js";
import { Progress } from "../parts/progress.js";
import { When } from "../parts/when.js";
import { useState } from "../vendor/hooks.js";

/** @import { Job as OneJob, JobProgress, RebuildStatus } from "../api/types.js" */

const COUNT = new Intl.NumberFormat();
const NAMES = { rebuild: "Rebuild", verify: "Verification" };

/** @param {{job: OneJob | null, rebuild: RebuildStatus, onStart: () => void}} props of `ops/status/` */
export function Jobs({ job, rebuild, onStart }) {
  const [asked, setAsked] = useState("");
  const isRunning = job?.state === "running" || Boolean(rebuild.phase);

  async function start(path, body) {
    await call("POST", path, { body });
    tell("The job is running.");
    onStart();
  }

  return html`<section aria-labelledby="jobs">
    <h2 id="jobs">Rebuild and verify</h2>
    <p class="actions">
      <button class="secondary" disabled=${isRunning} onClick=${() => setAsked("verify")}>
        Verify …
      </button>
      <button class="secondary" disabled=${isRunning} onClick=${() => setAsked("rebuild")}>
        Rebuild …
      </button>
    </p>
    ${rebuild.phase &&
    job?.state !== "running" &&
    html`<${Running} name="Rebuild from the command line" progress=${rebuild} />`}
    ${job && html`<${Job} job=${job} />`}
    ${asked === "verify" &&
    html`<${Verification} onClose=${() => setAsked("")}
      onStart=${(repair) => start("ops/verify/", { repair })} />`}
    ${asked === "rebuild" &&
    html`<${Confirmation} title="Rebuild the read model?" action="Rebuild"
      onClose=${() => setAsked("")} onConfirm=${() => start("ops/rebuild/")}>
      <p>A new generation is built from the log beside the live one, which serves until the two are
      compared and switched.</p>
    <//>`}
  </section>`;
}

function Verification({ onClose, onStart }) {
  const [repair, setRepair] = useState(false);
  return html`<${Confirmation} title="Compare the read model with the log?" action="Verify"
    onClose=${onClose} onConfirm=${() => onStart(repair)}>
    <label>
      <input type="checkbox" checked=${repair} onChange=${({ target }) => setRepair(target.checked)} />
      Correct what differs
    </label>
  <//>`;
}

/** @param {{name: string, progress: JobProgress | RebuildStatus | null}} props */
function Running({ name, progress }) {
  const { phase, done = 0, total = 0 } = progress || {};
  const what = phase ? `${name}: ${phase}` : name;
  if (!total) return html`<p aria-busy="true">${what}</p>`;
  return html`<${Progress} done=${done} total=${total}>
    ${what}, ${COUNT.format(done)} of ${COUNT.format(total)}
  <//>`;
}

/** @param {{job: OneJob}} props */
function Job({ job }) {
  const name = NAMES[job.kind];
  return html`<div>
    ${job.state === "running" && html`<${Running} name=${name} progress=${job.progress} />`}
    <p>
      ${name} by ${job.by}, started <${When} at=${job.started_at} />${job.finished_at &&
      html`, ended <${When} at=${job.finished_at} />`}.
    </p>
    <p role="status" class=${job.state === "failed" ? "errors" : undefined}>${wordsOf(job)}</p>
    ${job.outcome && html`<${Outcome} outcome=${job.outcome} />`}
  </div>`;
}

/** @param {OneJob} job */
function wordsOf({ state, ok, error, outcome }) {
  if (state === "running") return "";
  if (state === "failed") return `It failed: ${error}`;
  if (ok) return "No difference was found.";
  if (outcome?.repaired) return "Differences were found and corrected.";
  return "It found differences or damage.";
}

/** What a job found; its kinds differ. @param {{outcome: Record<string, any>}} props */
function Outcome({ outcome }) {
  const numbers = Object.entries(outcome).filter(([, value]) => typeof value === "number");
  const damage = outcome.event_store || [];
  const { differences = [], differing = {} } = outcome;
  const all = Object.values(differing).reduce((sum, some) => sum + some, 0);
  return html`<dl class="facts number">
      ${numbers.map(
        ([name, value]) => html`<div key=${name}>
          <dt>${name.replaceAll("_", " ")}</dt>
          <dd>${COUNT.format(value)}</dd>
        </div>`,
      )}
    </dl>
    ${damage.map((text) => html`<p key=${text} class="errors">${text}</p>`)}
    ${differences.length > 0 &&
    html`<div class="scrolls" tabindex="0" role="region" aria-label="Differences">
      <table>
        <caption>${`Differences: ${differences.length} of ${COUNT.format(all)}`}</caption>
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">Field</th>
            <th scope="col">By the log</th>
            <th scope="col">Shown</th>
          </tr>
        </thead>
        <tbody>
          ${differences.map(
            (one) => html`<tr key=${`${one.key} ${one.field}`}>
              <td>${one.key}</td>
              <td>${one.field}</td>
              <td>${one.wanted ?? "nothing"}</td>
              <td>${one.shown ?? "nothing"}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`}`;
}
