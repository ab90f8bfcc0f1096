import { concat, from, NEVER, Observable, of, Subject, type Subscription, take, throwError } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  MemoryBackend,
  type PublishOptions,
  type PublishToOptions,
  publishTo,
  type QueueBackend,
  type QueueEntry,
} from 'sluice';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { type Deferred, deferred } from '../support/handling.js';
import { thrownBy, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const toEntry = (n: number): QueueEntry => ['number', { n }];

/** Records the notifications of an Observable. */
class Watch<Value> {
  readonly values: Value[] = [];
  completed = false;
  error: unknown;
  readonly subscription: Subscription;

  constructor(source: Observable<Value>) {
    this.subscription = source.subscribe({
      next: (value) => this.values.push(value),
      error: (error: unknown) => {
        this.error = error;
      },
      complete: () => {
        this.completed = true;
      },
    });
  }
}

const watch = <Value>(source: Observable<Value>) => new Watch(source);

/** A queue whose publishes the test confirms in any order. */
class SlowQueue implements Pick<QueueBackend, 'publish'> {
  readonly published: number[] = [];
  readonly signals: (AbortSignal | undefined)[] = [];
  peak = 0;
  #underWay = 0;
  readonly #answers = new Map<number, Deferred<void>>();

  async publish(_: string, payload: object, options?: PublishOptions): Promise<void> {
    const answer = deferred();
    this.published.push(numberOf(payload));
    this.signals.push(options?.signal);
    this.#answers.set(numberOf(payload), answer);
    this.peak = Math.max(this.peak, ++this.#underWay);
    try {
      await answer.promise;
    } finally {
      this.#underWay--;
    }
  }

  async confirm(n: number): Promise<void> {
    this.#answers.get(n)?.resolve();
    await turns();
  }

  async refuse(n: number, error: unknown): Promise<void> {
    this.#answers.get(n)?.reject(error);
    await turns();
  }
}

describe('publishTo', () => {
  it('publishes each value in order and emits it', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const seen = watch(from(upTo(10)).pipe(publishTo(queue, toEntry)));
    await turns();
    expect([seen.values, seen.completed]).toEqual([upTo(10), true]);
    expect(new Holder(queue).deliveries.map(({ key, payload }) => [key, payload])).toEqual(
      upTo(10).map((n) => ['number', { n }]),
    );
  });

  it('emits the value itself, even undefined', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const values = [undefined, null, 0, [1]];
    const seen = watch(from(values).pipe(publishTo(queue, () => ['key', {}])));
    await turns();
    expect([seen.values, queue.size]).toEqual([values, 4]);
  });

  it('publishes nothing before it is subscribed to, and everything for each subscription', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const published$ = from([1, 2]).pipe(publishTo(queue, toEntry));
    expect(queue.size).toBe(0);
    watch(published$);
    watch(published$);
    await turns();
    expect(new Holder(queue).numbers.sort()).toEqual([1, 1, 2, 2]);
  });

  it('emits a value once it is confirmed and then publishes the next', async () => {
    const queue = new SlowQueue();
    const seen = watch(from([1, 2, 3]).pipe(publishTo<number>(queue, toEntry)));
    expect([queue.published, seen.values]).toEqual([[1], []]);
    await queue.confirm(1);
    expect([queue.published, seen.values]).toEqual([[1, 2], [1]]);
    await queue.confirm(2);
    await queue.confirm(3);
    expect([seen.values, seen.completed, queue.peak]).toEqual([[1, 2, 3], true, 1]);
  });

  it('publishes as many values at a time as `concurrency` and completes with the last', async () => {
    const queue = new SlowQueue();
    const seen = watch(from(upTo(6)).pipe(publishTo<number>(queue, toEntry, { concurrency: 3 })));
    expect(queue.published).toEqual([1, 2, 3]);
    await queue.confirm(2);
    expect([seen.values, queue.published]).toEqual([[2], [1, 2, 3, 4]]);
    for (const n of [4, 5, 6]) await queue.confirm(n);
    expect([seen.values, seen.completed]).toEqual([[2, 4, 5, 6], false]);
    await queue.confirm(1);
    await queue.confirm(3);
    expect([seen.values, seen.completed, queue.peak]).toEqual([[2, 4, 5, 6, 1, 3], true, 3]);
  });

  it('waits while the queue has no capacity and buffers values meanwhile', async () => {
    const queue = new MemoryBackend({ capacity: 1, logger: silentLogger });
    const seen = watch(from(upTo(5)).pipe(publishTo(queue, toEntry)));
    await turns();
    expect([seen.values, queue.size]).toEqual([[1], 1]);
    const taken: number[] = [];
    for await (const payload of queue.consume()) {
      taken.push(numberOf(payload));
      if (taken.length === 5) break;
    }
    await turns();
    expect([taken, seen.values, seen.completed]).toEqual([upTo(5), upTo(5), true]);
  });

  it('cancels waiting publishes when the subscriber unsubscribes', async () => {
    const queue = new MemoryBackend({ capacity: 1, logger: silentLogger });
    const seen = watch(from(upTo(5)).pipe(publishTo(queue, toEntry, { concurrency: 3 })));
    await turns();
    seen.subscription.unsubscribe();
    await turns();
    const holder = new Holder(queue);
    await turns();
    expect([holder.numbers, seen.values, seen.error]).toEqual([[1], [1], undefined]);
  });

  it('unsubscribes from its source, and with take(1) publishes no more', async () => {
    const source = new Subject<number>();
    const queue = new SlowQueue();
    const seen = watch(source.pipe(publishTo<number>(queue, toEntry), take(1)));
    for (const n of upTo(3)) source.next(n);
    expect(source.observed).toBe(true);
    await queue.confirm(1);
    expect([seen.values, seen.completed, source.observed, queue.published]).toEqual([[1], true, false, [1]]);
  });

  it('publishes earlier values before it ends with an error of the source', async () => {
    const queue = new SlowQueue();
    const boom = new Error('source');
    const seen = watch(
      concat(
        of(1, 2),
        throwError(() => boom),
      ).pipe(publishTo<number>(queue, toEntry)),
    );
    await queue.confirm(1);
    expect([seen.values, seen.error, queue.published]).toEqual([[1], undefined, [1, 2]]);
    await queue.confirm(2);
    expect([seen.values, seen.error, seen.completed]).toEqual([[1, 2], boom, false]);
  });

  it('ends with the error of a failed publish, publishes no buffered value and cancels the others', async () => {
    const queue = new SlowQueue();
    const boom = new Error('refused');
    const source = new Subject<number>();
    const seen = watch(source.pipe(publishTo<number>(queue, toEntry, { concurrency: 2 })));
    for (const n of upTo(4)) source.next(n);
    await queue.refuse(2, boom);
    expect([seen.values, seen.error, source.observed]).toEqual([[], boom, false]);
    expect([queue.published, queue.signals.map((signal) => signal?.aborted)]).toEqual([
      [1, 2],
      [true, true],
    ]);
    await queue.confirm(1);
    expect(seen.values).toEqual([]);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('refused');
      },
    ],
    ['rejects', () => Promise.reject(new Error('refused'))],
  ])('ends with the error of a publish that %s', async (_, publish) => {
    const seen = watch(of(1).pipe(publishTo({ publish } as unknown as MemoryBackend, toEntry)));
    await turns();
    expect([seen.values, seen.error]).toEqual([[], expect.objectContaining({ message: 'refused' })]);
  });

  it('ends with an error if the queue is closed or rejects', async () => {
    const closed = new MemoryBackend({ logger: silentLogger });
    await closed.close();
    const full = new MemoryBackend({ capacity: 1, overflow: 'error', logger: silentLogger });
    const [overClosed, overFull] = [closed, full].map((queue) => watch(of(1, 2).pipe(publishTo(queue, toEntry))));
    await turns();
    expect([overClosed?.values, overClosed?.error]).toEqual([
      [],
      expect.objectContaining({ code: 'SLUICE_QUEUE_CLOSED' }),
    ]);
    expect([overFull?.values, overFull?.error]).toEqual([
      [1],
      expect.objectContaining({ code: 'SLUICE_QUEUE_OVERFLOW' }),
    ]);
  });

  it('ends with the error of toEntry', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const boom = new Error('no entry');
    const seen = watch(
      from(upTo(3)).pipe(
        publishTo(queue, (n) => {
          if (n === 2) throw boom;
          return toEntry(n);
        }),
      ),
    );
    await turns();
    expect([seen.values, seen.error, queue.size]).toEqual([[1], boom, 1]);
  });

  it.each([
    [undefined],
    [null],
    ['key'],
    [{ key: 'k' }],
    [[]],
    [['key']],
    [['', {}]],
    [['key', 'payload']],
    [[5, {}]],
    [Promise.resolve(['key', {}])],
  ])('ends with an error if toEntry returns %p', async (entry) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const seen = watch(of(1).pipe(publishTo(queue, () => entry as unknown as QueueEntry)));
    await turns();
    expect([seen.values, seen.completed, queue.size]).toEqual([[], false, 0]);
    expect(seen.error).toBeInstanceOf(Error);
    expect((seen.error as Error).message).toMatch(/toEntry|key|payload/);
  });

  it('completes immediately with an empty source', () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    expect(watch(of<number>().pipe(publishTo(queue, toEntry))).completed).toBe(true);
    expect(watch(NEVER.pipe(publishTo(queue, toEntry)))).toMatchObject({ completed: false, error: undefined });
  });

  it.each([1, 16])(
    'publishes 200,000 synchronous values without growing the stack (concurrency %p)',
    async (concurrency) => {
      const MANY = 200_000;
      const queue = new MemoryBackend({ logger: silentLogger });
      const source = new Observable<number>((subscriber) => {
        for (let n = 0; n < MANY; n++) subscriber.next(n);
        subscriber.complete();
      });
      let emitted = 0;
      await new Promise<void>((resolve, reject) => {
        const next = () => emitted++;
        source.pipe(publishTo(queue, toEntry, { concurrency })).subscribe({ next, error: reject, complete: resolve });
      });
      expect([emitted, queue.size]).toEqual([MANY, MANY]);
    },
  );

  it('publishes values that are emitted while it emits', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const source = new Subject<number>();
    const values: number[] = [];
    source.pipe(publishTo(queue, toEntry)).subscribe((n) => {
      values.push(n);
      if (n < 10_000) source.next(n + 1);
      else source.complete();
    });
    source.next(1);
    while (values.length < 10_000) await turns(1);
    expect(values.at(-1)).toBe(10_000);
    expect(queue.size).toBe(10_000);
  });

  it('publishes the last values of a source that completes while it emits', () => {
    const queue = new MemoryBackend({ scheduler: new VirtualClock().scheduler, logger: silentLogger });
    const source = new Subject<number>();
    const seen: unknown[] = [];
    source.pipe(publishTo(queue, toEntry)).subscribe({
      next: (n) => {
        seen.push(n);
        if (n > 1) return;
        source.next(2);
        source.complete();
      },
      complete: () => seen.push('end'),
    });
    source.next(1);
    expect([seen, queue.size]).toEqual([[1, 2, 'end'], 2]);
  });

  it('emits in the frame of the value in marbles, also after long synchronous work', () => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    const start = performance.now();
    while (performance.now() - start < 10) void new MemoryBackend({ logger: silentLogger }).publish('key', {});
    scheduler.run(({ hot, expectObservable, flush }) => {
      const queue = new MemoryBackend({ scheduler, logger: silentLogger });
      const published$ = hot('          a-(bcd)-e---|').pipe(publishTo(queue, (key) => [key, {}]));
      expectObservable(published$).toBe('a-(bcd)-e---|');
      flush();
      expect(queue.size).toBe(5);
    });
  });
});

