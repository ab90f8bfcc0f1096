import { setImmediate } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { handle, type Logger, MemoryBackend } from 'sluice';
import { defaultLogger, shieldLogger, toOneLine } from '../../src/internal/logger.js';
import { runScript } from '../support/run-script.js';

/** Characters that start a line, control a terminal or change the text direction. */
const DANGEROUS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

const FORGED = 'a\n[ERROR] forged\u001b[31m\r\u009b2J\u202ecod\u2067\u2029\u0085';

interface Logged {
  readonly level: keyof Logger;
  readonly message: string;
  readonly details: object[];
}

/** A logger that records its calls. */
function completeLogger(): Logger & { readonly logged: Logged[] } {
  const logged: Logged[] = [];
  const log =
    (level: keyof Logger) =>
    (message: string, ...details: object[]) =>
      void logged.push({ level, message, details });
  return { logged, debug: log('debug'), warn: log('warn'), error: log('error') };
}

/** Runs `act` and returns the arguments of each console call. */
async function consoleCalls(act: () => unknown): Promise<unknown[][]> {
  const calls: unknown[][] = [];
  const methods = ['debug', 'log', 'info', 'warn', 'error'] as const;
  const spies = methods.map((method) =>
    jest.spyOn(console, method).mockImplementation((...call: unknown[]) => void calls.push([method, ...call])),
  );
  try {
    await act();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return calls;
}

describe('toOneLine', () => {
  it.each([
    ['line breaks', 'a\r\nb\u0085c\u2028d\u2029e\u000bf\u000cg', 'a\\r\\nb\\u0085c\\u2028d\\u2029e\\u000bf\\u000cg'],
    [
      'other control characters of C0',
      'a\u0000b\u0007c\u001b[31md\te\u007f',
      'a\\u0000b\\u0007c\\u001b[31md\\te\\u007f',
    ],
    ['control characters of C1', '\u009b31m\u009d0;title\u009c\u0080', '\\u009b31m\\u009d0;title\\u009c\\u0080'],
    [
      'marks of direction',
      '\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e',
      '\\u061c\\u200e\\u200f\\u202a\\u202b\\u202c\\u202d\\u202e',
    ],
    ['isolates of direction', '\u2066\u2067\u2068\u2069', '\\u2066\\u2067\\u2068\\u2069'],
  ])('escapes %s', (_, text, escaped) => {
    expect(toOneLine(text)).toBe(escaped);
  });

  it('keeps every other text', () => {
    const text = 'Queue "Bücher — 本" \\ 100 % 👩‍💻 שלום';
    expect(toOneLine(text)).toBe(text);
  });

  it('leaves no dangerous character', () => {
    const all = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code)).join('');
    expect(toOneLine(all)).not.toMatch(DANGEROUS);
  });
});

describe('shieldLogger', () => {
  it('makes each message one line and passes the fields unchanged', () => {
    const logger = completeLogger();
    const error = new Error(FORGED);
    const shielded = shieldLogger(logger);
    for (const level of ['debug', 'warn', 'error'] as const) shielded[level](FORGED, { key: FORGED, error });
    expect(logger.logged.map(({ level }) => level)).toEqual(['debug', 'warn', 'error']);
    for (const { message, details } of logger.logged) {
      expect(message).not.toMatch(DANGEROUS);
      expect(details).toEqual([{ key: FORGED, error }]);
    }
  });

  it('passes no details if there are none', () => {
    const logger = completeLogger();
    shieldLogger(logger).warn('Careful');
    expect(logger.logged).toEqual([{ level: 'warn', message: 'Careful', details: [] }]);
  });

  it.each<[string, unknown, unknown]>([
    ['an object', { card: '4111' }, 'an object'],
    ['an array', ['4111'], 'an array'],
    ['a function', () => '4111', 'a function'],
    ['a string', 'too late', 'too late'],
    ['an error', new RangeError('boom'), new RangeError('boom')],
    ['an error of another realm', runInNewContext('new Error("boom")'), expect.objectContaining({ message: 'boom' })],
  ])(
    'passes errors and strings unchanged and describes other values, which may be the payload: %s',
    (_, error, expected) => {
      const logger = completeLogger();
      shieldLogger(logger).error('Failed', { queue: 'orders', error });
      expect(logger.logged[0]?.details).toEqual([{ queue: 'orders', error: expected }]);
    },
  );

  it('calls the methods of the logger on the logger', () => {
    class Counter {
      count = 0;
      debug() {
        this.count++;
      }
      warn() {
        this.count++;
      }
      error() {
        this.count++;
      }
    }
    const counter = new Counter();
    const { debug, warn, error } = shieldLogger(counter);
    debug('a');
    warn('b');
    error('c');
    expect(counter.count).toBe(3);
  });

  it('returns the same result for the same logger and for itself', () => {
    const logger = completeLogger();
    const shielded = shieldLogger(logger);
    expect([shieldLogger(logger), shieldLogger(shielded)]).toEqual([shielded, shielded]);
    expect(shieldLogger(logger)).toBe(shielded);
    expect(shieldLogger(shielded)).toBe(shielded);
  });

  it('throws each error of a logger as an uncaught exception and lets its caller continue', async () => {
    const { output } = await runScript(`
      const { handle, MemoryBackend, receive } = sluice;
      process.on('uncaughtException', ({ message }) => console.log('uncaught', message));
      const fail = (message) => { throw new Error('disk full'); };
      const queue = new MemoryBackend({ logger: { debug: fail, warn: fail, error: fail } });
      await queue.publish('key', {});
      const delivery = await receive(queue);
      console.log(await delivery.ack(), await delivery.ack(), await delivery.ack());
    `);
    expect(output.split('\n').filter((line) => line !== '')).toEqual([
      'true false false',
      'uncaught disk full',
      'uncaught disk full',
    ]);
  });
});

