/** "3 changes: show", without moving what one reads. */
import { html } from "../html.js";
import { lastChange } from "../state/live.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { MovieEvent } from "../api/types.js" */

const MARKED_MS = 4_000;
const MAX_KEPT = 1_000;

/**
 * @param {{since: number | undefined, onShow: (ids: Set<string>, newest: number) => void}} props
 *   ``since`` is the position that is shown, if one is; ``onShow`` gets the movies that changed after
 *   it, and the last position
 */
export function News({ since, onShow }) {
  const [arrived, setArrived] = useState(/** @type {MovieEvent[]} */ ([]));
  const change = lastChange.value;
  const isNew = (/** @type {MovieEvent} */ { position }) => since === undefined || position > since;
  useEffect(() => {
    if (change) setArrived((before) => [...before, change].filter(isNew).slice(-MAX_KEPT));
  }, [change]);
  const news = since === undefined ? [] : arrived.filter(isNew);
  const show = () => onShow(new Set(news.map((one) => one.movie_id)), news.at(-1)?.position ?? 0);
  const count = news.length === MAX_KEPT ? `${MAX_KEPT.toLocaleString()} or more` : news.length.toLocaleString();
  return html`<div aria-live="polite">
    ${news.length > 0 &&
    html`<button class="news" onClick=${show}>
      ${news.length === 1 ? "1 change" : `${count} changes`}: show
    </button>`}
  </div>`;
}

/**
 * Movies whose rows are marked for a while.
 * @returns {[Set<string>, (ids: Set<string>) => void]}
 */
export function useMarks() {
  const [marked, setMarked] = useState(/** @type {Set<string>} */ (new Set()));
  useEffect(() => {
    if (!marked.size) return undefined;
    const timer = setTimeout(() => setMarked(new Set()), MARKED_MS);
    return () => clearTimeout(timer);
  }, [marked]);
  return [marked, setMarked];
}
