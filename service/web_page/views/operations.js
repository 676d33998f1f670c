/** What operators see and do. Loaded for operators only. */
import { html } from "../html.js";
import { get, Problem } from "../api/http.js";
import { textOf } from "../parts/notice.js";
import { Accounts } from "../operations/accounts.js";
import { Jobs } from "../operations/jobs.js";
import { Parked } from "../operations/parked.js";
import { Parts } from "../operations/parts.js";
import { usePolling } from "../operations/polling.js";
import { Traffic } from "../operations/traffic.js";
import { useState } from "../vendor/hooks.js";

/** @import { Readiness, Status } from "../api/types.js" */

const EVERY_MS = 2_000;

/** @typedef {import("../operations/parts.js").Health & Partial<Pick<Status, "rebuild" | "job">>} Shown */

/**
 * While the event store is away, roles cannot be checked: the probe answers still.
 * @param {AbortSignal} signal @returns {Promise<Readiness>}
 */
async function readReadiness(signal) {
  try {
    return (await get("../../readyz", {}, { signal })).data;
  } catch (problem) {
    if (problem instanceof Problem && problem.document.event_store) return /** @type {any} */ (problem.document);
    throw problem;
  }
}

/**
 * The last status with what is known now; parts of the view stay, and with them their dialogs.
 * @param {Shown | null} before @param {Readiness | null} now @returns {Shown | null}
 */
function merged(before, now) {
  if (!now) return before;
  return { ...before, ...now, read_model: { ...before?.read_model, ...now.read_model } };
}

export function Operations() {
  const [status, setStatus] = useState(/** @type {Shown | null} */ (null));
  const [refusal, setRefusal] = useState("");
  const [round, setRound] = useState(0);

  usePolling(
    async (signal) => {
      try {
        setStatus((await get("ops/status/", {}, { signal })).data);
        setRefusal("");
      } catch (problem) {
        if (!(problem instanceof Problem)) return;
        const isOver = problem.status === 403; // an operator no longer
        const now = isOver ? null : await readReadiness(signal).catch(() => null);
        setStatus((before) => (isOver ? null : merged(before, now)));
        setRefusal(`${textOf(problem)}${isOver || now ? "" : " What is shown was so a moment ago."}`);
      }
    },
    EVERY_MS,
    [round],
  );

  const { read_model: model, rebuild, job = null } = status || {};
  return html`<section aria-busy=${!status && !refusal}>
    <h1>Operations</h1>
    ${refusal && html`<p class="banner" role="alert">${refusal}</p>`}
    ${status && html`<${Parts} status=${status} /><${Traffic} />`}
    ${rebuild &&
    html`<${Jobs} job=${job} rebuild=${rebuild} onStart=${() => setRound(round + 1)} />
      <${Parked} known=${`${model?.parked} ${model?.dropped} ${model?.generation}`} />
      <${Accounts} />`}
  </section>`;
}
