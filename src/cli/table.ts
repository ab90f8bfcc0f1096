import Table from 'cli-table3';
import { withoutControls } from './failures.js';

export interface Column {
  readonly title: string;
  /** Numbers are aligned to the right. Default: false. */
  readonly isNumber?: boolean;
  /** The widest that the column may be, in columns of the terminal. A longer text is cut. */
  readonly width?: number | undefined;
}

/** Draws no lines between the cells. */
const NO_LINES = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid'].flatMap((side) =>
    ['', '-mid', '-left', '-right'].map((suffix) => [`${side}${suffix}`, '']),
  ),
);

/** Returns the lines of a table with a title over each column. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const table = new Table({
    head: columns.map(({ title }) => title),
    chars: { ...NO_LINES, middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    colAligns: columns.map(({ isNumber = false }) => (isNumber ? 'right' : 'left')),
    colWidths: columns.map(({ width }) => width ?? null),
  });
  table.push(...rows.map((row) => row.map(withoutControls)));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}
