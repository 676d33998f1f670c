/** The list: search, filters, ordering, pages; all of it in the address. */
import { html } from "../html.js";
import { get, Problem } from "../api/http.js";
import { When } from "../parts/when.js";
import { tellError, textOf } from "../parts/notice.js";
import { Filters } from "../parts/filters.js";
import { News, useMarks } from "../parts/news.js";
import { useFileDrop } from "../parts/drop.js";
import { lazy } from "../parts/lazy.js";
import { caughtUp, follow } from "../state/behind.js";
import { wanted } from "../state/keys.js";
import { adjust, go, href, route } from "../state/route.js";
import { useEffect, useLayoutEffect, useRef, useState } from "../vendor/hooks.js";

/** @import { MoviePage } from "../api/types.js" */

export const MovieDialog = lazy(async () => (await import("./movie_form.js")).MovieDialog);
const ImportDialog = lazy(async () => (await import("./import.js")).ImportDialog);
const ExportDialog = lazy(async () => (await import("./export.js")).ExportDialog);
const SIZE = 20;
const COLUMNS = [
  ["title", "Title"],
  ["genre", "Genre"],
  ["year", "Year"],
  ["creator", "By"],
  ["created_at", "Created"],
];

/**
 * @typedef {MoviePage & {at: string | null, position: number}} Shown
 * @param {URLSearchParams} params @returns {Record<string, any>}
 */
const queryOf = (params) => ({ page_size: SIZE, ...Object.fromEntries(params) });

export function Movies() {
  const params = route.value.params;
  const [page, setPage] = useState(/** @type {Shown | null} */ (null));
  const [refusal, setRefusal] = useState(/** @type {Problem | null} */ (null));
  const [loading, setLoading] = useState(true);
  const [round, setRound] = useState(0);
  const [dialog, setDialog] = useState(""); // add, import, export
  const [dropped, setDropped] = useState(/** @type {File | undefined} */ (undefined));
  const newest = useRef(0); // the position of the news that one wants to see
  const asked = params.toString();

  useEffect(() => {
    const stop = new AbortController();
    setLoading(true);
    get("movies/", queryOf(params), { signal: stop.signal })
      .then(({ data, headers }) => {
        const position = Number(headers.get("Event-Position"));
        setPage({ ...data, at: params.get("at"), position });
        if (position < newest.current && !params.get("at")) follow(newest.current, "others");
        newest.current = 0;
        setRefusal(null);
        setLoading(false);
      })
      .catch((problem) => {
        if (!(problem instanceof Problem)) return tellError(problem);
        setRefusal(problem);
        setLoading(false);
      });
    return () => stop.abort();
  }, [asked, round, caughtUp.value]);

  const change = (changes) => {
    const query = { ...Object.fromEntries(params), page: "", ...changes };
    if ("page" in changes) go("movies", query);
    else adjust("movies", query);
  };
  const reload = () => setRound((before) => before + 1);
  const open = (name, file) => {
    setDropped(file);
    setDialog(name);
  };
  const close = () => setDialog("");
  const [marked, mark] = useMarks();
  const showNews = (ids, position) => {
    mark(ids);
    newest.current = position;
    reload();
  };
  useLayoutEffect(() => {
    if (wanted.value === "search") document.getElementById("search")?.focus();
    if (wanted.value === "add") open("add");
    wanted.value = "";
  }, [wanted.value]);
  const isOver = useFileDrop((file) => open("import", file));
  return html`<section aria-busy=${loading} class=${isOver ? "drop" : undefined}>
    <div class="title">
      <h1>Movies</h1>
      <div class="actions">
        <button class="plain" onClick=${() => open("import")}>Import</button>
        <button class="plain" disabled=${!page?.count} onClick=${() => open("export")}>Export</button>
        <button onClick=${() => open("add")}>Add a movie</button>
      </div>
    </div>
    <${Filters} params=${params} onChange=${change} />
    ${!params.get("at") && html`<${News} since=${page?.position} onShow=${showNews} />`}
    ${refusal && html`<${Refusal} problem=${refusal} onRetry=${reload} />`}
    ${page && !refusal && html`<${Table} ...${{ page, params, marked }} onOrder=${change} />`}
    ${page && !refusal && html`<${Pager} count=${page.count} params=${params} />`}
    ${dialog === "add" && html`<${MovieDialog} onClose=${close} onDone=${reload} />`}
    ${dialog === "import" &&
    html`<${ImportDialog} file=${dropped} onClose=${close} onDone=${reload} />`}
    ${dialog === "export" &&
    page &&
    html`<${ExportDialog} count=${page.count} params=${params} onClose=${close} />`}
  </section>`;
}

