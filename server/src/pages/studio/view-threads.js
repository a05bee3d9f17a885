// Threads and tasks, live.

import { badge, fill, h, identifier, notice } from "./dom.js";
import { Refused, get, rows } from "./api.js";
import { follow } from "./live.js";
import { Table } from "./table.js";
import { person } from "./words.js";
import { when } from "./time.js";

function refusedNotice(error) {
  if (!(error instanceof Refused)) throw error;
  return notice("plain", error.scope ? `The scope ${error.scope} is missing` : error.message, error.hint ?? "Home says what this browser needs.", h("p", h("a", { href: "/" }, "Home")));
}

const DOTS = { open: "warn", active: "ok", observed: "ok", closed: "off", cancelled: "bad", inbox: "warn", done: "off" };

/** Most rows, and most records, that a page shows. */
const MOST = 200;

/** Calls `work` after a while, once for all that asked meanwhile. */
export function soon(work, ms = 500) {
  let due = null;
  return () => { due ??= setTimeout(() => { due = null; work()?.catch?.(() => {}); }, ms); };
}

/** A table of what changed last, read again when something in it has changed. */
async function list(main, title, path, table, signal) {
  const more = h("p.hint");
  const body = h("div", table.element, more);
  fill(main, h("h1", title), body);
  const read = async () => {
    const all = (await rows(path, 5000)).map((one) => ({ id: one.thread, ...one })).sort((a, b) => (a.last_activity < b.last_activity ? 1 : -1));
    if (signal.aborted) return;
    table.set(all.slice(0, MOST));
    more.textContent = all.length > MOST ? `The last ${MOST} of ${all.length}. The command line lists them all.` : "";
  };
  await follow("/v1/events/stream", soon(read), signal);
  try {
    await read();
  } catch (error) {
    fill(body, refusedNotice(error));
  }
}

// An address ends such names, so that no page could be called so.
const to = (id, text) => (/^\.\.?$/.test(id) ? text : h("a", { href: `/local/threads/${encodeURIComponent(id)}` }, text));
const status = (name) => badge(DOTS[name] ?? "off", name);

export function threads(main, { signal }) {
  const table = new Table("Threads", ["Thread", "Status", "Records", "Last record"], "No thread is visible here yet. On the command line: spl intend \"make tea\"",
    (t) => ({ cells: [to(t.id, t.id), status(t.status), t.record_count, when(t.last_activity), null] }));
  return list(main, "Threads", "/v1/threads?limit=1000", table, signal);
}

export function tasks(main, { signal }) {
  const table = new Table("Tasks", ["Task", "Status", "Assigned to", "Priority"], "No tasks. On the command line: spl task add \"water the plants\"",
    (t) => ({ cells: [to(t.thread, t.goal ?? t.alias), status(t.status), t.assigned_to ? person(t.assigned_to) : "nobody", t.priority ?? "—", null] }));
  return list(main, "Tasks", "/v1/tasks?limit=1000", table, signal);
}

export async function thread(main, { parts: [id], signal }) {
  const head = h("p");
  const body = h("ol.records", { "aria-busy": "true" });
  const known = new Set();
  const at = encodeURIComponent(id);
  fill(main, h("h1.wrap", id), head, body);
  const tell = async () => {
    const state = await get(`/v1/threads/${at}`).catch((error) => { if (error.status !== 404) throw error; });
    const count = state?.record_count ?? 0;
    if (state) fill(head, status(state.status), ` ${count} record${count === 1 ? "" : "s"}`, count > MOST && `; the last ${MOST} are here`);
    else fill(head, "Nothing here is visible to this token.");
  };
  const show = (r, isNew) => {
    if (known.has(r.id)) return;
    known.add(r.id);
    body.append(record(r, isNew));
    if (body.children.length > MOST) body.firstChild.remove();
  };
  const early = [];
  let later = (r) => early.push(r);
  const changed = soon(tell);
  try {
    await follow(`/v1/threads/${at}/watch`, (name, data) => { if (name === "record.created") later(data.record); }, signal);
    await tell();
    const { data } = await get(`/v1/records?thread=${at}&order=desc&limit=${MOST}`);
    for (const r of data.reverse()) show(r);
    for (const r of early) show(r, true);
    later = (r) => { show(r, true); changed(); };
    body.removeAttribute("aria-busy");
  } catch (error) {
    body.remove();
    fill(head, refusedNotice(error));
  }
}

function record(r, isNew) {
  const text = [r.body.goal, r.body.text, r.body.summary].find((one) => typeof one === "string") ?? JSON.stringify(r.body);
  return h("li.record", { class: isNew && "glows", "data-id": r.id },
    h("div.record-head", h("span.act", r.act), h("strong", person(r.actor)), when(r.created_at), identifier(r.id, { head: 8, tail: 4 })),
    h("p.wrap", text));
}
