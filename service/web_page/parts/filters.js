/** Search as one types, filters as chips, and the list as it was at a time. */
import { html } from "../html.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";

const PAUSE_MS = 150;
export const FILTERS = {
  title: "Title contains",
  genre: "Genre contains",
  creator__username: "Created by",
  year__gte: "From year",
  year__lte: "To year",
};

/** @param {{params: URLSearchParams, onChange: (changes: Record<string, string>) => void}} props */
export function Filters({ params, onChange }) {
  const [kind, setKind] = useState("title");
  const shown = Object.entries(FILTERS).filter(([name]) => params.get(name));

  function add(event) {
    event.preventDefault();
    const input = event.target.elements.value;
    if (input.value.trim()) onChange({ [kind]: input.value.trim() });
    input.value = "";
  }

  return html`<div class="filters">
    <${Search} value=${params.get("search") || ""} onChange=${onChange} />
    <form class="row" onSubmit=${add} aria-label="Add a filter">
      <label class="hidden" for="filter-kind">Filter</label>
      <select id="filter-kind" value=${kind} onChange=${(event) => setKind(event.target.value)}>
        ${Object.entries(FILTERS).map(
          ([name, label]) => html`<option key=${name} value=${name}>${label}</option>`,
        )}
      </select>
      <label class="hidden" for="filter-value">${FILTERS[kind]}</label>
      <input id="filter-value" name="value" type=${kind.startsWith("year") ? "number" : "text"} />
      <button type="submit" class="secondary">Add the filter</button>
    </form>
    <${Moment} at=${params.get("at") || ""} onChange=${onChange} />
    ${shown.length > 0 &&
    html`<ul class="chips" aria-label="Filters">
      ${shown.map(
        ([name, label]) => html`<li key=${name}>
          <button
            class="chip"
            aria-label=${`Remove the filter: ${label} ${params.get(name)}`}
            onClick=${() => onChange({ [name]: "" })}
          >
            ${label} <b>${params.get(name)}</b> <span aria-hidden="true">✕</span>
          </button>
        </li>`,
      )}
    </ul>`}
  </div>`;
}

function Search({ value, onChange }) {
  const [text, setText] = useState(value);
  const told = useRef(value);
  const timer = useRef(0);
  useEffect(() => {
    if (value !== told.current) setText((told.current = value)); // the address changed
  }, [value]);
  const type = (event) => {
    const typed = event.target.value;
    setText(typed);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      told.current = typed.trim();
      onChange({ search: typed.trim() });
    }, PAUSE_MS);
  };
  return html`<p class="search">
    <label for="search">Search in titles and genres</label>
    <input id="search" type="search" autocomplete="off" value=${text} onInput=${type} />
  </p>`;
}

/** @param {string} at @returns {string} for an input of the reader's zone */
function localOf(at) {
  if (!at) return "";
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function Moment({ at, onChange }) {
  const set = (event) => {
    const date = new Date(event.target.value);
    onChange({ at: Number.isNaN(date.getTime()) ? "" : date.toISOString() });
  };
  return html`<p class="moment row">
    <label for="moment">As it was on</label>
    <input id="moment" type="datetime-local" value=${localOf(at)} onChange=${set} />
    ${at &&
    html`<button class="secondary" onClick=${() => onChange({ at: "" })}>Back to now</button>`}
  </p>`;
}
