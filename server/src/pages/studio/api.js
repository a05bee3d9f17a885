// Calls to the instance that serves this page, and to no other.

/** What an instance refused, in its own words. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.message ?? `the instance answered ${status}`);
    this.status = status;
    this.code = body?.code ?? "";
    this.hint = body?.hint;
    this.scope = body?.required_scope;
  }
}

/** No answer came. */
export class Unreachable extends Error {}

let token = null;
let watcher = () => {};

/** Sets what is sent as credential from now on. */
export function signInWith(text) { token = text; }

/** Calls back with each answer's outcome: the connection's state follows from it. */
export function watchAnswers(callback) { watcher = callback; }

/** A request. Paths are absolute, and this instance's. */
export async function ask(method, path, { body, as = token, signal, quiet = false } = {}) {
  const headers = { accept: "application/json" };
  if (as) headers.authorization = `Bearer ${as}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    if (!quiet) watcher("unreachable");
    throw new Unreachable("no answer came from the instance");
  }
  const answer = await response.json().catch(() => null);
  // Of another profile's token nothing follows for this one's.
  if (!quiet && (as === token || response.status !== 401)) watcher(response.status === 401 && as ? "expired" : "answered");
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

export const get = (path, options) => ask("GET", path, options);
export const post = (path, body, options) => ask("POST", path, { ...options, body });
export const del = (path, options) => ask("DELETE", path, options);

/** All rows of a list, page by page, at most so many. */
export async function rows(path, most = 500) {
  const found = [];
  let cursor = null;
  do {
    const separator = path.includes("?") ? "&" : "?";
    const page = await get(cursor ? `${path}${separator}cursor=${encodeURIComponent(cursor)}` : path);
    found.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor && found.length < most);
  return found;
}

/** The credential, for streams. */
export const credential = () => token;
