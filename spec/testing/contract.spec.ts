import { MemoryBackend } from 'sluice';
import { type BackendCapabilities, queueBackendContract } from 'sluice/testing';
import { thrownBy, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const EVERYTHING: BackendCapabilities = {
  groups: 'separate',
  addedGroups: 'held',
  shared: true,
  attempt: 'exact',
  release: 'uncounted',
  validation: 'json',
  close: 'at once',
  logger: true,
  dedupe: true,
  dedupeDelayed: true,
  managed: true,
  foreignGroups: 'counted',
  peek: true,
  purgeDelayed: true,
  lease: 1000,
  expire: async () => {},
  disconnect: async () => {},
  restart: async () => {},
};

const create = async () => new MemoryBackend({ logger: silentLogger });

describe('queueBackendContract', () => {
  it('has cases for all fifteen rules, even for a backend without capabilities', () => {
    const run = queueBackendContract(create).filter(({ skipped }) => skipped === undefined);
    const rules = new Set(run.map(({ rule }) => rule));
    expect([...rules]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
  });

  it('names each case uniquely, with its rule or `admin`', () => {
    const names = queueBackendContract(create, EVERYTHING).map(({ name, rule }) => {
      expect(name).toMatch(rule === 0 ? /^admin: / : new RegExp(`^rule ${rule}: `));
      return name;
    });
    expect(new Set(names).size).toBe(names.length);
  });

  it('skips only the cases of other behaviour for a backend with all capabilities', () => {
    const skipped = queueBackendContract(create, EVERYTHING).filter((candidate) => candidate.skipped !== undefined);
    expect(skipped.map(({ name }) => name)).toEqual([
      "rule 1: consumers of ignored groups compete (skipped: it needs `groups: 'ignored'`, and the backend has 'separate')",
      "rule 1: a publish for an ignored group reaches any consumer (skipped: it needs `groups: 'ignored'`, and the backend has 'separate')",
      "rule 2: an added group starts with the next message (skipped: it needs `addedGroups: 'next'`, and the backend has 'held')",
      "rule 11: close() drains streams: waiting, delayed and requeued messages are still delivered (skipped: it needs `close: 'drained'`, and the backend has 'at once')",
      'admin: peek() that the engine cannot do rejects with an UnsupportedOperationError (skipped: it needs `peek: false`)',
    ]);
  });

  it('creates no backend for a skipped case and prints the reason', async () => {
    const log = jest.spyOn(console, 'log').mockImplementation(() => {});
    const make = jest.fn(create);
    const skipped = queueBackendContract(make, { reasons: { shared: 'one process only' } }).filter(
      (candidate) => candidate.skipped !== undefined,
    );
    for (const { run } of skipped) await run();
    const printed = log.mock.calls.map(([text]) => String(text));
    log.mockRestore();
    expect(make).not.toHaveBeenCalled();
    expect(printed).toHaveLength(skipped.length);
    expect(printed).toContain(
      'Skipped: rule 1: consumers of two backends on one queue compete, because one process only',
    );
  });

  it('closes every backend of a case, also if the case fails', async () => {
    const made: MemoryBackend[] = [];
    const make = async () => {
      const backend = new MemoryBackend({ logger: silentLogger });
      made.push(backend);
      // A queue that delivers nothing fails every case with a consumer.
      jest.spyOn(backend, 'deliveries').mockReturnValue(new MemoryBackend({ logger: silentLogger }).deliveries());
      return backend;
    };
    const cases = queueBackendContract(make, { deadline: 20 }).filter(
      ({ rule, skipped }) => rule < 3 && skipped === undefined,
    );
    const results = await Promise.allSettled(cases.map(({ run }) => run()));
    expect(results.some(({ status }) => status === 'rejected')).toBe(true);
    expect(made.length).toBeGreaterThanOrEqual(cases.length);
    // A backend that is created too late for its case is closed afterwards.
    for (let look = 0; look < 1000 && made.some(({ closed }) => !closed); look++) await turns();
    expect(made.filter(({ closed }) => !closed)).toEqual([]);
  });

  it('fails a case whose backend cannot be created or closed', async () => {
    const refused = queueBackendContract(() => Promise.reject(new Error('ECONNREFUSED')));
    await expect(refused[0]?.run()).rejects.toThrow('ECONNREFUSED');
    const stuck = queueBackendContract(
      async () =>
        Object.assign(new MemoryBackend({ logger: silentLogger }), { close: () => new Promise<void>(() => {}) }),
      { deadline: 20 },
    );
    const first = stuck.find(({ name }) => name.startsWith('rule 2: a payload'));
    await expect(first?.run()).rejects.toThrow('Waited 20 ms for close() to resolve');
  });

  it('passes ten times concurrently', async () => {
    const failed: string[] = [];
    const runAll = async () => {
      for (const { name, run, skipped } of queueBackendContract(create, { close: 'drained', scale: 0.1 })) {
        if (skipped === undefined) await run().catch((error: unknown) => failed.push(`${name}: ${error}`));
      }
    };
    await Promise.all(Array.from({ length: 10 }, runAll));
    expect(failed).toEqual([]);
  }, 60_000);

  it.each<[string, unknown, string]>([
    ['a string', 'redis', '`capabilities`'],
    ['an unknown name', { restarts: true }, '`capabilities.restarts`'],
    ['an unknown value', { groups: 'some' }, "`capabilities.groups` to be separate or ignored, got 'some'"],
    ['a flag that is not a boolean', { shared: 'yes' }, '`capabilities.shared`'],
    ['a hook that is not a function', { restart: true }, '`capabilities.restart` to be a function'],
    ['a deadline of 0', { deadline: 0 }, '`capabilities.deadline`'],
    ['a scale above 1', { scale: 2 }, '`capabilities.scale`'],
    ['reasons that are not an object', { reasons: 5 }, '`capabilities.reasons` to be an object, got 5'],
    ['a reason for an unknown capability', { reasons: { shard: 'x' } }, '`capabilities.reasons.shard` to be absent'],
    [
      'a reason that is not a string',
      { reasons: { shared: 5 } },
      '`capabilities.reasons.shared` to be a non-empty string',
    ],
    ['an empty reason', { reasons: { shared: '' } }, '`capabilities.reasons.shared` to be a non-empty string'],
  ])('throws for capabilities with %s', (_, capabilities, text) => {
    const error = thrownBy(() => queueBackendContract(create, capabilities as BackendCapabilities));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(text);
  });

  it.each([
    ['undefined', undefined, 'with a method `publish`, got undefined'],
    ['an object without a method', { publish() {}, consume() {} }, 'with a method `deliveries`, got object'],
  ])('fails a case whose `create` resolves to %s, with a clear message', async (_, made, text) => {
    await expect(queueBackendContract(async () => made as never)[0]?.run()).rejects.toThrow(text);
  });

  it('throws for a `create` that is not a function', () => {
    expect(thrownBy(() => queueBackendContract({} as never))).toMatchObject({
      name: 'TypeError',
      message: expect.stringContaining('`create`'),
    });
  });
});
