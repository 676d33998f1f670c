/** A time in the reader's zone; UTC at hand in its title. */
import { html } from "../html.js";

const FORMAT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** @param {string} at RFC 3339 */
export const textOfTime = (at) => FORMAT.format(new Date(at));

/** @param {string} at RFC 3339 */
export function utcOf(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "" : `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** @param {{at: string | null}} props RFC 3339 */
export function When({ at }) {
  if (!at) return html`<span>unknown</span>`;
  return html`<time datetime=${at} title=${utcOf(at)}>
    ${textOfTime(at)}
  </time>`;
}
