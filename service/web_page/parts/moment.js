/** A moment to choose: typed, or on a slider over the time of the log. */
import { html } from "../html.js";
import { barsOf, momentAt, scaleOf, stepOf } from "../data/time_scale.js";
import { activity, loadActivity } from "../state/activity.js";
import { textOfTime, utcOf } from "./when.js";
import { useEffect, useMemo, useRef, useState } from "../vendor/hooks.js";

const PAUSE_MS = 200;
const OPEN_END = { now: "now", start: "the beginning" };

/** @param {string} at @returns {string} for an input of the reader's zone */
function localOf(at) {
  if (!at) return "";
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/**
 * @param {{id: string, label: string, at: string, open?: "now" | "start", children?: any,
 *   onChange: (at: string) => void}} props ``open`` is what an empty ``at`` means
 */
export function Moment({ id, label, at, open = "now", onChange, children }) {
  const [sliding, setSliding] = useState(/** @type {string | null} */ (null));
  const timer = useRef(0);
  useEffect(() => {
    loadActivity();
    return () => clearTimeout(timer.current);
  }, []);
  const shown = sliding ?? (Number.isNaN(Date.parse(at)) ? "" : at); // the address may have anything

  const type = (event) => {
    const date = new Date(event.target.value);
    onChange(Number.isNaN(date.getTime()) ? "" : date.toISOString());
  };
  const slide = (moment) => {
    setSliding(moment);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      onChange(moment);
      setSliding(null);
    }, PAUSE_MS);
  };
  return html`<div class="moment row">
    <label for=${id}>${label}</label>
    <input id=${id} type="datetime-local" value=${localOf(shown)} onChange=${type}
      aria-describedby=${shown ? `${id}-utc` : undefined} />
    ${shown && html`<small id=${`${id}-utc`} class="number">${utcOf(shown)}</small>`}
    ${activity.value && html`<${Slider} ...${{ label, open, at: shown, onSlide: slide }} />`}
    ${children}
  </div>`;
}

function Slider({ label, open, at, onSlide }) {
  const { first, now, days } = /** @type {NonNullable<typeof activity.value>} */ (activity.value);
  const scale = useMemo(() => scaleOf(first, now), [first, now]);
  const end = open === "now" ? scale.steps : 0;
  const slide = (event) => {
    const step = Number(event.target.value);
    onSlide(step === end ? "" : momentAt(scale, step));
  };
  return html`<div class="slider">
    <${Bars} days=${days} scale=${scale} />
    <input
      type="range"
      aria-label=${`${label}: slider`}
      aria-valuetext=${at ? textOfTime(at) : OPEN_END[open]}
      min="0"
      max=${scale.steps}
      value=${at ? stepOf(scale, at) : end}
      onInput=${slide}
    />
  </div>`;
}

function Bars({ days, scale }) {
  const bars = useMemo(() => barsOf(days, scale), [days, scale]);
  if (bars.length < 2) return null; // one day: nothing to tell
  return html`<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
    ${bars.map(
      ({ x, width, height }) => html`<rect key=${x} ...${{ x, width, height }} y=${100 - height} />`,
    )}
  </svg>`;
}
