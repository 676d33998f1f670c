/** A labelled input with its messages. */
import { html } from "../html.js";

/**
 * @param {{name: string, label: string, errors?: string[], hint?: string, [attribute: string]: any}}
 *   props the rest are attributes of the input
 */
export function Field({ name, label, errors, hint, id = `field-${name}`, ...rest }) {
  const told = [hint && `${id}-hint`, errors && `${id}-errors`].filter(Boolean).join(" ");
  return html`<p class="field">
    <label for=${id}>${label}</label>
    <input
      id=${id}
      name=${name}
      aria-describedby=${told || undefined}
      aria-invalid=${errors ? "true" : undefined}
      ...${rest}
    />
    ${hint && html`<small id=${`${id}-hint`}>${hint}</small>`}
    ${errors && html`<small class="errors" id=${`${id}-errors`}>${errors.join(" ")}</small>`}
  </p>`;
}

/** @param {HTMLFormElement} form @returns {Record<string, string>} */
export const valuesOf = (form) =>
  Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
