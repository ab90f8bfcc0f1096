import { createHash } from 'node:crypto';

/** The length of the hash that replaces the end of a long name: 128 bits. */
const HASH_CHARACTERS = 32;

/**
 * The characters that `encodeURIComponent` keeps, and its `%`, which some servers read as a format
 * directive.
 */
const UNSAFE = /[.!~*'()]|%|^_/g;

/**
 * Encodes a name in characters that every engine accepts. Letters, digits, `-` and `_` stay, except
 * a leading `_`, which servers reserve. Every other byte becomes `=` and two hexadecimal digits, so
 * that names stay distinct. A name longer than `most` ends in a tilde and a hash of the whole name.
 * Other names contain no tilde.
 */
export function safeName(name: string, most: number): string {
  const safe = encodeURIComponent(name).replace(UNSAFE, (sign) =>
    sign === '%' ? '=' : `=${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  if (safe.length <= most) return safe;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARACTERS);
  return `${safe.slice(0, most - HASH_CHARACTERS - 1).replace(/=.?$/, '')}~${hash}`;
}