describe('defaultLogger', () => {
  it('prints warnings and errors in one call with one text, and no debug lines', async () => {
    const calls = await consoleCalls(() => {
      for (const level of ['debug', 'warn', 'error'] as const)
        defaultLogger[level](`${level} 100 %s`, { queue: 'orders', key: FORGED });
    });
    expect(calls).toEqual([
      ['warn', 'warn 100 %s'],
      ['error', 'error 100 %s'],
    ]);
  });

  it('ends an error with the first frame of the application', async () => {
    const error = new Error('boom');
    error.stack = [
      'Error: boom',
      '    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)',
      '    at Array.map (<anonymous>)',
      '    at async <anonymous>',
      '    at send (/app/node_modules/redis/index.js:1:1)',
      '    at charge (/app/src/billing.ts:7:11)',
      '    at run (/app/src/main.ts:3:1)',
    ].join('\n');
    expect(await consoleCalls(() => defaultLogger.error('It failed', { error }))).toEqual([
      ['error', 'It failed (at charge (/app/src/billing.ts:7:11))'],
    ]);
    expect(await consoleCalls(() => defaultLogger.warn('It failed', { error }))).toEqual([['warn', 'It failed']]);
  });

  it('treats the top level of a module as a frame of the application', async () => {
    const error = new Error('boom');
    error.stack = 'Error: boom\n    at new Promise (<anonymous>)\n    at Object.<anonymous> (/app/src/main.js:3:1)';
    const [call] = await consoleCalls(() => defaultLogger.error('It failed', { error }));
    expect(call).toEqual(['error', 'It failed (at Object.<anonymous> (/app/src/main.js:3:1))']);
  });

  it('does not mistake a line of the message for a frame', async () => {
    const error = new Error('boom\n    at forged (/etc/passwd:1:1)');
    const [call] = await consoleCalls(() => defaultLogger.error('It failed', { error }));
    expect(call?.[1]).toContain(`(at `);
    expect(call?.[1]).toContain(__filename);
    expect(call?.[1]).not.toContain('forged');
  });

  it('escapes a frame', async () => {
    const error = new Error('boom');
    error.stack = `Error: boom\n    at \u001b[31mcharge\u202e (/app/billing.ts:7:11)`;
    const [call] = await consoleCalls(() => defaultLogger.error('It failed', { error }));
    expect(call).toEqual(['error', 'It failed (at \\u001b[31mcharge\\u202e (/app/billing.ts:7:11))']);
  });

  it.each<[string, unknown]>([
    ['an error without a stack', Object.assign(new Error('boom'), { stack: undefined })],
    ['an error without frames', Object.assign(new Error('boom'), { stack: 'Error: boom' })],
    [
      'an error whose stack cannot be read',
      Object.defineProperty(new Error('boom'), 'stack', {
        get() {
          throw new Error('unreadable');
        },
      }),
    ],
    ['no error', { stack: '    at charge (/app/billing.ts:7:11)' }],
    ['nothing', undefined],
  ])('prints only the message for %s', async (_, error) => {
    expect(await consoleCalls(() => defaultLogger.error('It failed', { error }))).toEqual([['error', 'It failed']]);
  });
});

describe('A key that forges log lines', () => {
  const key = 'a\n[ERROR] forged\u001b[31m';
  const name = 'q\r\u009b2J\u202e';

  /** Fails, retries, gives up, rejects and settles twice, for messages with the key. */
  async function work(logger: Logger | undefined): Promise<void> {
    const queue = new MemoryBackend({ name, logger });
    let count = 0;
    const handled = queue.deliveries({ prefetch: 1 }).pipe(
      handle(
        (delivery) => {
          count += 1;
          if (count === 1) void delivery.reject(`no\n${delivery.key}`);
          else if (count === 2) void delivery.ack().then(() => delivery.ack());
          else throw new Error(`boom\n${delivery.key}`);
        },
        { logger, concurrency: 2, retry: { count: 1, delay: 0 }, deadLetter: () => Promise.reject(new Error(key)) },
      ),
    );
    const subscription = handled.subscribe();
    for (let n = 0; n < 3; n++) await queue.publish(key, { n });
    while (count < 4) await setImmediate();
    for (let turn = 0; turn < 5; turn++) await setImmediate();
    subscription.unsubscribe();
    queue.clear();
  }

  it('cannot start a line of a message', async () => {
    const logger = completeLogger();
    await work(logger);
    expect(logger.logged.filter(({ message }) => message.includes('forged')).length).toBeGreaterThanOrEqual(4);
    expect(logger.logged.filter(({ message }) => DANGEROUS.test(message))).toEqual([]);
    expect(logger.logged.some(({ details: [first] }) => (first as { key?: string } | undefined)?.key === key)).toBe(
      true,
    );
  });

  it('cannot start a line of the console', async () => {
    const calls = await consoleCalls(() => work(undefined));
    expect(calls.filter((call) => String(call[1]).includes('forged')).length).toBeGreaterThanOrEqual(4);
    expect(calls.filter((call) => call.length !== 2 || typeof call[1] !== 'string' || DANGEROUS.test(call[1]))).toEqual(
      [],
    );
  });
});
