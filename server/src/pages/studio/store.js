// What this browser keeps, for this origin only: profiles with their tokens, in IndexedDB. Encrypted with a key that
// never leaves the browser where the page is a secure context; in the clear elsewhere, which the pages say.

import { isSecure } from "./secrets.js";

const NAME = "spl-studio";
const channel = new BroadcastChannel("spl-studio");

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("profiles", { keyPath: "id" });
      request.result.createObjectStore("kept");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const database = open();

async function run(store, mode, work) {
  const transaction = (await database).transaction(store, mode);
  return new Promise((resolve, reject) => {
    const request = work(transaction.objectStore(store));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });
}

const kept = (name) => run("kept", "readonly", (s) => s.get(name));

async function cipherKey() {
  const known = await kept("key");
  if (known) return known;
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  // Two tabs may get here at once: the first one's key counts.
  try {
    await run("kept", "readwrite", (s) => s.add(key, "key"));
    return key;
  } catch {
    return kept("key");
  }
}

async function seal(token) {
  if (!isSecure()) return { plain: token };
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const data = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await cipherKey(), new TextEncoder().encode(token));
  return { iv, data };
}

async function unseal(sealed) {
  if (sealed.plain !== undefined) return sealed.plain;
  if (!isSecure()) return null;
  try {
    const data = await crypto.subtle.decrypt({ name: "AES-GCM", iv: sealed.iv }, await cipherKey(), sealed.data);
    return new TextDecoder().decode(data);
  } catch {
    return null;
  }
}

/** Keeps the private half of the key that an account was made for: not to be taken out, where the browser can do so. */
export function keepHolderKey(account, key) {
  return run("kept", "readwrite", (s) => s.put(key, `holder:${account}`));
}

/** Keeps a profile and makes it the active one. */
export async function keepProfile({ id, token, device, actor, scopes, expiresAt, origin = location.origin }) {
  const sealed = await seal(token);
  const profile = { id, device, actor, scopes, expiresAt, origin, sealed, keptAt: new Date().toISOString() };
  await run("profiles", "readwrite", (s) => s.put(profile));
  await activate(id);
}

export async function activate(id) {
  await run("kept", "readwrite", (s) => s.put(id, "active"));
  channel.postMessage("changed");
}

/** All profiles, without their tokens. */
export async function profiles() {
  const all = await run("profiles", "readonly", (s) => s.getAll());
  const active = await kept("active");
  return all
    .filter((p) => p.origin === location.origin)
    .map(({ sealed, ...shown }) => ({ ...shown, encrypted: sealed.plain === undefined, active: shown.id === active }))
    .sort((a, b) => (a.keptAt < b.keptAt ? 1 : -1));
}

/** The active profile with its token, or null. */
export async function activeProfile() {
  return profileOf(await kept("active"));
}

/** A profile with its token, or null. A token goes to the origin that it was kept for, and to no other. */
export async function profileOf(id) {
  const profile = id && (await run("profiles", "readonly", (s) => s.get(id)));
  if (!profile || profile.origin !== location.origin) return null;
  const token = await unseal(profile.sealed);
  return token ? { ...profile, token } : null;
}

/** Forgets a profile here. What it opened stays open until it is revoked there. */
export async function forget(id) {
  await run("profiles", "readwrite", (s) => s.delete(id));
  await run("kept", "readwrite", (s) => s.delete(`holder:${id}`));
  const left = await run("profiles", "readonly", (s) => s.getAllKeys());
  const active = await kept("active");
  if (active === id) await run("kept", "readwrite", (s) => (left.length ? s.put(left[0], "active") : s.delete("active")));
  channel.postMessage("changed");
}

/** Calls back when another tab has signed in, out or over. */
export function onChangeElsewhere(callback) {
  channel.addEventListener("message", callback);
}
