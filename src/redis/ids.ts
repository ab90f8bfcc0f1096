/** Compares two stream ids, for `sort`. The integers of an id are too large for numbers. */
export function compareIds(a: string, b: string): number {
  const dash = a.indexOf('-');
  if (dash !== b.indexOf('-')) return dash - b.indexOf('-');
  if (a.length === b.length) return a < b ? -1 : a > b ? 1 : 0;
  const [time, other] = [a.slice(0, dash), b.slice(0, dash)];
  return time === other ? a.length - b.length : time < other ? -1 : 1;
}
