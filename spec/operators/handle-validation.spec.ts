import { type HandleOptions, handle, MemoryBackend } from 'sluice';
import { Handled } from '../support/handling.js';
import { thrownBy } from '../support/promises.js';

const made = (options: unknown) => thrownBy(() => handle(() => {}, options as HandleOptions));

describe('handle throws for', () => {
  it.each([undefined, null, 'handler', {}, Promise.resolve()])('a handler that is not a function (%p)', (handler) => {
    expect(thrownBy(() => handle(handler as unknown as () => void))).toMatchObject({
      name: 'TypeError',
      message: expect.stringContaining('`handler`'),
    });
  });

  it.each([null, 5, 'options', true])('options that are not an object (%p)', (options) => {
    expect(made(options)).toMatchObject({ name: 'TypeError', message: expect.stringContaining('`options`') });
  });

  it.each<[option: string, error: string, value: unknown]>([
    ['concurrency', 'RangeError', 0],
    ['concurrency', 'RangeError', -1],
    ['concurrency', 'RangeError', 1.5],
    ['concurrency', 'RangeError', Number.NaN],
    ['concurrency', 'TypeError', '8'],
    ['concurrency', 'TypeError', null],
    ['concurrency', 'TypeError', 8n],
    ['orderBy', 'RangeError', 'payload'],
    ['orderBy', 'RangeError', ''],
    ['orderBy', 'TypeError', 5],
    ['orderBy', 'TypeError', null],
    ['orderBy', 'TypeError', {}],
    ['timeout', 'RangeError', 0],
    ['timeout', 'RangeError', -1],
    ['timeout', 'RangeError', Number.NaN],
    ['timeout', 'TypeError', '100'],
    ['timeout', 'TypeError', null],
    ['retry', 'TypeError', null],
    ['retry', 'TypeError', 3],
    ['retry', 'TypeError', false],
    ['retry.count', 'RangeError', { count: -1 }],
    ['retry.count', 'RangeError', { count: 1.5 }],
    ['retry.count', 'RangeError', { count: Number.NaN }],
    ['retry.count', 'TypeError', { count: '3' }],
    ['retry.count', 'TypeError', { count: null }],
    ['retry.delay', 'RangeError', { delay: -1 }],
    ['retry.delay', 'RangeError', { delay: Number.NaN }],
    ['retry.delay', 'RangeError', { delay: Number.POSITIVE_INFINITY }],
    ['retry.delay', 'TypeError', { delay: '100' }],
    ['retry.delay', 'TypeError', { delay: null }],
    ['retry.delay', 'TypeError', { delay: {} }],
    ['deliveryLimit', 'RangeError', 3],
    ['deliveryLimit', 'RangeError', 0],
    ['deliveryLimit', 'RangeError', 10.5],
    ['deliveryLimit', 'RangeError', Number.NaN],
    ['deliveryLimit', 'TypeError', '10'],
    ['deliveryLimit', 'TypeError', null],
    ['deadLetter', 'TypeError', null],
    ['deadLetter', 'TypeError', 'failed'],
    ['deadLetter', 'TypeError', {}],
    ['deadLetter', 'TypeError', { publish: true }],
    ['signal', 'TypeError', null],
    ['signal', 'TypeError', new AbortController()],
    ['signal', 'TypeError', {}],
    ['onOutcome', 'TypeError', null],
    ['onOutcome', 'TypeError', {}],
    ['scheduler', 'TypeError', null],
    ['scheduler', 'TypeError', {}],
    ['scheduler', 'TypeError', { now: () => 0 }],
    ['scheduler', 'TypeError', { schedule() {} }],
    ['logger', 'TypeError', null],
    ['logger', 'TypeError', {}],
    ['logger', 'TypeError', { debug() {}, warn() {} }],
    ['logger', 'TypeError', { debug() {}, error() {} }],
    ['logger', 'TypeError', { warn() {}, error() {} }],
  ])('an invalid `%s`, with a %s that names it, before the subscription (%p)', (option, name, value) => {
    const error = made({ [option.split('.')[0] as string]: value });
    expect(error).toMatchObject({ name, message: expect.stringContaining(`\`${option}\``) });
  });

  it('a deliveryLimit that is not greater than retry.count', () => {
    expect(made({ retry: { count: 10 }, deliveryLimit: 10 })).toMatchObject({
      name: 'RangeError',
      message: expect.stringContaining('`deliveryLimit` to be an integer of at least 11 (`retry.count` + 1)'),
    });
    expect(made({ retry: { count: Number.POSITIVE_INFINITY }, deliveryLimit: 1000 })).toMatchObject({
      name: 'RangeError',
    });
  });

  it('a long value, which the message shortens', () => {
    const error = made({ concurrency: 'x'.repeat(10_000) }) as Error;
    expect(error.message.length).toBeLessThan(200);
  });
});

describe('handle accepts', () => {
  it.each<[string, HandleOptions]>([
    ['none', {}],
    [
      'every option as undefined',
      {
        concurrency: undefined,
        orderBy: undefined,
        timeout: undefined,
        retry: undefined,
        deliveryLimit: undefined,
        deadLetter: undefined,
        signal: undefined,
        onOutcome: undefined,
        scheduler: undefined,
        logger: undefined,
      },
    ],
    ['the fields of retry as undefined', { retry: { count: undefined, delay: undefined } }],
    ['the least of each', { concurrency: 1, timeout: 1, retry: { count: 0, delay: 0 }, deliveryLimit: 1 }],
    ['an infinite count', { retry: { count: Number.POSITIVE_INFINITY }, deliveryLimit: Number.POSITIVE_INFINITY }],
    ['fractions of milliseconds', { timeout: 1.5, retry: { delay: 0.5 } }],
    ['the console as its logger', { logger: console }],
  ])('options: %s', (_, options) => {
    const queue = new MemoryBackend();
    const handled = new Handled(queue.deliveries(), () => 'done', options);
    void queue.publish('number', { n: 1 });
    expect(handled.values).toEqual(['done']);
  });

  it('any object with a publish method as deadLetter', () => {
    expect(() => handle(() => {}, { deadLetter: { publish: async () => {} } })).not.toThrow();
  });

  it('no options', () => {
    expect(() => handle(() => {})).not.toThrow();
    expect(() => handle(() => {}, undefined)).not.toThrow();
  });
});
