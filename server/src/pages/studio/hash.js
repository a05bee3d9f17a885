// SHA-256 and SHA-512 (FIPS 180-4) for pages without SubtleCrypto: one routine for both, on BigInt words.

const PRIMES = primes(80);

function primes(count) {
  const found = [];
  for (let n = 2; found.length < count; n += 1) if (found.every((p) => n % p)) found.push(n);
  return found.map(BigInt);
}

/** The first `bits` fractional bits of the `k`th root of n. */
function rootFraction(n, k, bits) {
  const target = n << (k * bits);
  let [low, high] = [0n, 1n << (bits + 10n)];
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** k <= target) low = middle; else high = middle;
  }
  return low & ((1n << bits) - 1n);
}

function variant(bits, rounds, [S0, S1, s0, s1]) {
  const word = BigInt(bits);
  return {
    bits, rounds, word, S0, S1, s0, s1,
    mask: (1n << word) - 1n,
    initial: PRIMES.slice(0, 8).map((p) => rootFraction(p, 2n, word)),
    constants: PRIMES.slice(0, rounds).map((p) => rootFraction(p, 3n, word)),
  };
}

const SHA256 = variant(32, 64, [[2n, 13n, 22n], [6n, 11n, 25n], [7n, 18n, 3n], [17n, 19n, 10n]]);
const SHA512 = variant(64, 80, [[28n, 34n, 39n], [14n, 18n, 41n], [1n, 8n, 7n], [19n, 61n, 6n]]);

function padded(bytes, { bits }) {
  const [block, length] = bits === 32 ? [64, 8] : [128, 16];
  const size = Math.ceil((bytes.length + 1 + length) / block) * block;
  const out = new Uint8Array(size);
  out.set(bytes);
  out[bytes.length] = 0x80;
  new DataView(out.buffer).setBigUint64(size - 8, BigInt(bytes.length) * 8n);
  return out;
}

function digest(bytes, v) {
  const { word, mask } = v;
  const rotate = (x, n) => ((x >> n) | (x << (word - n))) & mask;
  const big = (x, [a, b, c]) => rotate(x, a) ^ rotate(x, b) ^ rotate(x, c);
  const small = (x, [a, b, c]) => rotate(x, a) ^ rotate(x, b) ^ (x >> c);
  const data = new DataView(padded(bytes, v).buffer);
  const [step, read] = v.bits === 32
    ? [4, (at) => BigInt(data.getUint32(at))]
    : [8, (at) => data.getBigUint64(at)];
  let state = v.initial;
  for (let at = 0; at < data.byteLength; at += step * 16) {
    const w = Array.from({ length: 16 }, (_, i) => read(at + i * step));
    for (let i = 16; i < v.rounds; i += 1) {
      w.push((small(w[i - 2], v.s1) + w[i - 7] + small(w[i - 15], v.s0) + w[i - 16]) & mask);
    }
    let [a, b, c, d, e, f, g, hh] = state;
    for (let i = 0; i < v.rounds; i += 1) {
      const t1 = hh + big(e, v.S1) + ((e & f) ^ (~e & mask & g)) + v.constants[i] + w[i];
      const t2 = big(a, v.S0) + ((a & b) ^ (a & c) ^ (b & c));
      [hh, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & mask, c, b, a, (t1 + t2) & mask];
    }
    state = [a, b, c, d, e, f, g, hh].map((x, i) => (x + state[i]) & mask);
  }
  const out = new Uint8Array(step * 8);
  const view = new DataView(out.buffer);
  state.forEach((x, i) => (v.bits === 32 ? view.setUint32(i * 4, Number(x)) : view.setBigUint64(i * 8, x)));
  return out;
}

export const sha256 = (bytes) => digest(bytes, SHA256);
export const sha512 = (bytes) => digest(bytes, SHA512);
