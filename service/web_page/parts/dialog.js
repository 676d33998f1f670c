/** A modal dialog of the browser: it keeps the focus inside, and gives it back. */
import { html } from "../html.js";
import { useEffect, useRef } from "../vendor/hooks.js";

/** @param {{title: string, onClose: () => void, children: any}} props */
export function Dialog({ title, onClose, children }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    ref.current?.showModal();
    return () => before?.focus();
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
