/** Create or edit a movie. Nothing that was typed is lost: neither by errors nor by a conflict. */
import { html } from "../html.js";
import { call, get, Problem } from "../api/http.js";
import { Changes, FIELDS } from "../parts/change.js";
import { Dialog } from "../parts/dialog.js";
import { Field, valuesOf } from "../parts/field.js";
import { tell, textOf } from "../parts/notice.js";
import { Reason, reasonHeader } from "../parts/reason.js";
import { useRef, useState } from "../vendor/hooks.js";

/** @import { Movie } from "../api/types.js" */

/**
 * @param {{movie?: Movie, onClose: () => void, onDone: (movie: Movie) => void}} props ``movie`` is the
 *   one to edit
 */
export function MovieDialog({ movie: current, onClose, onDone }) {
  const [movie] = useState(current); // as it was when editing began: the view goes on with time
  const [errors, setErrors] = useState(/** @type {Record<string, string[]>} */ ({}));
  const [refusal, setRefusal] = useState("");
  const [theirs, setTheirs] = useState(/** @type {Movie | null} */ (null));
  const [busy, setBusy] = useState(false);
  const key = useRef(crypto.randomUUID());

  async function submit(event) {
    event.preventDefault();
    const { reason, ...fields } = valuesOf(event.target);
    setBusy(true);
    setErrors({});
    setRefusal("");
    try {
      const headers = reasonHeader(reason);
      const { data } = movie
        ? await call("PATCH", `movies/${movie.id}/`, {
            body: fields,
            headers: { ...headers, "If-Match": `"${(theirs || movie).version}"` },
          })
        : await call("POST", "movies/", {
            body: fields,
            headers: { ...headers, "Idempotency-Key": key.current },
          });
      tell(movie ? "Saved." : `“${data.title}” was added.`);
      onDone(data);
      onClose();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      key.current = problem.status && problem.status < 500 ? crypto.randomUUID() : key.current;
      if (problem.status === 412 && movie) setTheirs((await get(`movies/${movie.id}/`)).data);
      else if (Object.keys(problem.errors).length) setErrors(problem.errors);
      else setRefusal(textOf(problem));
    } finally {
      setBusy(false);
    }
  }

  const field = (name, label, rest = {}) =>
    html`<${Field} ...${{ name, label, errors: errors[name], ...rest }} defaultValue=${movie?.[name]} />`;
  return html`<${Dialog} title=${movie ? "Edit the movie" : "Add a movie"} onClose=${onClose}>
    ${theirs && html`<${Conflict} mine=${movie} theirs=${theirs} />`}
    <form onSubmit=${submit} novalidate>
      ${field("title", "Title", { autofocus: true })} ${field("genre", "Genre")}
      ${field("year", "Year", { inputmode: "numeric" })}
      <${Reason} errors=${errors} />
      ${refusal && html`<p class="errors" role="alert">${refusal}</p>`}
      <footer>
        <button type="submit" aria-busy=${busy}>
          ${theirs ? "Save mine over it" : movie ? "Save" : "Add"}
        </button>
      </footer>
    </form>
  <//>`;
}

/** What somebody else changed meanwhile. @param {{mine: Movie, theirs: Movie}} props */
function Conflict({ mine, theirs }) {
  const changes = Object.fromEntries(
    FIELDS.filter((name) => mine[name] !== theirs[name]).map((name) => [
      name,
      { from: mine[name], to: theirs[name] },
    ]),
  );
  return html`<div class="banner" role="alert">
    <p>The movie was changed while you edited it. What you typed is still here.</p>
    <${Changes} changes=${changes} />
  </div>`;
}
