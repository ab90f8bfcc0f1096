import { createHash } from 'node:crypto';

/** How many characters of the hash stand for the rest of a name that is too long: 128 bits. */
const HASH_CHARACTERS = 32;

/**
 * A name in the characters that every broker takes: letters, digits, `-` and `_` stay, all else is percent-encoded byte by byte, so that no two names become
 * one. What is longer than `most` then ends in a hash of the whole, after a tilde.
 */
export function safeName(name: string, most: number): string {
  const safe = encodeURIComponent(name).replace(/[.!~*'()]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  if (safe.length <= most) return safe;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARACTERS);
  return `${safe.slice(0, most - HASH_CHARACTERS - 1).replace(/%.?$/, '')}~${hash}`;
}
