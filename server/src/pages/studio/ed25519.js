// The public key of an Ed25519 seed, for pages without SubtleCrypto (RFC 8032, section 5.1.5). Only this half: an
// invite is redeemed with a public key, and nothing is ever signed by a page.

import { sha512 } from "./hash.js";

const P = 2n ** 255n - 19n;
const mod = (a) => ((a % P) + P) % P;

function power(base, exponent) {
  let [result, b] = [1n, mod(base)];
  for (let e = exponent; e > 0n; e >>= 1n) {
    if (e & 1n) result = mod(result * b);
    b = mod(b * b);
  }
  return result;
}

const invert = (a) => power(a, P - 2n);
const D = mod(-121665n * invert(121666n));
/** The base point, whose y is 4/5. */
const BASE = [0x216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51an, mod(4n * invert(5n))];

/** Adds points in extended coordinates (X, Y, Z, T). */
function addPoints([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2);
  const d = mod(2n * z1 * z2);
  const [e, f, g, hh] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * hh), mod(f * g), mod(e * hh)];
}

/** The raw public key of a 32-byte seed. */
export function publicKey(seed) {
  const hash = sha512(seed).slice(0, 32);
  hash[0] &= 248;
  hash[31] = (hash[31] & 127) | 64;
  let scalar = hash.reduceRight((n, byte) => (n << 8n) | BigInt(byte), 0n);
  let result = [0n, 1n, 1n, 0n];
  let point = [BASE[0], BASE[1], 1n, mod(BASE[0] * BASE[1])];
  for (; scalar > 0n; scalar >>= 1n) {
    if (scalar & 1n) result = addPoints(result, point);
    point = addPoints(point, point);
  }
  const z = invert(result[2]);
  const [x, y] = [mod(result[0] * z), mod(result[1] * z)];
  const out = new Uint8Array(32);
  for (let i = 0, n = y; i < 32; i += 1, n >>= 8n) out[i] = Number(n & 255n);
  out[31] |= Number(x & 1n) << 7;
  return out;
}
