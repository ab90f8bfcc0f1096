import { NEVER, of, Subject, type Subscription } from 'rxjs';
import {
  AsyncLoopConsumer,
  type HandleOptions,
  handle,
  inBatches,
  MemoryBackend,
  publishTo,
  toAsyncIterable,
} from 'sluice';
import { numberOf } from '../support/consumers.js';
import { Contexts } from '../support/contexts.js';
import { deferred, FakeDelivery, type TestHandler } from '../support/handling.js';
import { turns, until } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

let contexts: Contexts;
let clock: VirtualClock;
let queue: MemoryBackend;

beforeEach(() => {
  contexts = new Contexts();
  clock = new VirtualClock();
  queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger });
});

const publish = (publisher: string, ...numbers: number[]) =>
  contexts.in(publisher, () => {
    for (const n of numbers) void queue.publish('number', { n });
  });

/** Advances the clock in a context of its own. */
async function pass(milliseconds = 0): Promise<void> {
  await turns();
  contexts.in('clock', () => clock.advance(milliseconds));
  await turns();
}

/** Subscribes with a handler in the context `run` and records its values. */
function run(handler: TestHandler, options: HandleOptions = {}): Subscription {
  const { scheduler } = clock;
  return contexts.in('run', () =>
    queue
      .deliveries()
      .pipe(handle(handler, { scheduler, logger: silentLogger, ...options }))
      .subscribe({
        next: (value) => contexts.note(`value ${value}`),
        complete: () => contexts.note('complete'),
      }),
  );
}

/** The contexts of all notes. */
const seen = () => [...new Set(contexts.notes.map((note) => note.split(' in ')[1]))];

/** The distinct notes. */
const noted = () => [...new Set(contexts.notes.map((note) => note.split(' in ')[0]))];

describe('Async context of a handler', () => {
  it.each([1, 2, 8])('is that of the subscription, with a concurrency of %p', async (concurrency) => {
    run(
      async ({ payload }) => {
        contexts.note(`handler ${numberOf(payload)}`);
        await turns(1);
        contexts.note(`end ${numberOf(payload)}`);
        return numberOf(payload);
      },
      { concurrency, onOutcome: () => contexts.note('outcome') },
    );
    publish('publisher', 1, 2, 3);
    publish('another publisher', 4, 5, 6);
    await until(() => contexts.notes.length === 24);
    expect(seen()).toEqual(['run']);
  });

  it('is undefined if there was no storage at the subscription', async () => {
    queue
      .deliveries()
      .pipe(handle(() => contexts.note('handler')))
      .subscribe();
    publish('publisher', 1);
    await turns();
    expect(contexts.notes).toEqual(['handler in none']);
  });

  it.each<[string, HandleOptions]>([
    ['in the queue', {}],
    ['in place', { orderBy: () => contexts.note('orderBy') }],
  ])('is that of the subscription after a retry %s, for all functions', async (_, options) => {
    run(
      ({ payload, attempt }) => {
        contexts.note(`handler ${numberOf(payload)}#${attempt}`);
        throw new Error('failed');
      },
      {
        ...options,
        retry: {
          count: 1,
          delay: () => {
            contexts.note('delay');
            return 10;
          },
        },
        deadLetter: () => contexts.note('dead letter'),
        onOutcome: ({ status }) => contexts.note(status),
        logger: { ...silentLogger, warn: () => contexts.note('log') },
      },
    );
    publish('publisher', 1, 2);
    await pass(10);
    // In place, the second message follows the first.
    await pass(10);
    const orderBy = options.orderBy === undefined ? [] : ['orderBy'];
    expect(noted().sort()).toEqual(
      [
        'dead letter',
        'dead-lettered',
        'delay',
        'handler 1#1',
        'handler 1#2',
        'handler 2#1',
        'handler 2#2',
        'log',
        ...orderBy,
        'retried',
      ].sort(),
    );
    expect(seen()).toEqual(['run']);
  });

  it('is that of the subscription when a dead letter is published again', async () => {
    let failures = 0;
    const deadLetter = {
      publish: async () => {
        contexts.note('publish');
        if (failures++ === 0) throw new Error('not now');
      },
    };
    run(() => Promise.reject(new Error('failed')), {
      retry: { count: 0 },
      deadLetter,
      onOutcome: ({ status }) => contexts.note(status),
    });
    publish('publisher', 1);
    await pass(60_000);
    expect(contexts.notes).toEqual(['publish in run', 'publish in run', 'dead-lettered in run']);
  });

  it('is that of the subscription after a timeout', async () => {
    run(
      ({ attempt }) => {
        contexts.note(`handler #${attempt}`);
        return attempt === 1 ? NEVER : of('done');
      },
      { timeout: 10, retry: { delay: 10 }, onOutcome: ({ status }) => contexts.note(status) },
    );
    publish('publisher', 1);
    await pass(10);
    await pass(10);
    expect(contexts.notes).toEqual([
      'handler #1 in run',
      'retried in run',
      'handler #2 in run',
      'value done in run',
      'acked in run',
    ]);
  });

  it('is that of the subscription for values of an Observable that emits elsewhere, and for the next handler', async () => {
    const values = new Subject<string>();
    run(({ payload }) => {
      contexts.note(`handler ${numberOf(payload)}`);
      return numberOf(payload) === 1 ? values : 'second';
    });
    publish('publisher', 1, 2);
    contexts.in('elsewhere', () => {
      values.next('first');
      values.complete();
    });
    await turns();
    expect(contexts.notes).toEqual([
      'handler 1 in run',
      'value first in run',
      'handler 2 in run',
      'value second in run',
    ]);
  });

  it('is that of the subscription after an abort', async () => {
    const stop = new AbortController();
    const job = deferred();
    run(() => job.promise, { signal: stop.signal, onOutcome: ({ status }) => contexts.note(status) });
    publish('publisher', 1, 2);
    contexts.in('aborter', () => stop.abort());
    contexts.in('elsewhere', () => job.resolve());
    await turns();
    expect(contexts.notes).toEqual(['acked in run', 'released in run', 'complete in run']);
  });

  it('is that of the subscription when the subscriber unsubscribes', () => {
    const subscription = run(() => NEVER, { onOutcome: ({ status }) => contexts.note(status) });
    publish('publisher', 1, 2);
    contexts.in('leaver', () => subscription.unsubscribe());
    expect(contexts.notes).toEqual(['released in run', 'released in run']);
  });

  it('is that of each subscription', async () => {
    const handled = queue.deliveries().pipe(handle(() => contexts.note('handler')));
    const first = contexts.in('first', () => handled.subscribe());
    publish('publisher', 1);
    first.unsubscribe();
    contexts.in('second', () => handled.subscribe());
    publish('publisher', 2);
    await turns();
    expect(contexts.notes).toEqual(['handler in first', 'handler in second']);
  });

  it.each([1, 4])(
    'is not changed by a context that another handler enters, with a concurrency of %p',
    async (concurrency) => {
      const handler = async () => {
        contexts.note('handler');
        contexts.enter('entered');
        await turns(1);
      };
      run(handler, { concurrency, onOutcome: () => contexts.note('outcome') });
      publish('publisher', 1, 2, 3, 4, 5, 6);
      await until(() => contexts.notes.length === 12);
      expect(seen()).toEqual(['run']);
    },
  );

  it('is that of the subscription if the source emits elsewhere', async () => {
    const source = new Subject<FakeDelivery>();
    contexts.in('run', () =>
      source
        .pipe(
          handle(({ payload }) => {
            contexts.note('handler');
            return payload.n;
          }),
        )
        .subscribe({ next: (value) => contexts.note(`value ${value}`), complete: () => contexts.note('complete') }),
    );
    contexts.in('publisher', () => source.next(new FakeDelivery(1)));
    await turns();
    contexts.in('publisher', () => source.complete());
    expect(contexts.notes).toEqual(['handler in run', 'value 1 in run', 'complete in run']);
  });

  it('is that of the run() call of a consumer', async () => {
    const consumer = new AsyncLoopConsumer(queue, { concurrency: 2, scheduler: clock.scheduler, logger: silentLogger });
    const running = contexts.in('run', async () => {
      await consumer.run((_, { attempt }) => {
        contexts.note(`handler #${attempt}`);
        if (attempt === 1) throw new Error('failed');
      });
      contexts.note('end');
    });
    publish('publisher', 1);
    await pass(2000);
    await contexts.in('stopper', () => consumer.shutdown());
    await running;
    expect(contexts.notes).toEqual(['handler #1 in run', 'handler #2 in run', 'end in run']);
  });
});

