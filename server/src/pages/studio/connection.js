// Where this browser stands with the instance: one of a few states, each with what to do next.

import { get, watchAnswers } from "./api.js";
import { activeProfile } from "./store.js";

/** Every state: its dot, its words, and what to do. */
export const STATES = {
  asking: { dot: "off", label: "Looking for the instance", next: null },
  unreachable: {
    dot: "off", label: "No instance reachable",
    next: ["It does not answer at this address.", "On the machine it runs on, start it:", "spl serve --daemon"],
  },
  blocked: {
    dot: "off", label: "Browser blocked the connection",
    next: ["This browser does not let the page reach devices on the local network.", "Allow “Local network access” for this site in the browser’s site settings, then reload."],
  },
  insecure: {
    dot: "warn", label: "Connected, insecure mode", mark: "DEV MODE",
    next: ["It runs with --insecure-localhost: whoever works on that machine reads and writes without a token.", "To ask for tokens again:", "spl serve --stop && spl serve --daemon"],
  },
  open: {
    dot: "warn", label: "Connected, without tokens", mark: "OPEN",
    next: ["Records can be read and written without a token. Devices and invites still need one."],
  },
  bootstrap: {
    dot: "warn", label: "Pair required",
    next: ["Nobody has an account here yet. On the machine it runs on:", "spl up"],
  },
  pair: {
    dot: "warn", label: "Pair required",
    next: ["This browser has no token for this instance. On a machine that is signed in:", "spl pair --device browser-chrome"],
  },
  secure: { dot: "ok", label: "Connected, secure", next: null },
  narrow: {
    dot: "warn", label: "Token too narrow",
    next: ["The token that this browser holds cannot read records here. On a machine that is signed in, make one that can:", "spl pair --device browser-chrome --scopes records:read,records:write"],
  },
  expired: {
    dot: "bad", label: "Token expired or revoked",
    next: ["The token that this browser holds opens nothing any more. On a machine that is signed in:", "spl pair --device browser-chrome"],
  },
  reconnecting: { dot: "warn", label: "Reconnecting", next: ["The connection broke off. It is tried again by itself."] },
};

let current = "asking";
let version = null;
const listeners = new Set();

export const state = () => current;

/** Calls back with each change. */
export function onState(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

export function become(next) {
  if (next === current) return;
  current = next;
  for (const listener of listeners) listener(next);
}

/** Whether the program behind this page was replaced by another version since the page was loaded. */
export let replaced = false;

function notice(found) {
  if (version === found) return;
  replaced = version !== null;
  version = found;
  if (replaced) for (const listener of listeners) listener(current);
}

/** Asks the instance who it is and what it wants of this browser. */
export async function find() {
  let health;
  try {
    health = await get("/health", { as: null, quiet: true });
  } catch {
    become((await blockedByBrowser()) ? "blocked" : "unreachable");
    return null;
  }
  notice(health.version);
  const mode = health.auth.mode;
  const profile = await activeProfile();
  if (mode === "insecure_localhost") become("insecure");
  else if (mode === "bootstrap") become("bootstrap");
  else if (mode === "open" && !profile) become("open");
  else if (!profile) become("pair");
  else await check(profile);
  return health;
}

async function check(profile) {
  try {
    const { caller } = await get("/v1/identity", { as: profile.token, quiet: true });
    become(reads(caller.scopes) ? "secure" : "narrow");
  } catch (error) {
    become(error.status === 401 ? "expired" : error.status ? "secure" : "unreachable");
  }
}

/** Whether a token with these scopes reads anything at all. */
const reads = (scopes) => scopes.some((scope) => /^(admin|(records|thread:.*|namespace:.*):read)$/.test(scope));

async function blockedByBrowser() {
  try {
    return (await navigator.permissions.query({ name: "local-network-access" })).state === "denied";
  } catch {
    return false;
  }
}

watchAnswers((outcome) => {
  if (outcome === "expired") become("expired");
  else if (outcome === "unreachable") become("reconnecting");
  else if (current === "reconnecting" || current === "unreachable") find();
});

// An instance that is not there is looked for again: a short question to this one address, less and less often.
let wait = 1000;
(function look() {
  setTimeout(async () => {
    if (["unreachable", "reconnecting", "blocked"].includes(current) && !document.hidden) {
      await find();
      wait = Math.min(wait * 2, 30_000);
    } else {
      wait = 1000;
    }
    look();
  }, wait * (0.75 + Math.random() / 2));
})();
