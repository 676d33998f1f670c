/** A modal dialog of the browser: it keeps the focus inside, and gives it back. */
import { html } from "../html.js";
import { useEffect, useRef } from "../vendor/hooks.js";

/** What had the focus before a dialog, or before the first of several in a row. */
let opener = /** @type {HTMLElement | null} */ (null);

/** Once the dialog is gone: what lies under a modal dialog takes no focus. */
function giveBack() {
  setTimeout(() => {
    if (opener?.isConnected && !document.querySelector("dialog[open]")) opener.focus();
  });
}

/** @param {{title: string, onClose: () => void, children: any}} props */
export function Dialog({ title, onClose, children }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const active = /** @type {HTMLElement} */ (document.activeElement);
    if (active !== document.body && !active.closest("dialog")) opener = active;
    ref.current?.showModal();
    return giveBack;
  }, []);
  return html`<dialog ref=${ref} aria-labelledby="dialog-title" onClose=${onClose}>
    <article>
      <header>
        <h2 id="dialog-title">${title}</h2>
        <button class="plain" aria-label="Close" onClick=${() => ref.current?.close()}>✕</button>
      </header>
      ${children}
    </article>
  </dialog>`;
}
