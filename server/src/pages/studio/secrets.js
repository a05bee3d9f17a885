// Keys, ids and tokens: by SubtleCrypto where the page is a secure context, by the bundled ways elsewhere.

import { publicKey } from "./ed25519.js";
import { sha256 } from "./hash.js";
import { toBase64url, toHex } from "./bytes.js";

/** A token: whose it is, and its secret. */
export const TOKEN = /^spl_([a-z0-9]{1,16})_(sa_[0-9a-hjkmnp-tv-z]{16}|sa-bootstrap-env)_[\x21-\x7e]{32,256}$/;
const SYMBOLS = "0123456789abcdefghjkmnpqrstvwxyz";

export const isSecure = () => window.isSecureContext && Boolean(crypto.subtle);

/** A new holder key: its public half as text, and its private half as it is to be kept. What lets a device in is its
 * token; the key is who it is. */
export async function newHolderKey() {
  if (isSecure()) {
    try {
      const { publicKey: shown, privateKey } = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
      return { text: toBase64url(new Uint8Array(await crypto.subtle.exportKey("raw", shown))), privateKey };
    } catch {
      // Older browsers know no Ed25519.
    }
  }
  const seed = crypto.getRandomValues(new Uint8Array(32));
  return { text: toBase64url(publicKey(seed)), privateKey: seed };
}

/** The id of a token: SHA-256 of its text, in hex. */
export async function tokenId(token) {
  const bytes = new TextEncoder().encode(token);
  if (isSecure()) return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  return toHex(sha256(bytes));
}

/** A token to put in another's place: the same account, a new secret. Who makes it loses nothing with a lost answer. */
export function successorOf(token) {
  const [, tag, account] = TOKEN.exec(token);
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const secret = Array.from(bytes, (b) => SYMBOLS[b & 31]).join("");
  return `spl_${tag}_${account}_${secret}`;
}
