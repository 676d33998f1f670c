/** The list as a file: what the filters let through, in the order shown. */
import { html } from "../html.js";
import { get, Problem } from "../api/http.js";
import { Dialog } from "../parts/dialog.js";
import { tell, textOf } from "../parts/notice.js";
import { Progress } from "../parts/progress.js";
import { FORMATS, MAX_ROWS, readAll } from "../data/export.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";

const KEPT_MS = 60_000;

/** @param {string[]} parts @param {string} type @param {string} name */
function save(parts, type, name) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/** @param {{count: number, params: URLSearchParams, onClose: () => void}} props */
export function ExportDialog({ count, params, onClose }) {
  const [kind, setKind] = useState("csv");
  const [progress, setProgress] = useState(/** @type {{done: number, total: number} | null} */ (null));
  const [refusal, setRefusal] = useState("");
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);

  async function start(event) {
    event.preventDefault();
    stop.current = new AbortController();
    const { signal } = stop.current;
    const { page: _, ...query } = Object.fromEntries(params);
    const format = FORMATS[kind];
    setRefusal("");
    setProgress({ done: 0, total: count });
    try {
      const read = {
        movies: (/** @type {Record<string, any>} */ asked) => get("movies/", asked, { signal }),
        events: (/** @type {Record<string, any>} */ asked) => get("events/", asked, { signal }),
      };
      const onProgress = (done, total) => setProgress({ done, total });
      const { rows, isWhole } = await readAll(query, format, read, { signal, onProgress });
      const separated = rows.map((row, index) => (index ? format.between : format.begin) + row);
      const text = rows.length ? separated : [format.begin];
      save([...text, format.end], format.type, `movies-${new Date().toISOString().slice(0, 10)}.${kind}`);
      tell(
        isWhole
          ? `${rows.length.toLocaleString()} movies were exported.`
          : `The first ${MAX_ROWS.toLocaleString()} movies were exported. For more, use “cinelog export”.`,
      );
      onClose();
    } catch (error) {
      setProgress(null);
      if (error instanceof Problem) setRefusal(textOf(error));
      else if (!signal.aborted) throw error;
    }
  }

  return html`<${Dialog} title="Export movies" onClose=${onClose}>
    <form onSubmit=${start}>
      <p>
        ${count.toLocaleString()} ${count === 1 ? "movie" : "movies"}, with the filters and in the order
        of the list, all as of one moment.${count > MAX_ROWS && ` The file has the first ${MAX_ROWS.toLocaleString()}.`}
      </p>
      <fieldset disabled=${Boolean(progress)}>
        <legend class="hidden">Format</legend>
        ${Object.entries(FORMATS).map(
          ([name, { label }]) => html`<label key=${name}>
            <input type="radio" name="format" value=${name} checked=${kind === name}
              onChange=${() => setKind(name)} />
            ${label}
          </label>`,
        )}
      </fieldset>
      ${refusal && html`<p class="errors" role="alert">${refusal}</p>`}
      ${progress &&
      html`<${Progress} ...${progress}>
        ${progress.done.toLocaleString()} of ${progress.total.toLocaleString()} movies
      <//>`}
      <footer>
        ${progress
          ? html`<button type="button" class="secondary" onClick=${() => stop.current.abort()}>Stop</button>`
          : html`<button type="submit">Export</button>`}
      </footer>
    </form>
  <//>`;
}