/** @param {{problem: Problem, onRetry: () => void}} props */
function Refusal({ problem, onRetry }) {
  useEffect(() => {
    if (problem.status !== 503 && problem.status !== 0) return undefined;
    const timer = setTimeout(onRetry, 1000 * Number(problem.headers.get("Retry-After") || 2));
    return () => clearTimeout(timer);
  }, [problem]);
  return html`<div class="banner" role="alert">
    <p>
      ${problem.status === 503
        ? "The list is not available: it is being built or is behind. It is tried again."
        : textOf(problem)}
    </p>
    <button class="plain" onClick=${onRetry}>Try again</button>
  </div>`;
}

/**
 * @param {{page: Shown, params: URLSearchParams, marked: Set<string>,
 *   onOrder: (changes: Record<string, string>) => void}} props
 */
function Table({ page, params, marked, onOrder }) {
  const { at } = page;
  if (!page.count)
    return html`<p class="empty">
      ${[...params.keys()].some((name) => name !== "at")
        ? "No movie is like that."
        : at
          ? "There was no movie then."
          : "There is no movie yet."}
    </p>`;
  return html`<div class="scrolls" tabindex="0" role="region" aria-label="List of movies">
    <table>
      <caption>
        ${page.count.toLocaleString()} ${page.count === 1 ? "movie" : "movies"}
        ${at && html` as they were on <${When} at=${at} />`}
      </caption>
      <thead>
        <tr>
          ${COLUMNS.map(
            ([name, label]) =>
              html`<${Heading} key=${name} ...${{ name, label, params, onOrder }} />`,
          )}
        </tr>
      </thead>
      <tbody>
        ${page.results.map(
          (movie) => html`<tr key=${movie.id} class=${marked.has(movie.id) ? "fresh" : undefined}>
            <td><a href=${href(`movies/${movie.id}`)}>${movie.title}</a></td>
            <td>${movie.genre}</td>
            <td class="number">${movie.year}</td>
            <td>${movie.creator}</td>
            <td><${When} at=${movie.created_at} /></td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function Heading({ name, label, params, onOrder }) {
  const ordering = params.get("ordering") || "-created_at";
  const up = ordering === name;
  const down = ordering === `-${name}`;
  const sorted = up ? "ascending" : down ? "descending" : undefined;
  return html`<th scope="col" aria-sort=${sorted}>
    <button class="plain" onClick=${() => onOrder({ ordering: up ? `-${name}` : name })}>
      ${label}<span aria-hidden="true">${up ? " ↑" : down ? " ↓" : ""}</span>
    </button>
  </th>`;
}

function Pager({ count, params }) {
  const page = Number(params.get("page")) || 1;
  const last = Math.max(1, Math.ceil(count / SIZE));
  const to = (number) => href("movies", { ...Object.fromEntries(params), page: number });
  if (last === 1) return null;
  const step = (label, number) =>
    number >= 1 && number <= last && number !== page
      ? html`<a href=${to(number)}>${label}</a>`
      : html`<span class="off">${label}</span>`;
  return html`<nav class="pager" aria-label="Pages">
    ${step("First", 1)} ${step("Previous", page - 1)}
    <span>Page ${page.toLocaleString()} of ${last.toLocaleString()}</span>
    ${step("Next", page + 1)} ${step("Last", last)}
  </nav>`;
}
