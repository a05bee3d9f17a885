// Server-sent events over fetch: the bearer goes in a header, which EventSource cannot send. Resumes after the last
// event that came, waits longer after each failure, never all clients at once, and never asks by polling.

import { credential } from "./api.js";
import { become, find, state as standing } from "./connection.js";

const WAIT_MIN = 500;
const WAIT_MAX = 30_000;
const CONNECTED = new Set(["secure", "narrow", "open", "insecure"]);

/** Follows a stream until `signal` ends it: `each(name, data)`. */
export async function follow(path, each, signal) {
  let last = null;
  let wait = WAIT_MIN;
  while (!signal.aborted) {
    let ended = "broken";
    // A page that nobody looks at holds no connection, of which a browser has six: it goes on where it was.
    await seen(signal);
    const connection = new AbortController();
    const hide = () => { if (document.hidden) connection.abort(); };
    const stop = () => connection.abort();
    document.addEventListener("visibilitychange", hide);
    signal.addEventListener("abort", stop);
    try {
      const headers = { accept: "text/event-stream" };
      if (credential()) headers.authorization = `Bearer ${credential()}`;
      if (last !== null) headers["last-event-id"] = last;
      const response = await fetch(path, { headers, signal: connection.signal, cache: "no-store", credentials: "omit", redirect: "error" });
      // What was sent as credential opens this no more, or never did: where the browser stands is asked anew.
      if (response.status === 401) return find();
      if (response.status === 403) return null;
      if (response.ok) {
        await read(response.body, (event) => {
          if (event.id !== undefined) last = event.id;
          wait = WAIT_MIN;
          if (standing() === "reconnecting") find();
          if (event.name === "heartbeat") return;
          if (event.name === "error") ended = "revoked";
          else if (event.name !== "server_shutdown") each(event.name, JSON.parse(event.data));
        });
      }
    } catch {
      // Broken off: tried again below.
    } finally {
      document.removeEventListener("visibilitychange", hide);
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) return null;
    if (connection.signal.aborted) continue;
    if (ended === "revoked") return find();
    if (CONNECTED.has(standing())) become("reconnecting");
    await pause(wait * (0.5 + Math.random()), signal);
    wait = Math.min(wait * 2, WAIT_MAX);
  }
}

async function read(body, each) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const event = parse(part);
      if (event.data !== undefined) each(event);
    }
  }
}

function seen(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
    look();
  });
}

function parse(part) {
  const event = { name: "message" };
  for (const line of part.split("\n")) {
    const at = line.indexOf(": ");
    const [field, value] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 2)];
    if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
    else if (field === "data") event.data = (event.data ?? "") + value;
  }
  return event;
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    // Back online: at once.
    window.addEventListener("online", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
