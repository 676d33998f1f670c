/** Tagged templates instead of JSX: html`<p>${text}</p>`. */
import { h } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