describe('Async context downstream', () => {
  it('is that of the subscription to inBatches, for full, timed and last batches', async () => {
    const { scheduler } = clock;
    contexts.in('subscriber', () =>
      queue
        .deliveries()
        .pipe(inBatches({ maxSize: 2, maxWait: 10, scheduler }))
        .subscribe({
          next: (batch) => {
            contexts.note(`batch of ${batch.deliveries.length}`);
            void batch.ack();
          },
          complete: () => contexts.note('complete'),
        }),
    );
    publish('publisher', 1, 2, 3);
    await pass(10);
    publish('publisher', 4);
    void contexts.in('closer', () => queue.close());
    await pass(10);
    expect(contexts.notes).toEqual([
      'batch of 2 in subscriber',
      'batch of 1 in subscriber',
      'batch of 1 in subscriber',
      'complete in subscriber',
    ]);
  });

  it('is that of the subscription to publishTo, for everything it calls', async () => {
    const values = new Subject<number>();
    const answers: (() => void)[] = [];
    const slow = {
      publish: (_: string, payload: object) => {
        contexts.note(`publish ${numberOf(payload)}`);
        return new Promise<void>((resolve) => answers.push(resolve));
      },
    };
    contexts.in('subscriber', () =>
      values
        .pipe(
          publishTo(slow, (n) => {
            contexts.note(`entry ${n}`);
            return ['number', { n }];
          }),
        )
        .subscribe({ next: (n) => contexts.note(`value ${n}`), complete: () => contexts.note('complete') }),
    );
    contexts.in('one', () => values.next(1));
    contexts.in('two', () => values.next(2));
    contexts.in('ender', () => values.complete());
    for (const n of [0, 1]) {
      contexts.in('queue', () => answers[n]?.());
      await turns();
    }
    const expected = ['entry 1', 'publish 1', 'value 1', 'entry 2', 'publish 2', 'value 2', 'complete'];
    expect(contexts.notes).toEqual(expected.map((what) => `${what} in subscriber`));
  });

  it('is that of the loop over results', async () => {
    const results = queue.deliveries().pipe(handle(({ payload }) => numberOf(payload)));
    const loop = contexts.in('loop', async () => {
      for await (const result of toAsyncIterable(results)) contexts.note(`result ${result}`);
    });
    publish('publisher', 1, 2);
    await contexts.in('closer', () => queue.close());
    await loop;
    expect(contexts.notes).toEqual(['result 1 in loop', 'result 2 in loop']);
  });
});
