import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Snapshot } from '../picture/snapshot';
import { runProgram } from './virtual-program';

const folder = path.join(__dirname, '..', 'examples');
const names = readdirSync(folder)
  .sort()
  .filter((file) => file.endsWith('.ts') && file !== 'index.ts')
  .map((file) => file.replace('.ts', ''));
const file = path.join(folder, 'expected.json');
const expected = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
/** With `UPDATE_EXAMPLES=1`, the file is written anew: look at its changes before you commit them. */
const isUpdate = process.env.UPDATE_EXAMPLES === '1';
const codeOf = (name: string) => readFileSync(path.join(folder, `${name}.ts`), 'utf8');

interface ExpectedQueue {
  readonly published: number;
  readonly acked: Readonly<Record<string, number>>;
  readonly retried: Readonly<Record<string, number>>;
  readonly released: Readonly<Record<string, number>>;
  readonly rejected: Readonly<Record<string, number>>;
  readonly 'dead-lettered': Readonly<Record<string, number>>;
}

/** The counts of a snapshot, in the shape of `expected.json`. */
function countsOf({ queues }: Snapshot): Record<string, ExpectedQueue> {
  return Object.fromEntries(
    queues.map(({ name, published, groups }) => {
      const by = (count: 'acked' | 'retried' | 'released' | 'rejected' | 'deadLettered') =>
        Object.fromEntries(groups.map((group) => [group.name, group[count]]));
      const counts = {
        published,
        acked: by('acked'),
        retried: by('retried'),
        released: by('released'),
        rejected: by('rejected'),
        'dead-lettered': by('deadLettered'),
      };
      return [name, counts];
    }),
  );
}

describe('the examples', () => {
  it.each(names)('%s prints what is expected, and the observer counts its messages', async (name) => {
    const { output, snapshots, duration, timers } = await runProgram(codeOf(name), true);
    const last = snapshots.at(-1) as Snapshot;
    const actual = { output, counts: countsOf(last) };
    if (isUpdate) expected[name] = actual;
    expect(actual).toEqual(expected[name]);
    // There is something to see, and then it ends by itself.
    expect(duration).toBeGreaterThanOrEqual(4000);
    expect(duration).toBeLessThanOrEqual(20_000);
    expect(timers).toBe(0);
    expect(last.queues.map(({ closed, unfinished }) => ({ closed, unfinished }))).toEqual(
      last.queues.map(() => ({ closed: true, unfinished: 0 })),
    );
  });

  it.each(names)('%s does the same at the same times without an observer', async (name) => {
    const [plain, observed] = [await runProgram(codeOf(name), false), await runProgram(codeOf(name), true)];
    expect(observed.lines).toEqual(plain.lines);
    expect(observed.duration).toBe(plain.duration);
  });

  it('have no expected output without a program', () => {
    expect(Object.keys(expected).sort()).toEqual(names);
  });

  afterAll(() => {
    if (isUpdate) writeFileSync(file, `${JSON.stringify(expected, undefined, 2)}\n`);
  });
});
