import * as fc from 'fast-check';
import { BehaviorSubject } from 'rxjs';
import type { ManagedQueue } from 'sluice';
import { BackendUnavailableError, QueueNotFoundError } from 'sluice';
import { Samples } from '../../src/cli/samples.js';
import { statsFrame } from '../../src/cli/stats-frame.js';

type Counts = Readonly<
  Record<string, { readonly ready: number; readonly unfinished: number; readonly consumers?: number }>
>;

/** A queue with fixed counts, which a test replaces. */
class CountedQueue {
  readonly name = 'orders';
  readonly status$ = new BehaviorSubject('connected');
  counts: Counts = {};
  failure: Error | undefined;

  async stats() {
    if (this.failure !== undefined) throw this.failure;
    const all = Object.values(this.counts);
    const sum = (field: 'ready' | 'unfinished') => Math.max(0, ...all.map((each) => each[field]));
    return { ready: sum('ready'), unfinished: sum('unfinished') };
  }

  async groups() {
    return Object.entries(this.counts).map(([name, counts]) => ({ name, declared: true, ...counts }));
  }

  async peek() {
    return [{ publishedAt: Date.now() - 90_000 }];
  }
}

const samplesOf = (queue: CountedQueue) => new Samples(queue as unknown as ManagedQueue, []);

describe('The live view', () => {
  beforeEach(() => {
    jest.useFakeTimers({ now: Date.UTC(2026, 10, 30, 3, 0, 0), doNotFake: ['nextTick', 'queueMicrotask'] });
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  it('shows counts, changes, ages and the history of each group', async () => {
    const queue = new CountedQueue();
    const samples = samplesOf(queue);
    for (const unfinished of [100, 150, 200]) {
      queue.counts = {
        audit: { ready: 0, unfinished: 0, consumers: 2 },
        billing: { ready: unfinished, unfinished, consumers: 0 },
      };
      await samples.take();
      jest.advanceTimersByTime(1000);
    }
    expect(statsFrame(samples, 80)).toEqual([
      'queue orders · connected',
      '2026-11-30 03:00:02   ready 200 (+50/s)   unfinished 200 (+50/s)',
      '',
      'group           ready  unfinished     change  oldest  consumers  history',
      'audit               0           0        0/s       –          2  ▁▁▁',
      'billing           200         200      +50/s      2m          0  ▄▆█',
    ]);
  });

  it('never draws a line that is wider than the terminal', async () => {
    const number = fc.nat(10 ** 8);
    const name = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 60 });
    const counts = fc.dictionary(name, fc.record({ ready: number, unfinished: number, consumers: number }), {
      maxKeys: 5,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(counts, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 24, max: 200 }),
        async (all, columns) => {
          const queue = new CountedQueue();
          const samples = samplesOf(queue);
          for (const each of all) {
            queue.counts = each;
            await samples.take();
            jest.advanceTimersByTime(1000);
          }
          for (const line of statsFrame(samples, columns)) expect([...line].length).toBeLessThanOrEqual(columns);
        },
      ),
    );
  });

  it('keeps the last counts while the server cannot be reached, and says so', async () => {
    const queue = new CountedQueue();
    const samples = samplesOf(queue);
    queue.counts = { default: { ready: 7, unfinished: 9 } };
    await samples.take();
    queue.status$.next('disconnected');
    queue.failure = new BackendUnavailableError('No answer');
    await samples.take();
    const frame = statsFrame(samples, 80);
    expect(frame[0]).toBe('queue orders · disconnected: No answer');
    expect(frame[1]).toContain('ready 7 (–)   unfinished 9 (–)');
    queue.failure = undefined;
    queue.status$.next('connected');
    await samples.take();
    expect(statsFrame(samples, 80)[0]).toBe('queue orders · connected');
  });

  it('ends when the queue does not exist any more', async () => {
    const queue = new CountedQueue();
    queue.failure = new QueueNotFoundError('Gone');
    await expect(samplesOf(queue).take()).rejects.toThrow('Gone');
  });
});
