// Threads and tasks, live.

import { badge, fill, h, identifier, notice } from "./dom.js";
import { Refused, get, rows } from "./api.js";
import { follow } from "./live.js";
import { Table } from "./table.js";
import { person } from "./words.js";
import { when } from "./time.js";

function refusedNotice(error) {
  if (!(error instanceof Refused)) throw error;
  return notice("plain", error.scope ? `The scope ${error.scope} is missing` : error.message, error.hint ?? "Home says what this browser needs.", h("p", null, h("a", { href: "/" }, "Home")));
}

const DOTS = { open: "warn", active: "ok", observed: "ok", closed: "off", cancelled: "bad", inbox: "warn", done: "off" };

/** A table that is read again when something in it has changed. */
async function list(main, title, path, table, signal) {
  const body = h("div", null, table.element);
  fill(main, h("h1", null, title), body);
  const read = async () => {
    const all = await rows(path, 200);
    if (!signal.aborted) table.set(all.map((t) => ({ id: t.thread, ...t })));
  };
  try {
    await read();
  } catch (error) {
    return fill(body, refusedNotice(error));
  }
  // Several records at once are one look.
  let due = null;
  follow("/v1/events/stream", () => { due ??= setTimeout(() => { due = null; read().catch(() => {}); }, 200); }, signal);
}

const to = (id, text) => h("a", { href: `/local/threads/${encodeURIComponent(id)}` }, text);
const status = (name) => badge(DOTS[name] ?? "off", name);

export function threads(main, { signal }) {
  const table = new Table("Threads", ["Thread", "Status", "Records", "Last record"], "No thread is visible here yet. On the command line: spl intend \"make tea\"",
    (t) => ({ cells: [to(t.id, t.id), status(t.status), t.record_count, when(t.last_activity), null] }));
  return list(main, "Threads", "/v1/threads?limit=200", table, signal);
}

export function tasks(main, { signal }) {
  const table = new Table("Tasks", ["Task", "Status", "Assigned to", "Priority"], "No tasks. On the command line: spl task add \"water the plants\"",
    (t) => ({ cells: [to(t.thread, t.goal ?? t.alias), status(t.status), t.assigned_to ? person(t.assigned_to) : "nobody", t.priority ?? "—", null] }));
  return list(main, "Tasks", "/v1/tasks?limit=200", table, signal);
}

export async function thread(main, { parts: [id], signal }) {
  const head = h("div");
  const body = h("ol", { class: "records" });
  fill(main, h("h1", { class: "wrap" }, id), head, body);
  try {
    const state = await get(`/v1/threads/${encodeURIComponent(id)}`).catch((error) => { if (error.status === 404) return null; throw error; });
    if (state) fill(head, badge(DOTS[state.status] ?? "off", state.status), " ", `${state.record_count} records`);
    const records = await rows(`/v1/threads/${encodeURIComponent(id)}/records?limit=200`, 200);
    fill(body, records.map((r) => record(r)));
    if (!records.length) fill(head, h("p", { class: "muted" }, "Nothing here is visible to this token."));
  } catch (error) {
    return fill(head, refusedNotice(error));
  }
  follow(`/v1/threads/${encodeURIComponent(id)}/watch`, (name, data) => {
    if (name === "record.created" && !body.querySelector(`[data-id="${data.id}"]`)) body.append(record(data.record, true));
  }, signal);
}

function record(r, isNew) {
  const text = r.body.goal ?? r.body.text ?? r.body.summary ?? JSON.stringify(r.body);
  return h("li", { class: `record${isNew ? " glows" : ""}`, "data-id": r.id },
    h("div", { class: "record-head" }, h("span", { class: "act" }, r.act), h("strong", null, person(r.actor)), when(r.created_at), identifier(r.id, { head: 8, tail: 4 })),
    h("p", { class: "wrap" }, String(text)));
}
