// What this browser keeps, for this origin only: profiles with their tokens. Encrypted with a key that never leaves the
// browser where the page is a secure context; in the clear elsewhere, which the pages say.

import { isSecure } from "./secrets.js";

const NAME = "spl-studio";
const channel = new BroadcastChannel("spl-studio");

/** Where the browser lets a page keep anything: else this is refused, again with each attempt. */
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

let database = null;

/** What `work` asks of a store, in one transaction: done when that is on the disk. */
async function run(store, mode, work) {
  try {
    database ??= open();
    const transaction = (await database).transaction(store, mode);
    return await new Promise((resolve, reject) => {
      const request = work(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } catch (error) {
    if (error?.name === "ConstraintError") throw error;
    database = null;
    throw new Error("This browser keeps nothing here: site data is blocked, or there is no room left");
  }
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

export async function seal(token) {
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

/** Keeps the private half of a key, before it is used and under the account's name after: not to be taken out, where the
 * browser can do so. */
export async function keepHolderKey(name, key, before) {
  await run("kept", "readwrite", (s) => s.put(key, `holder:${name}`));
  if (before) await run("kept", "readwrite", (s) => s.delete(`holder:${before}`));
}

/** Keeps a profile, and makes it the active one if asked to, or if there is no other. */
export async function keepProfile({ id, token, device, actor, scopes, expiresAt }, isActive = true) {
  const sealed = await seal(token);
  await run("profiles", "readwrite", (s) => s.put({ id, device, actor, scopes, expiresAt, origin: location.origin, sealed, keptAt: new Date().toISOString() }));
  if (isActive || !(await activeProfile())) await activate(id);
}

/** Changes what is kept of a profile, unless it was forgotten meanwhile: which one is in use stays as it is. */
export async function changeProfile(id, change) {
  await run("profiles", "readwrite", (s) => {
    const found = s.get(id);
    found.onsuccess = () => { if (found.result) s.put({ ...found.result, ...change }); };
    return found;
  });
  channel.postMessage("changed");
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
    .map(({ sealed, next, ...shown }) => ({ ...shown, encrypted: sealed.plain === undefined, active: shown.id === active }))
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
  return token ? { ...profile, token, next: profile.next && (await unseal(profile.next)) } : null;
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
