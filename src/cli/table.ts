import Table from 'cli-table3';
import { withoutControls } from './failures.js';

export interface Column {
  readonly title: string;
  /** Numbers are aligned to the right. Default: false. */
  readonly isNumber?: boolean;
  /** The widest that the column may be, in columns of the terminal. A longer text is cut. */
  readonly width?: number | undefined;
}

/** The columns of the terminal between two columns of a table. */
export const GAP = 2;

/** Draws no lines between the cells. */
const NO_LINES = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid'].flatMap((side) =>
    ['', '-mid', '-left', '-right'].map((suffix) => [`${side}${suffix}`, '']),
  ),
);

/** Neither lines, colours nor margins. */
const PLAIN = {
  chars: { ...NO_LINES, middle: ' '.repeat(GAP) },
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
};

/** Returns the lines of a table with a title over each column. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const table = new Table({
    ...PLAIN,
    head: columns.map(({ title }) => title),
    colAligns: columns.map(({ isNumber = false }) => (isNumber ? 'right' : 'left')),
    colWidths: columns.map(({ width }) => width ?? null),
  });
  return linesOf(
    table,
    rows.map((row) => row.map(withoutControls)),
  );
}

/** Breaks a text into lines between its words. @param width in columns of the terminal */
export function wrapped(text: string, width: number): string[] {
  return linesOf(new Table({ ...PLAIN, colWidths: [width], wordWrap: true }), [[withoutControls(text)]]);
}

function linesOf(table: Table.Table, rows: readonly string[][]): string[] {
  table.push(...rows);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}
