/** Messages for everybody: what went wrong, what was done. */
import { html } from "../html.js";
import { Problem } from "../api/http.js";
import { signal } from "../vendor/signals.js";

const SHOWN_MS = 6_000;
export const notice = signal(/** @type {{text: string, bad?: boolean} | null} */ (null));
let timer = 0;

/** @param {string} text */
export function tell(text, bad = false) {
  clearTimeout(timer);
  notice.value = { text, bad };
  if (!bad) timer = setTimeout(() => (notice.value = null), SHOWN_MS);
}

/** Tell of an error that no field shows. @param {unknown} error */
export function tellError(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (!(error instanceof Problem)) throw error;
  tell(textOf(error), true);
}

/** @param {Problem} problem */
export function textOf(problem) {
  const fields = Object.entries(problem.errors).map(([name, texts]) => `${name}: ${texts.join(" ")}`);
  return fields.join(" ") || problem.message;
}

export function Notice() {
  const shown = notice.value;
  return html`<div class="notices" role="status" aria-live="polite">
    ${shown &&
    html`<div class=${shown.bad ? "notice bad" : "notice"}>
      <span>${shown.text}</span>
      <button class="plain" aria-label="Close the message" onClick=${() => (notice.value = null)}>
        ✕
      </button>
    </div>`}
  </div>`;
}
