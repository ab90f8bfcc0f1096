import sparkly from 'sparkly';
import { withoutControls } from './failures.js';
import { type GroupSample, ofGroup, type Samples } from './samples.js';
import { GAP, tableLines } from './table.js';
import { ago, count, timeOf } from './text.js';

/** The narrowest group name and sparkline, in columns of the terminal. */
const LEAST_NAME = 10;
const LEAST_SPARKLINE = 8;

interface NumberColumn {
  readonly title: string;
  readonly width: number;
  textOf(group: GroupSample, samples: Samples): string;
}

/** The columns between the name and the sparkline. A narrow terminal has only the first ones. */
const NUMBERS: readonly NumberColumn[] = [
  { title: 'ready', width: 9, textOf: ({ ready }) => count(ready) },
  { title: 'unfinished', width: 10, textOf: ({ unfinished }) => count(unfinished) },
  { title: 'change', width: 9, textOf: ({ name }, samples) => rateOf(samples.rate(ofGroup(name, 'unfinished'))) },
  { title: 'oldest', width: 6, textOf: ({ oldest }) => (oldest === undefined ? '–' : ago(oldest)) },
  { title: 'consumers', width: 9, textOf: ({ consumers }) => (consumers === undefined ? '–' : count(consumers)) },
];

/** Draws the live view of a queue for a terminal of so many columns. */
export function statsFrame(samples: Samples, columns: number): string[] {
  const title = cut(`queue ${samples.name} · ${samples.status}`, columns);
  const sample = samples.last;
  if (sample === undefined) return [title];
  const { total, groups, time } = sample;
  const [ready, unfinished] = (['ready', 'unfinished'] as const).map(
    (field) => `${field} ${count(total[field])} (${rateOf(samples.rate(({ total }) => total[field]))})`,
  );
  const totals = cut(`${timeOf(time)}   ${ready}   ${unfinished}`, columns);
  return [title, totals, '', ...groupsTable(samples, groups, columns)];
}

function groupsTable(samples: Samples, groups: readonly GroupSample[], columns: number): string[] {
  const shown = NUMBERS.filter(
    (_, index) => widthOf(NUMBERS.slice(0, index + 1)) + LEAST_NAME + GAP + LEAST_SPARKLINE <= columns,
  );
  const free = columns - widthOf(shown) - GAP;
  const longest = Math.max(LEAST_NAME, ...groups.map(({ name }) => name.length));
  const nameWidth = Math.max(1, Math.min(longest, free - LEAST_SPARKLINE));
  const sparkWidth = Math.max(1, free - nameWidth);
  const rows = groups.map((group) => [
    group.name,
    ...shown.map(({ textOf }) => textOf(group, samples)),
    sparkly(samples.history(sparkWidth, ofGroup(group.name, 'unfinished')), { minimum: 0 }),
  ]);
  return tableLines(
    [
      { title: 'group', width: nameWidth },
      ...shown.map(({ title, width }) => ({ title, width, isNumber: true })),
      { title: 'history', width: sparkWidth },
    ],
    rows,
  );
}

/** The width of some columns with the gaps before them. */
function widthOf(columns: readonly NumberColumn[]): number {
  return columns.reduce((sum, { width }) => sum + GAP + width, 0);
}

function rateOf(rate: number | undefined): string {
  if (rate === undefined) return '–';
  const size = Math.abs(rate) < 10 ? String(Number(Math.abs(rate).toFixed(1))) : count(Math.abs(rate));
  return `${rate > 0 ? '+' : rate < 0 ? '-' : ''}${size}/s`;
}

function cut(text: string, columns: number): string {
  const plain = withoutControls(text);
  return plain.length <= columns ? plain : `${plain.slice(0, Math.max(0, columns - 1))}…`;
}
