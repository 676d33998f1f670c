/** How far a long piece of work is, as a bar and in words. */
import { html } from "../html.js";

/**
 * @param {{done: number, total: number, isRunning?: boolean, children: any}} props the words are read
 *   out when the work no longer runs, not at every step
 */
export function Progress({ done, total, isRunning = true, children }) {
  return html`<div class="progress">
    <progress aria-label="Progress" value=${done} max=${Math.max(total, 1)}></progress>
    ${isRunning && html`<p class="number">${children}</p>`}
    <p class="number" role="status">${!isRunning && children}</p>
  </div>`;
}
