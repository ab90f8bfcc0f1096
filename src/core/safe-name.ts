import { createHash } from 'node:crypto';

/** How many characters of the hash stand for the rest of a name that is too long: 128 bits. */
const HASH_CHARACTERS = 32;

/** What `encodeURIComponent` leaves, and the sign that it escapes by: some server would take that for a directive of a format. */
const LEFT = /[.!~*'()]|%|^_/g;

/**
 * A name in the characters that every broker takes: letters, digits, `-` and `_` stay (but for a `_` at the start, which is a server's own), all else becomes `=` and two hexadecimal digits a byte, so that no two
 * names become one. What is longer than `most` ends in a tilde and a hash of the whole; no other tilde is in a name.
 */
export function safeName(name: string, most: number): string {
  const safe = encodeURIComponent(name).replace(LEFT, (sign) =>
    sign === '%' ? '=' : `=${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  if (safe.length <= most) return safe;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARACTERS);
  return `${safe.slice(0, most - HASH_CHARACTERS - 1).replace(/=.?$/, '')}~${hash}`;
}
