/** One movie: its fields, and everything that happened to it. */
import { html } from "../html.js";
import { call, get, Problem } from "../api/http.js";
import { Dialog } from "../parts/dialog.js";
import { valuesOf } from "../parts/field.js";
import { tell, tellError, textOf } from "../parts/notice.js";
import { Reason, reasonHeader } from "../parts/reason.js";
import { When } from "../parts/when.js";
import { Comparison } from "./compare.js";
import { History } from "./history.js";
import { MovieDialog } from "./movie_form.js";
import { caughtUp } from "../state/behind.js";
import { lastChange } from "../state/live.js";
import { account } from "../state/session.js";
import { go, href, route } from "../state/route.js";
import { useEffect, useState } from "../vendor/hooks.js";

/** @import { Entry, Movie as MovieFields, State } from "../api/types.js" */

const RETRY_S = 2;

/** @param {string} id @returns {Promise<MovieFields | null>} null for a deleted one */
async function read(id) {
  try {
    return (await get(`movies/${id}/`)).data;
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 404) return null;
    throw problem;
  }
}

/** @param {string} id @returns {Promise<Entry[]>} all of them, oldest first */
async function readHistory(id) {
  const entries = [];
  for (let page = 1, count = 1; entries.length < count; page += 1) {
    const { data } = await get(`movies/${id}/history/`, { page, page_size: 100 });
    entries.push(...data.results);
    count = data.count;
  }
  return entries;
}

/** @param {Entry[]} entries @returns {(State | null)[]} at each version, null where it was deleted */
export function statesOf(entries) {
  /** @type {any} */
  let state = {};
  return entries.map((entry) => {
    const changes = Object.entries(entry.changes).map(([name, { to }]) => [name, to]);
    state = { ...state, ...Object.fromEntries(changes) };
    return entry.type === "MovieDeleted" ? null : { ...state, version: entry.version };
  });
}

/** @param {{id: string}} props */
export function Movie({ id }) {
  const [shown, setShown] = useState(
    /** @type {{movie: MovieFields | null, entries: Entry[], states: (State | null)[]} | null} */ (null),
  );
  const [refusal, setRefusal] = useState("");
  const [dialog, setDialog] = useState("");
  const [round, setRound] = useState(0);
  const reload = () => setRound((before) => before + 1);
  const change = lastChange.value;

  useEffect(() => {
    let isOver = false;
    let timer = 0;
    Promise.all([read(id), readHistory(id)])
      .then(([movie, entries]) => {
        if (isOver) return;
        setShown({ movie, entries, states: statesOf(entries) });
        setRefusal("");
      })
      .catch((problem) => {
        if (!(problem instanceof Problem)) throw problem;
        if (isOver) return;
        setRefusal(problem.status === 404 ? "There is no such movie." : textOf(problem));
        if (problem.status === 503 || problem.status === 0)
          timer = setTimeout(reload, 1000 * Number(problem.headers.get("Retry-After") || RETRY_S));
      });
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [id, round, caughtUp.value]);
  useEffect(() => {
    if (change?.movie_id === id && shown && change.version > shown.entries.length) reload();
  }, [change, shown]);

  if (refusal) return html`<p class="banner" role="alert">${refusal}</p>`;
  if (!shown) return html`<p aria-busy="true">Loading …</p>`;
  const { movie, entries, states } = shown;
  const last = /** @type {State} */ (states.findLast(Boolean));
  const first = entries[0];
  const isMine = first.actor.username === account.value?.username;
  const params = route.value.params;
  const versions = [Number(params.get("from")), Number(params.get("to"))];
  const isCompared = versions.every((number) => number >= 1 && number <= entries.length);
  return html`<article class="movie">
    <p><a href=${href("movies")}>← All movies</a></p>
    <div class="title">
      <h1>${last.title}</h1>
      ${isMine &&
      movie &&
      html`<div class="actions">
        <button onClick=${() => setDialog("edit")}>Edit</button>
        <button class="secondary" onClick=${() => setDialog("delete")}>Delete</button>
      </div>`}
    </div>
    ${!movie && html`<p class="banner" role="status">This movie is deleted. Its history stays.</p>`}
    <dl class="facts">
      <div><dt>Genre</dt><dd>${last.genre}</dd></div>
      <div><dt>Year</dt><dd>${last.year}</dd></div>
      <div><dt>Created by</dt><dd>${first.actor.username}</dd></div>
      <div><dt>Created</dt><dd><${When} at=${first.at} /></dd></div>
      <div><dt>Version</dt><dd>${entries.length}</dd></div>
    </dl>
    ${isCompared &&
    html`<${Comparison}
      ...${{ id, movie, states, entries, isMine }}
      from=${versions[0]}
      to=${versions[1]}
      onDone=${reload}
    />`}
    <${History} ...${{ id, movie, entries, isMine }} onDone=${reload} />
    ${dialog === "edit" &&
    html`<${MovieDialog} movie=${movie} onClose=${() => setDialog("")} onDone=${reload} />`}
    ${dialog === "delete" &&
    html`<${Deletion} movie=${movie} onClose=${() => setDialog("")} onDone=${reload} />`}
  </article>`;
}

/** @param {{movie: MovieFields, onClose: () => void, onDone: () => void}} props */
function Deletion({ movie, onClose, onDone }) {
  const [errors, setErrors] = useState(/** @type {Record<string, string[]>} */ ({}));
  async function submit(event) {
    event.preventDefault();
    try {
      await call("DELETE", `movies/${movie.id}/`, {
        headers: { ...reasonHeader(valuesOf(event.target).reason), "If-Match": `"${movie.version}"` },
      });
      tell("Deleted. It can be taken back from its history.");
      onDone();
      onClose();
      go(`movies/${movie.id}`);
    } catch (problem) {
      if (problem instanceof Problem && problem.errors["Change-Reason"]) setErrors(problem.errors);
      else tellError(problem);
    }
  }
  return html`<${Dialog} title=${`Delete “${movie.title}”?`} onClose=${onClose}>
    <form onSubmit=${submit}>
      <${Reason} errors=${errors} hint="Stands in the history, which stays." />
      <footer><button type="submit">Delete</button></footer>
    </form>
  <//>`;
}
