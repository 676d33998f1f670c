/** Movies from a file: chosen or dropped, read here, previewed, then sent row by row. */
import { html } from "../html.js";
import { call, Problem } from "../api/http.js";
import { Dialog } from "../parts/dialog.js";
import { textOf } from "../parts/notice.js";
import { Progress } from "../parts/progress.js";
import { Reason, reasonHeader } from "../parts/reason.js";
import { COLUMNS, FileError, readMovies } from "../data/movie_file.js";
import { keyOf, sendRows } from "../data/sending.js";
import { useEffect, useMemo, useRef, useState } from "../vendor/hooks.js";

/** @import { Outcome } from "../data/sending.js" */

/** @import { MovieRow } from "../data/movie_file.js" */

const MAX_BYTES = 16 * 1024 * 1024;
const PREVIEWED = 5;
const MAX_REFUSED = 200;
const NONE = { added: 0, known: 0, refused: [] };

const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString()} ${number === 1 ? one : many}`;

/** @param {File} file */
async function read(file) {
  if (file.size > MAX_BYTES)
    throw new FileError("The file is larger than 16 MiB: import it with the command “cinelog import”.");
  return readMovies(await file.arrayBuffer());
}

/** @param {string} name @param {MovieRow} row @param {string} reason */
const post = async (name, row, reason) =>
  call("POST", "movies/", {
    body: row.fields,
    headers: { ...reasonHeader(reason), "Idempotency-Key": await keyOf(name, row) },
  });

/** @param {{file?: File, onClose: () => void, onDone: () => void}} props */
export function ImportDialog({ file: dropped, onClose, onDone }) {
  const [file, setFile] = useState(dropped);
  const [rows, setRows] = useState(/** @type {MovieRow[] | null} */ (null));
  const [refusal, setRefusal] = useState("");
  const [outcome, setOutcome] = useState(/** @type {Outcome | null} */ (null));
  const [reason, setReason] = useState("");
  const [state, setState] = useState("ready"); // ready, running, stopped, done
  const stop = useRef(new AbortController());

  useEffect(() => () => stop.current.abort(), []);
  useEffect(() => {
    let isLatest = true;
    setRows(null);
    setRefusal("");
    if (file)
      read(file).then(
        (found) => isLatest && setRows(found),
        (error) => isLatest && setRefusal(error instanceof FileError ? error.message : "The file cannot be read."),
      );
    return () => (isLatest = false);
  }, [file]);

  const movies = useMemo(() => (rows || []).filter(({ fields }) => fields), [rows]);
  async function start() {
    stop.current = new AbortController();
    const { signal } = stop.current;
    setState("running");
    setRefusal("");
    setOutcome(NONE);
    try {
      await sendRows(movies, (row) => post(file?.name || "", row, reason), { signal, onProgress: setOutcome });
      setState("done");
    } catch (caught) {
      const error = /** @type {any} */ (caught);
      if (!signal.aborted) stop.current.abort();
      setState("stopped");
      if (error instanceof Problem) setRefusal(textOf(error));
      else if (error?.name !== "AbortError") throw error;
    }
    onDone();
  }

  return html`<${Dialog} title="Import movies" onClose=${onClose}>
    ${state === "ready" && html`<${Chooser} file=${file} onChoose=${setFile} />`}
    ${refusal && html`<p class="errors" role="alert">${refusal}</p>`}
    ${state === "ready" && rows && html`<${Preview} rows=${rows} />`}
    ${state === "ready" &&
    movies.length > 0 &&
    html`<${Reason} value=${reason} hint="Stands in the history of each movie."
      onInput=${(event) => setReason(event.target.value)} />`}
    ${outcome &&
    rows &&
    html`<${Sent} ...${{ outcome, state }} total=${rows.length} sendable=${movies.length} />`}
    ${rows &&
    state !== "running" &&
    html`<${Refused} rows=${rows} sent=${outcome && outcome.refused} />`}
    <footer>
      ${state === "running"
        ? html`<button class="secondary" onClick=${() => stop.current.abort()}>Stop</button>`
        : state === "done"
          ? html`<button onClick=${onClose}>Close</button>`
          : movies.length > 0 &&
            html`<button onClick=${start}>
              ${state === "stopped" ? "Continue" : `Add ${count(movies.length, "movie")}`}
            </button>`}
    </footer>
  <//>`;
}

function Chooser({ file, onChoose }) {
  return html`<p class="field">
    <label for="import-file">${file ? `From ${file.name}, or another file` : "File"}</label>
    <input id="import-file" type="file" aria-describedby="import-hint"
      accept=".csv,.tsv,.txt,.json,.jsonl,.ndjson" onChange=${(event) => onChoose(event.target.files[0])} />
    <small id="import-hint">
      CSV whose first line names title, genre and year, or JSON Lines; UTF-8. The same file sent again
      adds nothing twice.
    </small>
  </p>`;
}

function Preview({ rows }) {
  const shown = rows.filter(({ fields }) => fields).slice(0, PREVIEWED);
  if (!rows.length) return html`<p>There is no movie in the file.</p>`;
  return html`<div class="scrolls" tabindex="0" role="region" aria-label="First rows">
    <table>
      <caption>
        ${rows.length > shown.length
          ? `The first ${count(shown.length, "row")} of ${rows.length.toLocaleString()}`
          : count(rows.length, "row")}
      </caption>
      <thead>
        <tr>
          <th scope="col">Line</th>
          ${COLUMNS.map((name) => html`<th key=${name} scope="col">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${shown.map(
          ({ line, fields }) => html`<tr key=${line}>
            <td class="number">${line}</td>
            ${COLUMNS.map((name) => html`<td key=${name}>${String(fields[name] ?? "")}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function Sent({ outcome, state, total, sendable }) {
  const { added, known } = outcome;
  const refused = outcome.refused.length + total - sendable;
  const parts = [
    `${count(added, "movie")} added`,
    known && `${known.toLocaleString()} added before`,
    refused && `${refused.toLocaleString()} refused`,
  ];
  const done = added + known + refused;
  return html`<${Progress} done=${done} total=${total} isRunning=${state === "running"}>
    ${{ running: "", stopped: "Stopped. ", done: "Done. " }[state]}${parts.filter(Boolean).join(", ")}
    ${state !== "done" && ` (${done.toLocaleString()} of ${count(total, "row")})`}
  <//>`;
}

/** Rows that are no movie: unreadable ones, and those that the service refused. */
function Refused({ rows, sent }) {
  const unreadable = rows.filter(({ error }) => error);
  const told = [
    ...unreadable.map(({ line, error }) => ({ line, text: error })),
    ...(sent || []).map(({ line, problem }) => ({ line, text: textOf(problem) })),
  ].sort((one, other) => one.line - other.line);
  if (!told.length) return null;
  const left = told.length - MAX_REFUSED;
  return html`<div class="scrolls" tabindex="0" role="region" aria-label="Refused rows">
    <table>
      <caption>${count(told.length, "row")} ${sent ? "refused" : "cannot be read"}${left > 0 && `; the first ${MAX_REFUSED}`}</caption>
      <thead>
        <tr><th scope="col">Line</th><th scope="col">Why</th></tr>
      </thead>
      <tbody>
        ${told.slice(0, MAX_REFUSED).map(
          ({ line, text }) => html`<tr key=${line}><td class="number">${line}</td><td>${text}</td></tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
