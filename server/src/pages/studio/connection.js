// Where this browser stands with the instance: one of a few states, each with what to do next.

import { get, signInWith, watchAnswers } from "./api.js";
import { settle } from "./renewal.js";
import { activeProfile } from "./store.js";

const PAIR = "spl pair --device browser-chrome";
/** Every state: its dot, its words, a mark, and what to do: text, and commands. */
export const STATES = {
  asking: ["off", "Looking for the instance"],
  unreachable: ["off", "No instance reachable", "", "It does not answer at this address. On the machine it runs on:", "spl serve --daemon"],
  blocked: ["off", "Browser blocked the connection", "", "This browser does not let the page reach devices on the local network. Allow “Local network access” for this site in its site settings, then reload."],
  insecure: ["warn", "Connected, insecure mode", "DEV MODE", "It runs with --insecure-localhost: whoever works on that machine needs no token. To ask for tokens again:", "spl serve --stop && spl serve --daemon"],
  open: ["warn", "Connected, without tokens", "OPEN", "Records can be read and written without a token. Devices and invites still need one."],
  bootstrap: ["warn", "Pair required", "", "Nobody has an account here yet. On the machine it runs on:", "spl up"],
  pair: ["warn", "Pair required", "", "This browser has no token for this instance. Where somebody is signed in:", PAIR],
  secure: ["ok", "Connected, secure"],
  narrow: ["warn", "Token too narrow", "", "The token of this browser cannot read records. Where somebody is signed in:", `${PAIR} --scopes records:read,records:write`],
  expired: ["bad", "Token expired or revoked", "", "The token of this browser opens nothing any more. Where somebody is signed in:", PAIR],
  unkept: ["off", "This browser keeps nothing", "", "Site data is blocked here, or there is no room left. Allow it for this site, or leave the private window; then reload."],
  reconnecting: ["warn", "Reconnecting", "", "The connection broke off. It is tried again by itself."],
};

let current = "asking";
let version = null;
const listeners = new Set();

export const state = () => current;
export const isConnected = () => ["secure", "narrow", "open", "insecure"].includes(current);

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
    notice(health.version);
  } catch {
    return become((await blockedByBrowser()) ? "blocked" : "unreachable");
  }
  const { mode } = health.auth;
  let profile;
  try {
    profile = await activeProfile();
    if (profile?.next) profile = await settle(profile.id).then(activeProfile);
  } catch {
    return become("unkept");
  }
  signInWith(profile?.token ?? null);
  if (mode === "insecure_localhost") become("insecure");
  else if (mode === "bootstrap") become("bootstrap");
  else if (mode === "open" && !profile) become("open");
  else if (!profile) become("pair");
  else await check(profile);
}

async function check(profile) {
  try {
    const { caller } = await get("/v1/identity", { as: profile.token, quiet: true });
    become(reads(caller.scopes) ? "secure" : "narrow");
  } catch (error) {
    become({ 401: "expired", 403: "narrow" }[error.status] ?? "unreachable");
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
