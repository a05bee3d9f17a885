// Server-sent events over fetch: EventSource sends no bearer. Resumes after the last event, waits longer after each failure,
// and never all clients at once.

import { credential } from "./api.js";
import { become, find, isConnected, state as standing } from "./connection.js";
import { renewing } from "./renewal.js";

const WAIT_MIN = 500;
const WAIT_MAX = 30_000;

/** Follows a stream until `signal` ends it: `each(name, data)`. Kept when it has begun, or cannot: what is read then misses
 * nothing of what comes after. */
export function follow(path, each, signal) {
  return new Promise((begun) => { go(path, each, signal, begun); });
}

async function go(path, each, signal, begun) {
  let last = null;
  let wait = WAIT_MIN;
  while (!signal.aborted) {
    let ended = false;
    // A page that nobody looks at holds no connection, of which a browser has six: it goes on where it was.
    await seen(signal);
    await renewing();
    const connection = new AbortController();
    const hide = () => { if (document.hidden) connection.abort("hidden"); };
    const stop = () => connection.abort();
    document.addEventListener("visibilitychange", hide);
    signal.addEventListener("abort", stop);
    try {
      const headers = { accept: "text/event-stream" };
      if (credential()) headers.authorization = `Bearer ${credential()}`;
      if (last !== null) headers["last-event-id"] = last;
      const response = await fetch(path, { headers, signal: connection.signal, cache: "no-store", credentials: "omit", redirect: "error" });
      ended = response.status === 401;
      // Further than the instance has ever been: it went back to an older state, and so has all that is shown.
      if (response.status === 400 && last !== null) return document.dispatchEvent(new Event("stale"));
      if (response.status === 403 || response.status === 400) return begun();
      if (response.ok) {
        await read(response.body, (event) => {
          if (event.id !== undefined) last = event.id;
          wait = WAIT_MIN;
          if (standing() === "reconnecting") find();
          if (event.name === "heartbeat") begun();
          else if (event.name === "error") ended = true;
          else if (event.name !== "server_shutdown") each(event.name, JSON.parse(event.data));
        });
      }
    } catch {
      // Broken off: tried again below.
    } finally {
      document.removeEventListener("visibilitychange", hide);
      signal.removeEventListener("abort", stop);
    }
    begun();
    if (connection.signal.reason === "hidden" || signal.aborted) continue;
    connection.abort();
    // What was sent as credential opens this no more: another tab may have put another in its place.
    if (ended) {
      await find();
      if (!isConnected()) return;
    } else if (isConnected()) become("reconnecting");
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
    const now = () => { clearTimeout(timer); resolve(); };
    signal.addEventListener("abort", now, { once: true });
    // Back online: at once.
    window.addEventListener("online", now, { once: true, signal });
  });
}
