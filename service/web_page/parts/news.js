/** "3 changes: show", without moving what one reads. */
import { html } from "../html.js";
import { lastChange } from "../state/live.js";
import { useEffect, useState } from "../vendor/hooks.js";

const MARKED_MS = 4_000;

/**
 * @param {{since: number | undefined, onShow: (ids: Set<string>) => void}} props ``since`` is the
 *   position that is shown; ``onShow`` gets the movies that changed after it
 */
export function News({ since, onShow }) {
  const [news, setNews] = useState({ count: 0, ids: new Set() });
  const change = lastChange.value;
  useEffect(() => setNews({ count: 0, ids: new Set() }), [since]);
  useEffect(() => {
    if (change && since !== undefined && change.position > since)
      setNews(({ count, ids }) => ({ count: count + 1, ids: new Set([...ids, change.movie_id]) }));
  }, [change]);
  return html`<div aria-live="polite">
    ${news.count > 0 &&
    html`<button class="news" onClick=${() => onShow(news.ids)}>
      ${news.count === 1 ? "1 change" : `${news.count.toLocaleString()} changes`}: show
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
