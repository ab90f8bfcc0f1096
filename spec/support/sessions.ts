import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './root.js';

/** A command that a page shows, with the text that stands under it. */
export interface Session {
  readonly page: string;
  readonly line: number;
  readonly command: string;
  readonly output: string;
}

/** Lists the commands of the `console` blocks of a page. */
export function sessionsOf(page: string): Session[] {
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```console\n(.*?)^```$/gms)].flatMap(({ index, 1: block = '' }) => {
    const first = text.slice(0, index).split('\n').length + 1;
    const sessions: { page: string; line: number; command: string; output: string }[] = [];
    for (const [at, line] of block.split('\n').entries()) {
      const last = sessions.at(-1);
      if (line.startsWith('$ ')) sessions.push({ page, line: first + at, command: line.slice(2), output: '' });
      else if (last !== undefined) last.output += `${line}\n`;
      else if (line !== '') throw new Error(`${page}, line ${first + at}: Expected a command`);
    }
    return sessions.map((session) => ({ ...session, output: session.output.trimEnd() }));
  });
}

/** What differs from run to run. Each pattern keeps what is not of its kind. */
const VARIABLES: readonly (readonly [RegExp, string])[] = [
  [/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{3}Z)?/g, '<time>'],
  [/("publishedAt":)\d{13}\b/g, '$1<time>'],
  [/\b\d{13}-\d+\b/g, '<id>'],
  [/\b(sluice|Node\.js|Redis|redis) \d+\.\d+\.\d+\b/g, '$1 <version>'],
  [/(?<=[ (])[+-]?[\d.,]+\/s(?=[ )])/g, '<rate>'],
  [/^(publish|consume) +[\d,]+$/gm, '$1 <rate>'],
  [/(?<= )\d+(?:\.\d+)? ?(?:ms|s|m|h|d)(?= |$)/gm, '<duration>'],
  [/[▁▂▃▄▅▆▇█]+/g, '<history>'],
];

/** Replaces ids, times, versions, rates and durations. */
export function withoutVariables(text: string): string {
  let result = text;
  for (const [pattern, name] of VARIABLES) result = result.replaceAll(pattern, name);
  // The columns of a table are as wide as its numbers.
  return result.replaceAll(/(?<=\S) {2,}/g, '  ').replaceAll(/^ +/gm, ' ');
}
