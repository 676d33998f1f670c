/** A new password by a link that an operator made. It needs no session. */
import { html } from "../html.js";
import { call, Problem } from "../api/http.js";
import { Field, valuesOf } from "../parts/field.js";
import { tell, textOf } from "../parts/notice.js";
import { account, signOut } from "../state/session.js";
import { go, href, route } from "../state/route.js";
import { useState } from "../vendor/hooks.js";

export function Reset() {
  const [errors, setErrors] = useState(/** @type {Record<string, string[]>} */ ({}));
  const [refusal, setRefusal] = useState("");
  const [busy, setBusy] = useState(false);
  const token = route.value.params.get("token");

  async function submit(event) {
    event.preventDefault();
    setBusy(true);
    setErrors({});
    setRefusal("");
    try {
      const body = { ...valuesOf(event.target), token };
      await call("POST", "auth/password/reset/", { body });
      if (account.value) await signOut();
      go("", {}, { replace: true }); // the used link is not left in the browser's history
      tell("The password is set. Sign in with it.");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      const { token: ofLink, ...ofFields } = problem.errors;
      setErrors(ofFields);
      if (ofLink) setRefusal(`${ofLink.join(" ")} Ask for a new one.`);
      else if (!Object.keys(ofFields).length) setRefusal(textOf(problem));
    } finally {
      setBusy(false);
    }
  }

  if (!token)
    return html`<section class="narrow">
      <h1>New password</h1>
      <p>This address has no link for a new password in it. Open the link that you got as a whole.</p>
      <p><a href=${href("")}>To the start</a></p>
    </section>`;
  return html`<section class="narrow">
    <h1>New password</h1>
    <p>
      All sessions of the account end with it.
      ${account.value && ` You are signed in as ${account.value.username}: that ends here as well.`}
    </p>
    <form onSubmit=${submit} novalidate>
      <${Field} name="password" label="New password" type="password" autocomplete="new-password"
        errors=${errors.password} hint="At least 8 characters, and not a common password." />
      <${Field} name="password2" label="New password again" type="password"
        autocomplete="new-password" errors=${errors.password2} />
      ${refusal && html`<p class="errors" role="alert">${refusal}</p>`}
      <button type="submit" aria-busy=${busy}>Set the password</button>
    </form>
  </section>`;
}
