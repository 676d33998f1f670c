/** How far a long piece of work is, as a bar and in words. */
import { html } from "../html.js";

/** @param {{done: number, total: number, children: any}} props */
export function Progress({ done, total, children }) {
  return html`<div class="progress">
    <progress aria-label="Progress" value=${done} max=${Math.max(total, 1)}></progress>
    <p class="number" role="status">${children}</p>
  </div>`;
}
