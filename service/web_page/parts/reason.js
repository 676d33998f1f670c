/** The reason of a change: its field in a form, and the header that sends it. */
import { html } from "../html.js";
import { headerText } from "../api/http.js";
import { Field } from "./field.js";

/** @param {string} [reason] @returns {Record<string, string>} */
export const reasonHeader = (reason) =>
  reason?.trim() ? { "Change-Reason": headerText(reason.trim()) } : {};

/** @param {{errors?: Record<string, string[]>, hint?: string, [attribute: string]: any}} props */
export const Reason = ({ errors = {}, hint = "Stands in the history.", ...rest }) =>
  html`<${Field} name="reason" label="Reason (optional)" maxlength="200"
    errors=${errors["Change-Reason"]} hint=${hint} ...${rest} />`;