describe('publishTo throws for', () => {
  it.each<[string, string, unknown[]]>([
    ['queue', 'TypeError', [undefined, toEntry]],
    ['queue', 'TypeError', [null, toEntry]],
    ['queue', 'TypeError', [{}, toEntry]],
    ['toEntry', 'TypeError', [new MemoryBackend(), undefined]],
    ['toEntry', 'TypeError', [new MemoryBackend(), ['key', {}]]],
    ['concurrency', 'RangeError', [new MemoryBackend(), toEntry, { concurrency: 0 }]],
    ['concurrency', 'RangeError', [new MemoryBackend(), toEntry, { concurrency: 1.5 }]],
    ['concurrency', 'RangeError', [new MemoryBackend(), toEntry, { concurrency: Number.NaN }]],
    ['concurrency', 'TypeError', [new MemoryBackend(), toEntry, { concurrency: '2' }]],
    ['concurrency', 'TypeError', [new MemoryBackend(), toEntry, { concurrency: null }]],
    ['options', 'TypeError', [new MemoryBackend(), toEntry, null]],
    ['options', 'TypeError', [new MemoryBackend(), toEntry, 5]],
  ])('an invalid `%s`, with a %s that names it, before the subscription', (name, error, [queue, entry, options]) => {
    const made = () => publishTo(queue as MemoryBackend, entry as typeof toEntry, options as PublishToOptions);
    expect(thrownBy(made)).toMatchObject({ name: error, message: expect.stringContaining(`\`${name}\``) });
  });

  it('no undefined option', () => {
    expect(() => publishTo(new MemoryBackend(), toEntry, { concurrency: undefined })).not.toThrow();
    expect(() => publishTo(new MemoryBackend(), toEntry, undefined)).not.toThrow();
  });
});
