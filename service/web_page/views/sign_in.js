/** Sign in, or open an account. */
import { html } from "../html.js";
import { Problem } from "../api/http.js";
import { Field, valuesOf } from "../parts/field.js";
import { register, signIn } from "../state/session.js";
import { go, href } from "../state/route.js";
import { useState } from "../vendor/hooks.js";

/** @param {{isNew: boolean}} props */
export function SignIn({ isNew }) {
  const [errors, setErrors] = useState(/** @type {Record<string, string[]>} */ ({}));
  const [refusal, setRefusal] = useState("");
  const [busy, setBusy] = useState(false);

  async function submit(event) {
    event.preventDefault();
    const fields = valuesOf(event.target);
    setBusy(true);
    setErrors({});
    setRefusal("");
    try {
      await (isNew ? register(fields) : signIn(/** @type {any} */ (fields)));
      if (isNew) go("movies", {}, { replace: true });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setErrors(problem.errors);
      if (!Object.keys(problem.errors).length) setRefusal(problem.message);
    } finally {
      setBusy(false);
    }
  }

  return html`<section class="narrow">
    <h1>${isNew ? "Open an account" : "Sign in"}</h1>
    <form onSubmit=${submit} novalidate>
      <${Field} name="username" label="Username" autocomplete="username" errors=${errors.username} />
      ${isNew &&
      html`<${Field} name="email" label="E-mail" type="email" autocomplete="email"
        errors=${errors.email} />`}
      <${Field} name="password" label="Password" type="password" errors=${errors.password}
        autocomplete=${isNew ? "new-password" : "current-password"}
        hint=${isNew ? "At least 8 characters, and not a common password." : undefined} />
      ${isNew &&
      html`<${Field} name="password2" label="Password again" type="password"
        autocomplete="new-password" errors=${errors.password2} />`}
      ${refusal && html`<p class="errors" role="alert">${refusal}</p>`}
      <button type="submit" aria-busy=${busy}>${isNew ? "Open the account" : "Sign in"}</button>
    </form>
    <p>
      ${isNew
        ? html`You have an account? <a href=${href("")}>Sign in</a>`
        : html`You have no account yet? <a href=${href("register")}>Open one</a>`}
    </p>
  </section>`;
}
