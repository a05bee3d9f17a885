// Keys, ids and tokens: by SubtleCrypto where the page is a secure context, by the bundled ways elsewhere.

import { publicKey } from "./ed25519.js";
import { sha256 } from "./hash.js";
import { toBase64url, toHex } from "./bytes.js";

const SYMBOLS = "0123456789abcdefghjkmnpqrstvwxyz";

export const isSecure = () => window.isSecureContext && Boolean(crypto.subtle);

/** The public half of a new key. The private half is kept by nobody: what lets a device in is its token. */
export async function newPublicKey() {
  if (isSecure()) {
    try {
      const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
      return toBase64url(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
    } catch {
      // Older browsers know no Ed25519.
    }
  }
  return toBase64url(publicKey(crypto.getRandomValues(new Uint8Array(32))));
}

/** The id of a token: SHA-256 of its text, in hex. */
export async function tokenId(token) {
  const bytes = new TextEncoder().encode(token);
  if (isSecure()) return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  return toHex(sha256(bytes));
}

/** A token to put in another's place: the same account, a new secret. Who makes it loses nothing with a lost answer. */
export function successorOf(token) {
  const match = /^spl_([a-z0-9]{1,16})_(sa_[0-9a-z]{16}|sa-bootstrap-env)_([\x21-\x7e]+)$/.exec(token);
  if (!match) return null;
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const secret = Array.from(bytes, (b) => SYMBOLS[b & 31]).join("");
  return `spl_${match[1]}_${match[2]}_${secret}`;
}
