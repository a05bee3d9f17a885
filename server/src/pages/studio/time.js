// Times as people say them, with the exact one at hand.

import { h } from "./dom.js";

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const minute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** "3 minutes ago", "in 2 days". */
function ago(date, now = Date.now()) {
  const seconds = Math.round((date.getTime() - now) / 1000);
  if (Math.abs(seconds) < 5) return "just now";
  const [unit, size] = UNITS.find(([, s]) => Math.abs(seconds) >= s) ?? UNITS.at(-1);
  return relative.format(Math.trunc(seconds / size), unit);
}

/** "28 Nov 2026, 14:03 (in 6 days)": an end that somebody is to keep in mind. */
export function until(text) {
  const date = new Date(text);
  return [minute.format(date), " (", when(text), ")"];
}

/** A time element that keeps itself up to date. */
export function when(text, absent = "never") {
  if (!text) return h("span", { class: "muted" }, absent);
  const date = new Date(text);
  return h("time", { datetime: text, title: exact.format(date), tabindex: "0", "data-time": text }, ago(date));
}

/** "14 min 3 s" until a time; nothing once it is past. */
export function left(text, now = Date.now()) {
  const seconds = Math.floor((new Date(text).getTime() - now) / 1000);
  if (seconds <= 0) return "";
  const [d, hr, min, s] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  if (d) return `${d} d ${hr} h`;
  if (hr) return `${hr} h ${min} min`;
  return min ? `${min} min ${s} s` : `${s} s`;
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-time]")) {
    const text = ago(new Date(element.dataset.time));
    if (element.textContent !== text) element.textContent = text;
  }
}, 10_000);
