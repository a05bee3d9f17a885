// Fields, and what asks the instance for something. What was typed stays after an error, which is said where it happened.

import { h } from "./dom.js";

/** A control under its label. */
export function field(label, control, hint) {
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint && h("p", { class: "hint" }, hint));
}

const errorPlace = () => h("p", { class: "error", role: "alert" });

/** Runs `act` while a button is off. What is wrong is said: what it gives, or what it was refused with. */
export async function attempt(button, error, act) {
  error.textContent = "";
  button.disabled = true;
  try {
    error.textContent = (await act()) ?? "";
  } catch (refused) {
    error.textContent = [refused.message, refused.hint].filter(Boolean).join(". ");
  }
  if (error.textContent) button.disabled = false;
  return error.textContent;
}

/** A form of one field: `take(text)` gives what is wrong with it, or nothing. */
export function entry(label, control, name, isPrimary, take) {
  const error = errorPlace();
  const button = h("button", { type: "submit", class: isPrimary && "primary" }, name);
  const submit = async (event) => {
    event.preventDefault();
    if (await attempt(button, error, () => take(control.value.trim()))) control.focus();
    button.disabled = false;
  };
  return h("form", { class: "stack", onsubmit: submit }, field(label, control), error, h("div", { class: "actions" }, button));
}

/** A button that asks for something, and the place where it says why that was refused. */
export function asking(name, attributes, act) {
  const error = errorPlace();
  const button = h("button", { type: "button", ...attributes, onclick: () => attempt(button, error, act) }, name);
  return [button, error];
}
