/** A text that is shown once, with a button that copies it. */
import { html } from "../html.js";
import { useRef, useState } from "../vendor/hooks.js";

/** @param {{label: string, text: string}} props */
export function Secret({ label, text }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [told, setTold] = useState("");

  async function copy() {
    input.current?.select();
    try {
      await navigator.clipboard.writeText(text);
      setTold("Copied.");
    } catch {
      setTold("The browser does not allow it. The text is selected: copy it with the keyboard.");
    }
  }

  return html`<p class="field">
      <label for="secret">${label}</label>
      <input id="secret" class="secret" ref=${input} readonly value=${text}
        onFocus=${(event) => event.target.select()} />
    </p>
    <p class="row">
      <button type="button" onClick=${copy}>Copy</button>
      <span role="status">${told}</span>
    </p>`;
}
