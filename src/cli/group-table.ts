import type { GroupInfo } from 'sluice';
import { tableLines } from './table.js';
import { count } from './text.js';

const COLUMNS = [
  { title: 'group' },
  { title: 'ready', isNumber: true },
  { title: 'unfinished', isNumber: true },
  { title: 'consumers', isNumber: true },
];

/** Returns the lines of a table of groups. */
export function groupLines(groups: readonly GroupInfo[]): string[] {
  const rows = groups.map(({ name, ready, unfinished, consumers }) => [
    name,
    count(ready),
    count(unfinished),
    consumers === undefined ? '–' : count(consumers),
  ]);
  return tableLines(COLUMNS, rows);
}
