/** A question before something that is not easily taken back. */
import { html } from "../html.js";
import { Problem } from "../api/http.js";
import { Dialog } from "./dialog.js";
import { valuesOf } from "./field.js";
import { textOf } from "./notice.js";
import { useState } from "../vendor/hooks.js";

/**
 * @param {{title: string, action: string, onClose: () => void, children?: any,
 *   onConfirm: (values: Record<string, string>) => Promise<void>}} props ``action`` names the button,
 *   the values are those of fields; a refusal is told in the dialog
 */
export function Confirmation({ title, action, onConfirm, onClose, children }) {
  const [refusal, setRefusal] = useState("");
  const [busy, setBusy] = useState(false);

  async function submit(event) {
    event.preventDefault();
    setBusy(true);
    setRefusal("");
    try {
      await onConfirm(valuesOf(event.target));
      onClose();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setRefusal(textOf(problem));
    } finally {
      setBusy(false);
    }
  }

  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      ${children} ${refusal && html`<p class="errors" role="alert">${refusal}</p>`}
      <footer><button type="submit" aria-busy=${busy} disabled=${busy}>${action}</button></footer>
    </form>
  <//>`;
}
