/** What a change changed, field by field; words that differ are marked. */
import { html } from "../html.js";
import { diffWordsWithSpace } from "../vendor/diff/diff/word.js";

/** @import { Changes as AllChanges, Movie } from "../api/types.js" */

export const FIELDS = /** @type {const} */ (["title", "genre", "year"]);

/** Old and new text, with what went and what came. @param {{from: any, to: any}} props */
export function Words({ from, to }) {
  if (from === null || from === undefined) return html`<ins>${to}</ins>`;
  const parts = diffWordsWithSpace(String(from), String(to));
  return html`<span class="words">
    ${parts.map(({ value, added, removed }) =>
      added ? html`<ins>${value}</ins>` : removed ? html`<del>${value}</del>` : value,
    )}
  </span>`;
}

/** What would come of going back. @param {{movie: Movie, isDeleted: boolean}} props */
export const WouldBe = ({ movie, isDeleted }) =>
  html`<p>
    It would be “${movie.title}”, ${movie.genre}, ${movie.year}${isDeleted && ", and back"}. Nothing of
    the history is lost.
  </p>`;

/** @param {{changes: AllChanges}} props */
export function Changes({ changes }) {
  const names = FIELDS.filter((name) => name in changes);
  if (!names.length) return null;
  return html`<dl class="changes">
    ${names.map(
      (name) => html`<div key=${name}>
        <dt>${name}</dt>
        <dd><${Words} ...${changes[name]} /></dd>
      </div>`,
    )}
  </dl>`;
}

export const KINDS = {
  MovieCreated: "created",
  MovieUpdated: "changed",
  MovieDeleted: "deleted",
  MovieRestored: "restored",
};
