/** Buttons of a list that the service answers page by page. */
import { html } from "../html.js";

/**
 * @param {{page: number, size: number, count: number, onPage: (page: number) => void, of: string}}
 *   props ``of`` names the list for those who cannot see it
 */
export function Pager({ page, size, count, onPage, of }) {
  const last = Math.max(1, Math.ceil(count / size));
  if (last === 1) return null;
  return html`<nav class="pager" aria-label=${`Pages of the ${of}`}>
    <button class="secondary" disabled=${page <= 1} onClick=${() => onPage(page - 1)}>Previous</button>
    <span class="number">Page ${page} of ${last}</span>
    <button class="secondary" disabled=${page >= last} onClick=${() => onPage(page + 1)}>Next</button>
  </nav>`;
}
