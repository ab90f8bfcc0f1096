import { type Delivery, type Logger, type ManagedQueue, receive } from 'sluice';
import { Holder } from './consumers.js';
import { engines } from './engines.js';
import { eventually } from './eventually.js';
import { failureOf } from './promises.js';
import type { BackendClass } from './provider.js';
import { recordingLogger, silentLogger } from './recording-logger.js';
import { namesOn } from './server-names.js';

const HOUR = 3_600_000;

type Calls<Queue> = Readonly<Record<string, (queue: Queue) => Promise<unknown>>>;

/** The calls that need a queue, by name. */
const CALLS: Calls<ManagedQueue> = {
  publish: (queue) => queue.publish('key', { n: 1 }),
  'a delayed publish': (queue) => queue.publish('key', { n: 1 }, { delay: HOUR, id: 'one' }),
  stats: (queue) => queue.stats(),
  groups: (queue) => queue.groups(),
  deleteGroup: (queue) => queue.deleteGroup('other'),
  purge: (queue) => queue.purge(),
  diagnose: (queue) => queue.diagnose?.() ?? Promise.resolve(),
};

/** The calls that need the group `default`. */
const GROUP_CALLS: Calls<ManagedQueue> = {
  'publish to a group': (queue) => queue.publish('key', { n: 1 }, { group: 'default' }),
  'a delayed publish to a group': (queue) => queue.publish('key', { n: 1 }, { group: 'default', delay: HOUR }),
  'stats of a group': (queue) => queue.stats({ group: 'default' }),
  'purge of a group': (queue) => queue.purge({ group: 'default' }),
  deliveries: (queue) => receive(queue),
};

interface Options {
  readonly create?: boolean;
  readonly groups?: readonly string[];
  readonly lease?: number;
  readonly logger?: Logger;
  readonly publishTimeout?: number;
}

interface Suite<Queue> {
  readonly name: string;
  readonly url: string;
  readonly server: { readonly port: number };
  open(options?: Options): Queue;
  ending(end: () => unknown): void;
  disconnect?(): Promise<void>;
}

/** What differs by engine. */
interface Engine<Queue> {
  readonly suite: Suite<Queue>;
  readonly Backend: BackendClass;
  /** Calls that only this engine has. */
  readonly calls?: Calls<Queue>;
  /** Whether the engine counts groups that only other backends declare, and has `peek`. */
  readonly foreignGroups: boolean;
  /** Deletes the test's queue like another program. */
  deleteQueue(): Promise<unknown>;
  /** Deletes a group of the test's queue like another program. */
  deleteGroup(name: string): Promise<unknown>;
}

/**
 * Tests what every engine does with `create: false`. Returns what the cases of one engine also need.
 */
