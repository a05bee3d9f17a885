// Elements are made here, and nowhere else. Text becomes text nodes: what somebody wrote into a record, a label or an
// answer is never read as markup.

import { capital } from "./words.js";

/** Makes an element: `h("p", { class: "hint" }, "text", child)`. Event listeners are `on…` functions. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** A drawing of one stroke. */
export function icon(path) {
  const make = (tag, attributes, ...inside) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inside);
    return element;
  };
  return make("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" }, make("path", { d: path }));
}

/** Puts children in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

/** Says something to those who listen instead of look. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  announcer.textContent = "";
  // A text that is there already is not said again: let it be empty for a moment.
  requestAnimationFrame(() => { announcer.textContent = text; });
}

/** Dot and word: a state is never a colour alone. */
export function badge(kind, text) {
  return h("span", { class: `badge badge-${kind}` }, h("span", { class: "dot", "aria-hidden": "true" }), text);
}

/** A long name, shortened in the middle, with the whole of it on hover and a button that copies it. */
export function identifier(text, { head = 10, tail = 6 } = {}) {
  const short = text.length > head + tail + 1 ? `${text.slice(0, head)}…${text.slice(-tail)}` : text;
  return h("span", { class: "identifier" }, h("code", { title: text }, short), copyButton(text, "Copy"));
}

/** A button that copies a text and says so. */
export function copyButton(text, label) {
  const button = h("button", { type: "button", class: "quiet", onclick: copy }, label);
  async function copy() {
    const copied = await toClipboard(text);
    button.textContent = copied ? "Copied" : "Select and copy";
    announce(copied ? "Copied" : "Could not copy: select the text instead");
    setTimeout(() => { button.textContent = label; }, 2000);
  }
  return button;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context there is no clipboard: the old way, through a field.
    const field = h("textarea", { class: "visually-hidden", "aria-hidden": "true", value: text });
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}

/** A notice: what happened, what it means, what to do next. */
export function notice(kind, title, ...rest) {
  return h("div", { class: `notice notice-${kind}`, role: kind === "bad" ? "alert" : undefined },
    title && h("strong", null, title), ...rest.map((r) => (typeof r === "string" ? h("p", null, r) : r)));
}

/** A command to type. */
export function command(text) {
  return h("p", { class: "command" }, h("code", null, text), copyButton(text, "Copy"));
}

/** A hint with the command in it, if it names one: text, then the command to type. */
export function hinted(text) {
  if (!text) return null;
  const [, before, what] = /^(.*?)[`\s]*\b(spl [a-z][^`]*?)`?$/.exec(text) ?? [null, text];
  return [before && h("p", null, capital(before)), what && command(what)];
}
