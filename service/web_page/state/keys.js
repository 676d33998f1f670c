/** Keys of one letter. They can be turned off (WCAG 2.1.4), and rest while one types. */
import { account } from "./session.js";
import { go, route } from "./route.js";
import { signal } from "../vendor/signals.js";

const OFF = "cinelog-keys-off";

/** What a key asked the list for: "search" or "add". */
export const wanted = signal("");
export const isHelpOpen = signal(false);
export const areKeysOn = signal(!localStorage.getItem(OFF));

/** @param {boolean} on */
export function setKeys(on) {
  areKeysOn.value = on;
  if (on) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "1");
}

function askList(what) {
  const { path } = route.value;
  if (path.length && (path[0] !== "movies" || path.length > 1)) go("movies");
  wanted.value = what;
}

/** At once where the field is on the page: what is typed next belongs into it. */
function search() {
  const field = document.getElementById("search");
  if (field) field.focus();
  else askList("search");
}

const KEYS = {
  "/": search,
  n: () => askList("add"),
  "?": () => (isHelpOpen.value = true),
};

document.addEventListener("keydown", (event) => {
  const isTyping = /** @type {Element} */ (event.target).closest("input, textarea, select, dialog");
  const isOther = event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented;
  if (!areKeysOn.value || !account.value || isTyping || isOther) return;
  if (!(event.key in KEYS) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  KEYS[event.key]();
});
