import { inspect } from 'node:util';
import { of, throwError } from 'rxjs';
import { handle, type Logger, MemoryBackend } from 'sluice';
import { FakeDelivery, Handled, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { runScript } from '../support/run-script.js';

const SECRET = 'card 4111-1111';

/** A logger that records every call with its details. */
function fullLogger(): Logger & { readonly told: { level: string; message: string; details: unknown[] }[] } {
  const told: { level: string; message: string; details: unknown[] }[] = [];
  const tell =
    (level: string): Logger['warn'] =>
    (message, ...details) =>
      void told.push({ level, message, details });
  return { told, debug: tell('debug'), warn: tell('warn'), error: tell('error') };
}

describe('Logs of handle', () => {
  it.each([undefined, 'key' as const])(
    'contain the key, the id, the attempt and the next step of a failure (orderBy: %p)',
    async (orderBy) => {
      const logger = fullLogger();
      const boom = new Error('boom');
      const processing = new Processing(
        () => {
          throw boom;
        },
        { logger, orderBy, retry: { count: 1, delay: 1234 } },
      );
      void processing.queue.publish('orders.created', { secret: SECRET });
      const id = processing.outcomes[0]?.delivery.id as string;
      const fields = { queue: 'work', key: 'orders.created', id, error: boom };
      expect(logger.told).toEqual([
        { level: 'warn', message: expect.any(String), details: [{ ...fields, attempt: 1 }] },
      ]);
      const [first] = logger.told;
      for (const part of ['orders.created', 'work', id, 'attempt 1', 'boom', '1234'])
        expect(first?.message.split(part).length).toBe(2);
      await processing.pass(1234);
      expect(logger.told.slice(1)).toEqual([
        { level: 'error', message: expect.any(String), details: [{ ...fields, attempt: 2 }] },
      ]);
      for (const part of ['orders.created', 'work', id, 'attempt 2', 'boom', 'reject'])
        expect(logger.told[1]?.message.split(part).length).toBe(2);
    },
  );

  it('contain a warning for a dead letter and an error if it could not be delivered', async () => {
    const logger = fullLogger();
    const processing = new Processing(() => throwError(() => new Error('boom')), {
      logger,
      retry: { count: 0, delay: 1 },
      deadLetter: () => Promise.reject(new Error('gone')),
    });
    processing.publish([1]);
    await turns();
    expect(logger.told.map(({ level }) => level)).toEqual(['warn', 'error']);
    expect(logger.told[0]?.message).toContain('it is dead-lettered');
    for (const part of ['gone', '1000', 'number', 'attempt 1']) expect(logger.told[1]?.message).toContain(part);
    processing.subscription.unsubscribe();
  });

  it('are empty if nothing fails', async () => {
    const processing = new Processing(async () => 'fine');
    processing.publish([1, 2, 3]);
    await turns();
    const { debugs, warnings, errors } = processing.logger;
    expect([debugs, warnings, errors]).toEqual([[], [], []]);
  });

  it('contain a failure after a manual settlement', async () => {
    const processing = new Processing((delivery) => {
      void delivery.ack();
      throw new Error('boom');
    });
    processing.publish([1]);
    expect([...processing.logger.warnings, ...processing.logger.errors]).toEqual([
      expect.stringMatching(/number.*boom/),
    ]);
  });

  it('never contain the payload', async () => {
    const logger = fullLogger();
    const consoled: unknown[] = [];
    const methods = ['debug', 'log', 'info', 'warn', 'error'] as const;
    const spies = methods.map((method) =>
      jest.spyOn(console, method).mockImplementation((...told: unknown[]) => void consoled.push(told)),
    );
    try {
      const queue = new MemoryBackend({ logger });
      const failures: (() => unknown)[] = [
        () => {
          throw new Error('boom');
        },
        () => Promise.reject(new Error('boom')),
        () => Promise.reject({ code: 5 }),
        () => new Promise(() => {}),
      ];
      for (const logged of [logger, undefined]) {
        for (const fail of failures) {
          for (const deadLetter of [undefined, () => Promise.reject(new Error('gone'))]) {
            const handled = queue.deliveries().pipe(
              handle(fail, {
                timeout: 1,
                retry: { count: 0 },
                deadLetter,
                logger: logged,
                onOutcome: () => {
                  throw new Error('listener');
                },
              }),
            );
            const subscription = handled.subscribe();
            void queue.publish('number', { secret: SECRET }, { headers: { trace: SECRET } });
            await new Promise((resolve) => setTimeout(resolve, 5));
            await turns();
            subscription.unsubscribe();
            queue.clear();
          }
        }
      }
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    expect(logger.told.length).toBeGreaterThan(10);
    expect(consoled.length).toBeGreaterThan(10);
    const text = [logger.told, consoled].map((all) =>
      inspect(all, { depth: 20, maxStringLength: null, maxArrayLength: null }),
    );
    expect(text.join('\n')).not.toContain(SECRET);
  });

  it('never contain a payload that was thrown', async () => {
    const logger = fullLogger();
    const processing = new Processing(
      ({ payload }) => {
        throw payload;
      },
      { logger, retry: { count: 0 } },
    );
    void processing.queue.publish('number', { secret: SECRET });
    void processing.queue.publish('number', { name: 'Ada', message: 'hello', secret: SECRET });
    await turns();
    expect(logger.told.length).toBe(2);
    expect(inspect(logger.told, { depth: 20 })).not.toContain(SECRET);
  });

  it('go to the console by default, with one line per warning and error and without a stack', () => {
    const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
    const error = jest.spyOn(console, 'error').mockImplementation(() => {});
    try {
      const queue = new MemoryBackend({ logger: silentLogger, name: 'work' });
      const fail = function charge() {
        throw new Error('boom');
      };
      for (const count of [1, 0]) {
        const subscription = queue
          .deliveries()
          .pipe(handle(fail, { retry: { count, delay: 60_000 } }))
          .subscribe();
        void queue.publish('number', { n: 1 });
        subscription.unsubscribe();
        queue.clear();
      }
      const failure = String.raw`delivery \S+ \("number"\) from queue "work", attempt 1: Error: boom`;
      expect(warn.mock.calls).toEqual([
        [expect.stringMatching(new RegExp(`^A handler failed: ${failure}; .*60000 ms`))],
      ]);
      // An error ends with the stack frame in which the application threw it.
      const frame = String.raw`\(at \S*charge .*logging\.spec\.ts:\d+:\d+\)\)`;
      expect(error.mock.calls).toEqual([
        [expect.stringMatching(new RegExp(`^A message is given up: ${failure}; it is rejected ${frame}$`))],
      ]);
      expect([...warn.mock.calls, ...error.mock.calls].flat().filter((text) => /[\r\n]/.test(text))).toEqual([]);
    } finally {
      warn.mockRestore();
      error.mockRestore();
    }
  });

  it('do not affect messages if the logger throws, and the process is notified', async () => {
    const { output } = await runScript(`
      const { handle, MemoryBackend } = sluice;
      process.on('uncaughtException', ({ message }) => console.log('uncaught', message));
      const fail = () => { throw new Error('disk full'); };
      const logger = { debug: fail, warn: fail, error: fail };
      const queue = new MemoryBackend({ name: 'work' });
      const handler = ({ payload }) => { if (payload.n === 1) throw new Error('boom'); };
      const onOutcome = ({ status, delivery: { payload, attempt } }) => console.log(payload.n, attempt, status);
      queue.deliveries({ prefetch: 1 }).pipe(handle(handler, { concurrency: 2, logger, retry: { count: 1, delay: 1 }, onOutcome })).subscribe();
      await queue.publish('number', { n: 1 });
      await queue.publish('number', { n: 2 });
      await queue.join();
    `);
    const lines = output.split('\n').filter((line) => line !== '');
    expect(lines.filter((line) => !line.startsWith('uncaught'))).toEqual(['1 1 retried', '2 1 acked', '1 2 rejected']);
    // The prefetch warning, a failure, and a message that is given up.
    expect(lines.filter((line) => line === 'uncaught disk full').length).toBe(3);
  });
});

describe('handle warns once', () => {
  it('if the prefetch of a stream is less than its concurrency', () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger: silentLogger });
    const operator = handle(() => {}, { concurrency: 8, logger });
    queue.deliveries({ prefetch: 7 }).pipe(operator).subscribe().unsubscribe();
    const stream = queue.deliveries({ prefetch: 4 }).pipe(operator);
    stream.subscribe().unsubscribe();
    stream.subscribe().unsubscribe();
    expect(logger.warnings).toEqual([expect.stringMatching(/prefetch.*7.*concurrency.*8/)]);
  });

  it.each([
    ['equal', 8],
    ['greater', 9],
  ])('but not if the prefetch is %s', (_, prefetch) => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger: silentLogger });
    queue
      .deliveries({ prefetch })
      .pipe(handle(() => {}, { concurrency: 8, logger }))
      .subscribe()
      .unsubscribe();
    expect(logger.warnings).toEqual([]);
  });

  it('but not for a source without a prefetch', () => {
    const handled = new Handled(of(new FakeDelivery(1)), () => 'fine', { concurrency: 8 });
    expect(handled.logger.warnings).toEqual([]);
  });
});
