/** Search as one types, filters as chips, and the list as it was at a time. */
import { html } from "../html.js";
import { Moment } from "./moment.js";
import { href } from "../state/route.js";
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
  const at = params.get("at") || "";
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
    <${Moment} id="moment" label="As it was on" at=${at} onChange=${(moment) => onChange({ at: moment })}>
      ${at &&
      html`<button class="plain" onClick=${() => onChange({ at: "" })}>Back to now</button>
        <a href=${href("moments", { from: at })}>What changed since</a>`}
    <//>
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
  useEffect(() => () => clearTimeout(timer.current), []); // another view is not led back
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
