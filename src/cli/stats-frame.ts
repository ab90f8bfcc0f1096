import sparkly from 'sparkly';
import { withoutControls } from './failures.js';
import { ofGroup, type Samples } from './samples.js';
import { tableLines } from './table.js';
import { ago, count, timeOf } from './text.js';

/** The narrowest sparkline and group name, in columns. */
const LEAST_SPARKLINE = 8;
const LEAST_NAME = 10;

/** The width of the numbers between the name and the sparkline, with the gaps. */
const NUMBERS = 8 + 10 + 9 + 9 + 7 + 6 * 2;

/** Draws the live view of a queue for a terminal of so many columns. */
export function statsFrame(samples: Samples, columns: number): string[] {
  const sample = samples.last;
  const title = `queue ${samples.name} · ${samples.status}`;
  if (sample === undefined) return [cut(title, columns)];
  const { total, groups, time } = sample;
  const free = Math.max(LEAST_NAME + LEAST_SPARKLINE, columns - NUMBERS);
  const longest = Math.max(LEAST_NAME, ...groups.map(({ name }) => name.length));
  const nameWidth = Math.min(longest, free - LEAST_SPARKLINE);
  const rows = groups.map(({ name, ready, unfinished, consumers, oldest }) => [
    name,
    count(ready),
    count(unfinished),
    rateOf(samples.rate(ofGroup(name, 'unfinished'))),
    consumers === undefined ? '–' : count(consumers),
    oldest === undefined ? '–' : ago(oldest),
    sparkly(samples.history(free - nameWidth, ofGroup(name, 'unfinished')), { minimum: 0 }),
  ]);
  const lines = tableLines(
    [
      { title: 'group', width: nameWidth },
      { title: 'ready', isNumber: true, width: 8 },
      { title: 'unfinished', isNumber: true, width: 10 },
      { title: 'change', isNumber: true, width: 9 },
      { title: 'consumers', isNumber: true, width: 9 },
      { title: 'oldest', isNumber: true, width: 7 },
      { title: 'unfinished', width: free - nameWidth },
    ],
    rows,
  );
  const rates = [samples.rate(({ total }) => total.ready), samples.rate(({ total }) => total.unfinished)].map(rateOf);
  return [
    cut(title, columns),
    cut(
      `${timeOf(time)}   ready ${count(total.ready)} (${rates[0]})   unfinished ${count(total.unfinished)} (${rates[1]})`,
      columns,
    ),
    '',
    ...lines,
  ];
}

function rateOf(rate: number | undefined): string {
  if (rate === undefined) return '–';
  return `${rate > 0 ? '+' : ''}${Number(rate.toFixed(1))}/s`;
}

function cut(text: string, columns: number): string {
  const plain = withoutControls(text);
  return plain.length <= columns ? plain : `${plain.slice(0, columns - 1)}…`;
}
