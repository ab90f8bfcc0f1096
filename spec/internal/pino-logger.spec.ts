import { Writable } from 'node:stream';
import { type Logger as Pino, pino } from 'pino';
import { handle, MemoryBackend, type PinoLike, pinoLogger } from 'sluice';

/** A pino logger that records its entries. */
function recordingPino(): { readonly logger: Pino; readonly entries: Record<string, unknown>[] } {
  const entries: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(line: Buffer, _, done) {
      entries.push(JSON.parse(line.toString()));
      done();
    },
  });
  return { logger: pino({ level: 'debug' }, destination), entries };
}

const LEVELS = [
  ['debug', 20],
  ['warn', 40],
  ['error', 50],
] as const;

describe('pinoLogger', () => {
  it.each(LEVELS)('passes the message, the fields and the error with its stack to %s', (level, number) => {
    const { logger, entries } = recordingPino();
    const error = new TypeError('boom', { cause: new Error('root') });
    pinoLogger(logger)[level]('It failed', {
      queue: 'orders',
      group: 'billing',
      key: 'a\nb',
      id: '7',
      attempt: 2,
      error,
    });
    expect(entries).toEqual([
      expect.objectContaining({
        level: number,
        msg: 'It failed',
        queue: 'orders',
        group: 'billing',
        key: 'a\nb',
        id: '7',
        attempt: 2,
        err: expect.objectContaining({
          type: 'TypeError',
          message: expect.stringMatching(/^boom/),
          stack: expect.stringContaining(__filename),
        }),
      }),
    ]);
    expect(entries[0]).not.toHaveProperty('error');
  });

  it.each(LEVELS)('passes a message without details to %s', (level, number) => {
    const { logger, entries } = recordingPino();
    pinoLogger(logger)[level]('100 % done');
    expect(entries).toEqual([
      { level: number, time: expect.any(Number), pid: process.pid, hostname: expect.any(String), msg: '100 % done' },
    ]);
  });

  it('keeps the bindings of a child logger', () => {
    const { logger, entries } = recordingPino();
    pinoLogger(logger.child({ service: 'billing' })).warn('Careful', { queue: 'orders' });
    expect(entries).toEqual([expect.objectContaining({ service: 'billing', queue: 'orders', msg: 'Careful' })]);
  });

  it('calls the methods of the logger on the logger', () => {
    const calls: unknown[] = [];
    function record(this: unknown, ...call: unknown[]): void {
      calls.push([this, ...call]);
    }
    const like: PinoLike = { debug: record, warn: record, error: record };
    const { debug } = pinoLogger(like);
    debug('Done', { id: '7' });
    expect(calls).toEqual([[like, { id: '7' }, 'Done']]);
  });

  it('logs the failure of a handler with the fields of its message', async () => {
    const { logger, entries } = recordingPino();
    const queue = new MemoryBackend({ name: 'orders' });
    const fail = () => {
      throw new Error('boom');
    };
    queue
      .deliveries()
      .pipe(handle(fail, { retry: { count: 0 }, logger: pinoLogger(logger) }))
      .subscribe();
    await queue.publish('order', { n: 1 });
    await queue.join();
    const fields = {
      queue: 'orders',
      key: 'order',
      id: expect.any(String),
      attempt: 1,
      err: expect.objectContaining({ message: 'boom' }),
    };
    expect(entries).toEqual([expect.objectContaining({ level: 50, msg: expect.stringContaining('boom'), ...fields })]);
  });
});
