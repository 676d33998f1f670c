/** A plot over time. The library and its style sheet are loaded when the first plot is shown. */
import { html } from "../html.js";
import { useEffect, useRef } from "../vendor/hooks.js";

const HEIGHT = 180;
const SHORTEST_S = 60;
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const clock = (at) => CLOCK.format(at * 1000);
const DARK = matchMedia("(prefers-color-scheme: dark)");
let loading = null;

/** @returns {Promise<any>} the constructor of uPlot */
function load() {
  loading ||= Promise.all([import("../vendor/uplot.js"), loadStyle()]).then(([module]) => module.default);
  return loading;
}

function loadStyle() {
  return new Promise((resolve) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = String(new URL("../vendor/uplot.css", import.meta.url));
    link.onload = link.onerror = resolve;
    document.head.append(link);
  });
}

/**
 * @param {{title: string, unit: string, names: string[], data: (number | null)[][]}} props
 *   ``data``: times in seconds since 1970, then the values of each name
 */
export function Plot({ title, unit, names, data }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const shown = useRef(data);
  shown.current = data;

  useEffect(() => {
    let isOver = false;
    const draw = (UPlot) => {
      if (isOver || !box.current) return;
      plot.current?.destroy();
      plot.current = new UPlot(optionsOf(box.current, unit, names), shown.current, box.current);
    };
    const redraw = () => load().then(draw);
    const watch = new ResizeObserver(() => {
      const width = box.current?.clientWidth;
      if (width && plot.current) plot.current.setSize({ width, height: HEIGHT });
    });
    if (box.current) watch.observe(box.current);
    DARK.addEventListener("change", redraw);
    redraw();
    return () => {
      isOver = true;
      watch.disconnect();
      DARK.removeEventListener("change", redraw);
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(data), [data]);

  return html`<figure class="plot">
    <figcaption>${title}</figcaption>
    <div ref=${box} aria-hidden="true"></div>
  </figure>`;
}

function optionsOf(box, unit, names) {
  const style = getComputedStyle(box);
  const stroke = style.color;
  const grid = { stroke: style.getPropertyValue("--plot-grid"), width: 1 };
  const font = `12px ${style.fontFamily}`;
  const axis = { stroke, grid, ticks: grid, font };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: {
      x: { range: (_plot, low, high) => [Math.min(low, high - SHORTEST_S), high] },
      y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.1)] },
    },
    axes: [{ ...axis, space: 90, values: (_plot, times) => times.map(clock) }, { ...axis, size: 56 }],
    series: [
      { value: (_plot, at) => (at ? clock(at) : "–") },
      ...names.map((label, index) => ({
        label,
        stroke: style.getPropertyValue(`--plot-${index + 1}`),
        width: 2,
        dash: index ? [6, 4] : undefined,
        value: (_plot, value) => (value === null ? "–" : `${value.toFixed(1)} ${unit}`),
      })),
    ],
  };
}
