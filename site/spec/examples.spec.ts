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
const momentsFile = path.join(folder, 'moments.json');
const moments = JSON.parse(readFileSync(momentsFile, 'utf8')) as Record<string, unknown>;
/** With `UPDATE_EXAMPLES=1`, the files are written anew: look at its changes before you commit them. */
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

/** The first moment of a run that shows most: messages in all states, and consumers. */
function momentOf(snapshots: readonly Snapshot[]): Snapshot {
  const shown = snapshots.map(({ queues }) =>
    queues.reduce((sum, { ready, inFlight, publishingCount, groups }) => {
      const [{ acked = 0, delayedCount = 0 } = {}] = groups;
      return sum + [ready, inFlight, publishingCount, acked, delayedCount].filter((count) => count > 0).length;
    }, 0),
  );
  return normalized(snapshots[shown.indexOf(Math.max(...shown))] as Snapshot);
}

/** Numbers of queues and messages depend on the programs that ran before. */
function normalized(snapshot: Snapshot): Snapshot {
  const names = new Map<string, string>();
  const text = JSON.stringify(snapshot, (key, value) => {
    if ((key !== 'id' && key !== 'origin') || typeof value !== 'string') return value;
    if (!names.has(value)) names.set(value, `dot-${names.size + 1}`);
    return names.get(value);
  });
  return JSON.parse(text) as Snapshot;
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

  it.each(names)('%s has a moment that is shown before it runs', async (name) => {
    const { snapshots } = await runProgram(codeOf(name), true);
    const moment = momentOf(snapshots);
    if (isUpdate) moments[name] = moment;
    expect(moment).toEqual(moments[name]);
  });

  it.each(names)('%s does the same at the same times without an observer', async (name) => {
    const [plain, observed] = [await runProgram(codeOf(name), false), await runProgram(codeOf(name), true)];
    expect(observed.lines).toEqual(plain.lines);
    expect(observed.duration).toBe(plain.duration);
  });

  it('have no expected output without a program', () => {
    expect(Object.keys(expected).sort()).toEqual(names);
    expect(Object.keys(moments).sort()).toEqual(names);
  });

  afterAll(() => {
    if (!isUpdate) return;
    writeFileSync(file, `${JSON.stringify(expected, undefined, 2)}\n`);
    writeFileSync(momentsFile, `${JSON.stringify(moments)}\n`);
  });
});
