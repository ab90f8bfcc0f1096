/**
 * Writes a text without NUL, which PostgreSQL cannot store: a backslash stands for `\\`, and NUL
 * for `\0`.
 */
export function toText(text: string): string {
  return /[\\\0]/.test(text) ? text.replaceAll('\\', '\\\\').replaceAll('\0', '\\0') : text;
}

/** Reads what `toText` has written. */
export function fromText(text: string): string {
  return text.includes('\\') ? text.replaceAll(/\\(.)/gs, (_, next: string) => (next === '0' ? '\0' : next)) : text;
}