export function creationCases<Queue extends ManagedQueue>(engine: Engine<Queue>) {
  const { suite, Backend, foreignGroups } = engine;
  const row = engines.find((each) => each.class === Backend.name);
  const groupCalls: Calls<Queue> = { ...GROUP_CALLS, ...(foreignGroups && { peek: (queue: Queue) => queue.peek() }) };
  const calls: Calls<Queue> = { ...CALLS, ...groupCalls, ...engine.calls };

  /** Opens the queue with a timeout so long that no refusal is mistaken for it. */
  const open = (options: Options = {}) => suite.open({ create: false, publishTimeout: 60_000, ...options });

  /** Creates the test's queue, with a backend that is closed before the test goes on. */
  const create = async (options: Options = {}, use = (queue: Queue): Promise<unknown> => queue.stats()) => {
    const queue = suite.open(options);
    await use(queue);
    await queue.close();
  };

  /** Lists what the server has for the queue, without what only counts or deduplicates. */
  const names = async () =>
    (await namesOn(suite.server)).filter((name) => name.includes(suite.name) && !/ count~|:published:/.test(name));

  const notFound = (what: string) => ({
    name: 'QueueNotFoundError',
    code: 'SLUICE_QUEUE_NOT_FOUND',
    message: `Queue "${suite.name}" ${what} (${row?.title} at 127.0.0.1:${suite.server.port})`,
  });

  /** Expects each call to fail, on the backend that `opened` returns for it. Returns the backends. */
  const expectRefused = async (what: string, opened: (index: number) => Queue, refused = calls) => {
    const failures: Record<string, unknown> = {};
    const queues: Queue[] = [];
    for (const [name, call] of Object.entries(refused)) {
      const queue = opened(queues.length);
      queues.push(queue);
      // A call that does not fail is reported under its name.
      failures[name] = await failureOf(call(queue)).catch((error: Error) => error);
    }
    expect(failures).toMatchObject(Object.fromEntries(Object.keys(refused).map((name) => [name, notFound(what)])));
    return queues;
  };

  it('refuses each call if the queue does not exist, and creates nothing', async () => {
    await expectRefused('does not exist', () => open());
    await expectRefused('does not exist', () => open({ groups: ['default', 'audit'] }));
    expect(await names()).toEqual([]);
  });

  it('refuses each call if a declared group does not exist, and creates nothing', async () => {
    await create({ groups: ['default'] });
    const before = await names();
    const queues = await expectRefused('has no group "audit"', () => open({ groups: ['default', 'audit'] }));
    expect(await names()).toEqual(before);
    await create({ groups: ['audit'] });
    await Promise.all(queues.map((queue) => queue.stats()));
  });

  it('needs only the queue without `groups`, and does not create `default`', async () => {
    const declaring = suite.open({ groups: ['billing'] });
    await declaring.publish('key', { n: 1 });
    const before = await names();
    const queue = open();
    await queue.publish('key', { n: 2 });
    await expectRefused('has no group "default"', () => queue, groupCalls);
    await expectRefused('has no group "default"', () => open(), groupCalls);
    await queue.publish('key', { n: 3 });
    const all = { ready: 3, unfinished: 3 };
    expect(await declaring.stats({ group: 'billing' })).toEqual(all);
    expect(await queue.stats()).toEqual(foreignGroups ? all : { ready: 0, unfinished: 0 });
    expect(await queue.groups()).toEqual(foreignGroups ? [expect.objectContaining({ name: 'billing', ...all })] : []);
    expect(await queue.purge()).toBe(foreignGroups ? 3 : 0);
    expect(await names()).toEqual(before);
  });

  it.each([{}, { groups: ['a', 'b'] }])(
    'works when the queue is created later, with the options %j',
    async (options: Options) => {
      const { groups = ['default'] } = options;
      const queue = open(options);
      expect(await failureOf(queue.stats())).toMatchObject(notFound('does not exist'));
      await create(options);
      await queue.publish('key', { n: 1 });
      expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
      await queue.publish('key', { n: 2 }, { group: groups.at(-1), delay: 1 });
      const settle = (delivery: Delivery) => void (delivery.attempt > 1 ? delivery.ack() : delivery.nack({ delay: 1 }));
      const holders = groups.map((group) => new Holder(queue, { group }, settle));
      await eventually(() =>
        holders.every(({ attempts }) => attempts.some(([n, attempt]) => n === 1 && attempt === 2)),
      );
      await eventually(() => holders.at(-1)?.deliveries.length === 4);
      // Everything was consumed, and the queue still exists.
      await eventually(async () => (await queue.stats()).unfinished === 0);
      await suite.disconnect?.();
      await eventually(() => queue.publish('key', { n: 3 }).then(() => true));
      await eventually(() => holders.every(({ numbers }) => numbers.includes(3)));
      expect(await queue.groups()).toHaveLength(groups.length);
    },
  );

  it('refuses each call after another program has deleted the queue', async () => {
    await create();
    const queues = Object.keys(calls).map(() => open());
    await Promise.all(queues.map((queue) => queue.stats()));
    await engine.deleteQueue();
    await expectRefused('does not exist', (index) => queues[index] as Queue);
    expect(await names()).toEqual([]);
  });

  it('ends consumers, idle and busy, when the queue is deleted, and does not create it again', async () => {
    const groups = ['default', 'idle', 'busy'];
    for (const [group, delay] of [['default'], ['busy'], ['idle', HOUR], [undefined, HOUR]] as const)
      await create({ groups }, (queue) => queue.publish('key', { n: 1 }, { group, delay }));
    const logger = recordingLogger();
    const [queue, undeclared] = [open({ groups, lease: 300, logger }), open({ lease: 300, logger })];
    const holders = ['idle', 'busy'].map((group) => new Holder(queue, { group }));
    holders.push(new Holder(undeclared));
    await queue.publish('key', { n: 2 }, { delay: HOUR });
    await eventually(() => holders.slice(1).every(({ deliveries }) => deliveries.length === 1));
    await engine.deleteQueue();
    await eventually(() => holders.every(({ error }) => error !== undefined));
    expect(holders.map(({ error }) => error)).toMatchObject(holders.map(() => notFound('does not exist')));
    for (const own of [queue, undeclared]) {
      await expectRefused('does not exist', () => own);
      await own.close();
    }
    expect(await names()).toEqual([]);
    expect(logger.warnings.filter((line) => /(?:created|declared) again/.test(line))).toEqual([]);
  });

  it('ends the consumer of a group that is deleted, and does not create it again', async () => {
    await create({ groups: ['a', 'b'] });
    const queue = open({ groups: ['a', 'b'], lease: 300 });
    const holder = new Holder(queue, { group: 'a' });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const before = await names();
    await engine.deleteGroup('a');
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject(notFound('has no group "a"'));
    expect(await failureOf(queue.stats({ group: 'a' }))).toMatchObject(notFound('has no group "a"'));
    const after = await names();
    expect(before.filter((name) => !after.includes(name))).toHaveLength(1);
  });

  it('is read from QUEUE_CREATE', async () => {
    const env = { [String(row?.variable)]: suite.url, QUEUE_NAME: suite.name, QUEUE_CREATE: 'false' };
    const queue = Backend.fromEnv(env, { logger: silentLogger });
    suite.ending(() => queue.close());
    expect(await failureOf(queue.stats())).toMatchObject(notFound('does not exist'));
  });

  it('logs nothing but the end of consumers', async () => {
    const logger = recordingLogger();
    const queue = open({ logger });
    await failureOf(queue.publish('key', {}));
    await failureOf(receive(queue));
    expect(logger.warnings).toEqual([]);
    expect(logger.errors).toEqual([expect.stringContaining('does not exist')]);
  });

  return { open, create, names, notFound, expectRefused };
}
