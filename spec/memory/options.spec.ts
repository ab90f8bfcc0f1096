import { type ConsumeOptions, MemoryBackend, type MemoryBackendOptions, type PublishOptions } from 'sluice';
import { rejectionOf, thrownBy } from '../support/promises.js';

type Bad = [parameter: string, error: 'TypeError' | 'RangeError', options: unknown];

function expectRefusal(error: unknown, [parameter, name]: Bad): void {
  expect(error).toMatchObject({ name, message: expect.stringContaining(parameter) });
  expect((error as Error).message).toMatch(/^Expected .* got /);
}

const BAD_CAPACITIES: Bad[] = [
  ...[0, -1, 1.5, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 53].map(
    (capacity): Bad => ['capacity', 'RangeError', { capacity }],
  ),
  ...['5', null, true, [], 5n].map((capacity): Bad => ['capacity', 'TypeError', { capacity }]),
];

const BAD_QUEUES: Bad[] = [
  ...BAD_CAPACITIES,
  ['overflow', 'RangeError', { overflow: 'drop' }],
  ['overflow', 'RangeError', { overflow: '' }],
  ['overflow', 'RangeError', { overflow: 'toString' }],
  ['overflow', 'TypeError', { overflow: null }],
  ['overflow', 'TypeError', { overflow: 1 }],
  ['groups', 'RangeError', { groups: [] }],
  ['groups', 'RangeError', { groups: ['billing', ''] }],
  ['groups', 'TypeError', { groups: ['billing', 5] }],
  ['groups', 'TypeError', { groups: 'billing' }],
  ['groups', 'TypeError', { groups: null }],
  ['groups', 'TypeError', { groups: new Set(['billing']) }],
  ['validate', 'RangeError', { validate: 'schema' }],
  ['validate', 'TypeError', { validate: true }],
  ['validate', 'TypeError', { validate: null }],
  ...[99, -1, Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY].map(
    (dedupeWindow): Bad => ['dedupeWindow', 'RangeError', { dedupeWindow }],
  ),
  ['dedupeWindow', 'TypeError', { dedupeWindow: '5' }],
  ['dedupeWindow', 'TypeError', { dedupeWindow: null }],
  ['name', 'RangeError', { name: '' }],
  ['name', 'RangeError', { name: 'n'.repeat(256) }],
  ['name', 'TypeError', { name: 5 }],
  ['name', 'TypeError', { name: null }],
  ['scheduler', 'TypeError', { scheduler: {} }],
  ['scheduler', 'TypeError', { scheduler: null }],
  ['logger', 'TypeError', { logger: { warn() {} } }],
  ['logger', 'TypeError', { logger: null }],
  ['options', 'TypeError', null],
  ['options', 'TypeError', 'orders'],
];

const BAD_CONSUMERS: Bad[] = [
  ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY].map(
    (prefetch): Bad => ['prefetch', 'RangeError', { prefetch }],
  ),
  ...['5', null, {}].map((prefetch): Bad => ['prefetch', 'TypeError', { prefetch }]),
  ['group', 'RangeError', { group: '' }],
  ['group', 'RangeError', { group: 'é'.repeat(128) }],
  ['group', 'TypeError', { group: 5 }],
  ['group', 'TypeError', { group: null }],
  ['signal', 'TypeError', { signal: {} }],
  ['signal', 'TypeError', { signal: null }],
  ['signal', 'TypeError', { signal: new AbortController() }],
  ['options', 'TypeError', null],
  ['options', 'TypeError', 'billing'],
];

const BAD_PUBLISHES: Bad[] = [
  ...[-1, -0.001, Number.NaN, Number.POSITIVE_INFINITY].map((delay): Bad => ['delay', 'RangeError', { delay }]),
  ...['5', null, new Date()].map((delay): Bad => ['delay', 'TypeError', { delay }]),
  ['id', 'RangeError', { id: '' }],
  ['id', 'RangeError', { id: 'é'.repeat(128) }],
  ['id', 'TypeError', { id: 5 }],
  ['id', 'TypeError', { id: null }],
  ['signal', 'TypeError', { signal: null }],
  ['signal', 'TypeError', { signal: 'abort' }],
  ['options', 'TypeError', null],
  ['options', 'TypeError', 5],
];

/** Adds a readable title of the given option to each row. */
const titled = (rows: Bad[]) =>
  rows.map((row) => ({ row, title: `${row[0]}: ${String(Object.values(row[2] ?? {})[0] ?? row[2])}`, error: row[1] }));

describe('Queue options', () => {
  it.each(titled(BAD_QUEUES))('throw a $error for $title', ({ row }) => {
    expectRefusal(
      thrownBy(() => new MemoryBackend(row[2] as MemoryBackendOptions)),
      row,
    );
  });

  it('are all optional', () => {
    expect(() => new MemoryBackend()).not.toThrow();
    expect(() => new MemoryBackend({})).not.toThrow();
    const undefinedOptions = {
      name: undefined,
      capacity: undefined,
      overflow: undefined,
      groups: undefined,
      validate: undefined,
      scheduler: undefined,
      logger: undefined,
    };
    expect(() => new MemoryBackend(undefinedOptions)).not.toThrow();
    expect(() => new MemoryBackend({ capacity: Number.POSITIVE_INFINITY, groups: 'ignored' })).not.toThrow();
  });

  it('are not affected by later changes to the list of groups', async () => {
    const groups = ['billing'];
    const queue = new MemoryBackend({ groups });
    groups.push('audit');
    void queue.publish('key', {});
    queue.deliveries({ group: 'billing' }).subscribe((delivery) => delivery.ack());
    expect(queue.unfinished).toBe(0);
  });
});

describe('Consumer options', () => {
  it.each(titled(BAD_CONSUMERS))('throw a $error for $title', ({ row }) => {
    const queue = new MemoryBackend();
    const options = row[2] as ConsumeOptions;
    expectRefusal(
      thrownBy(() => queue.deliveries(options)),
      row,
    );
    expectRefusal(
      thrownBy(() => queue.consume(options)),
      row,
    );
  });
});

describe('Publish options', () => {
  it.each(titled(BAD_PUBLISHES))('reject with a $error for $title, and nothing is enqueued', async ({ row }) => {
    const queue = new MemoryBackend();
    const published = queue.publish('key', {}, row[2] as PublishOptions);
    expectRefusal(await rejectionOf(published), row);
    expect(queue.unfinished).toBe(0);
  });
});

describe('Options of join()', () => {
  it.each(
    titled([
      ['signal', 'TypeError', { signal: {} }],
      ['signal', 'TypeError', { signal: null }],
      ['options', 'TypeError', null],
    ]),
  )('reject with a $error for $title', async ({ row }) => {
    const joined = new MemoryBackend().join(row[2] as { signal?: AbortSignal });
    expectRefusal(await rejectionOf(joined), row);
  });
});

describe('Options of close()', () => {
  it.each(
    titled([
      ['drain', 'TypeError', { drain: 'no' }],
      ['drain', 'TypeError', { drain: null }],
      ['options', 'TypeError', null],
    ]),
  )('reject with a $error for $title, and the queue stays open', async ({ row }) => {
    const queue = new MemoryBackend();
    const closed = queue.close(row[2] as { drain?: boolean });
    expectRefusal(await rejectionOf(closed), row);
    expect(queue.tryPublish('key', {})).toBe(true);
  });
});
