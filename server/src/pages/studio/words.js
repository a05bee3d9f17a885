// What scopes and states mean, in words.

/** What a token with these scopes may do, in one sentence. */
export function grants(scopes, target, place = "here") {
  const has = (name) => scopes.includes(name);
  const where = !target || target.kind === "instance" ? `everything ${place}`
    : target.kind === "thread" ? `the thread ${target.thread_id} only` : `the namespace ${target.namespace} only`;
  if (has("admin")) return "Administer this instance: everything, accounts and tokens included";
  if (has("records:read") && has("records:write")) return `Read and write ${where}`;
  if (has("records:write")) return `Write ${where}`;
  if (has("records:read")) return `Read ${where}`;
  return scopes.join(", ");
}

/** The short name of an access level. */
export function level(scopes) {
  const coarse = scopes.filter((s) => !s.startsWith("thread:") && !s.startsWith("namespace:")).join(",");
  return { "records:read": "reader", "records:read,records:write": "contributor", admin: "admin" }[coarse] ?? coarse;
}

/** A DID as people say it. */
export function person(did) {
  if (!did) return "somebody";
  const guest = /^did:sync:user:guest:([0-9a-f]+)$/.exec(did);
  if (guest) return `guest ${guest[1].slice(0, 6)}`;
  const named = /^did:sync:[a-z]+:(.+)$/.exec(did);
  return named ? named[1] : did.length > 28 ? `${did.slice(0, 18)}…${did.slice(-6)}` : did;
}

/** Dot of an invite's state. */
export const DOTS = { active: "ok", redeemed: "off", exhausted: "off", expired: "warn", revoked: "bad" };
export const capital = (word) => word[0].toUpperCase() + word.slice(1);
