/** The keys of the page. */
import { html } from "../html.js";
import { Dialog } from "./dialog.js";
import { areKeysOn, isHelpOpen, setKeys } from "../state/keys.js";

const KEYS = [
  ["/", "Search"],
  ["n", "Add a movie"],
  ["?", "This list"],
  ["Esc", "Close a dialog"],
  ["←  →", "Move a slider of time; Page Up and Page Down move it further"],
];

export function Help() {
  if (!isHelpOpen.value) return null;
  return html`<${Dialog} title="Keys" onClose=${() => (isHelpOpen.value = false)}>
    <dl class="keys">
      ${KEYS.map(
        ([key, text]) => html`<div key=${key}>
          <dt><kbd>${key}</kbd></dt>
          <dd>${text}</dd>
        </div>`,
      )}
    </dl>
    <label>
      <input type="checkbox" role="switch" checked=${areKeysOn.value}
        onChange=${(event) => setKeys(event.target.checked)} />
      Keys of one letter are on
    </label>
  <//>`;
}
