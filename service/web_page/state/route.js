/** The view and its parameters, kept in the address: #/movies?title=alien. */
import { signal } from "../vendor/signals.js";

/** @typedef {{path: string[], params: URLSearchParams}} Route */

/** @returns {Route} */
function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decodeURIComponent),
    params: new URLSearchParams(query),
  };
}

export const route = signal(read());
addEventListener("hashchange", () => (route.value = read()));

/** @param {string} path @param {Record<string, any> | URLSearchParams} [params] */
export function href(path, params = {}) {
  const entries = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  const query = new URLSearchParams(entries.filter(([, value]) => value || value === 0)).toString();
  return `#/${path}${query ? `?${query}` : ""}`;
}

/** @param {string} path @param {object} [params] @param {{replace?: boolean}} [how] */
export function go(path, params = {}, { replace = false } = {}) {
  const to = href(path, params);
  if (replace) {
    history.replaceState(null, "", to);
    route.value = read();
  } else location.hash = to;
}

/**
 * Change the parameters of the view at a path, unless the reader has left it: what one types or slides
 * takes effect after a pause.
 * @param {string} path @param {object} params
 */
export function adjust(path, params) {
  const now = read().path.join("/") || "movies";
  if (now === path) go(path, params, { replace: true });
}
