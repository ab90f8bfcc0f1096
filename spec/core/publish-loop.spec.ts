import fc from 'fast-check';
import { Connection, type Link } from '../../src/core/connection.js';
import { ConnectionLostError, EngineErrors, type ErrorKind } from '../../src/core/engine-errors.js';
import type { Pending } from '../../src/core/outbox.js';
import { type Batch, type PublishDriver, PublishLoop } from '../../src/core/publish-loop.js';
import { outcomeOf, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { type FakeLink, Stage } from './fake-link.js';
import { fakeTime, pass } from './fakes.js';

interface Parcel {
  readonly n: number;
  readonly size: number;
}

/** What happens to the next batch. */
type Fate = 'stored' | 'lost before' | 'lost after' | 'refused' | 'fatal' | 'late';

const LOSS = new ConnectionLostError('reset by peer');

/**
 * An engine that stores messages, unless its next fate says otherwise. It stores a resent message
 * once.
 */
class Engine implements PublishDriver<Link, Parcel> {
  readonly stored: number[] = [];
  readonly known = new Set<number>();
  readonly problems: string[] = [];
  readonly fates: Fate[] = [];
  readonly logger = recordingLogger();
  readonly window = { messages: 3, size: 10 };
  readonly connection: Connection<Link>;
  readonly loop: PublishLoop<Link, Parcel>;
  /** Unconfirmed messages. */
  #pending = new Map<number, Pending<Parcel>>();

  constructor(readonly mode: 'batch' | 'pipeline') {
    const { logger } = this;
    const classify = (error: unknown): ErrorKind =>
      error instanceof ConnectionLostError ? 'retryable' : String(error).includes('fatal') ? 'fatal' : 'refused';
    const failures = new EngineErrors(
      { engine: 'Broker', classify, explain: () => undefined },
      { queue: 'orders', server: 'here:1' },
    );
    this.connection = new Connection<Link>({
      server: 'Broker at here:1',
      queue: 'orders',
      connection: 'the queue',
      engine: 'Broker',
      logger,
      connectTimeout: 1000,
      classify: failures.classify,
      createLink: () => ({ connect: async () => {}, destroy: () => this.#pending.clear() }),
    });
    this.loop = new PublishLoop<Link, Parcel>({
      queueName: 'orders',
      connection: this.connection,
      publishTimeout: 1_000_000,
      maxPending: 4,
      failures,
      logger,
      driver: this,
    });
  }

  readonly #lost = new WeakSet<Link>();

  write(): Parcel {
    throw new Error('parcels are sent as they are');
  }

  sizeOf({ size }: Parcel): number {
    return size;
  }

  async send(link: Link, { messages }: Batch<Parcel>): Promise<void> {
    const open = messages.filter(({ isOver }) => !isOver);
    for (const pending of open) this.#pending.set(pending.parcel.n, pending);
    const size = [...this.#pending.values()].reduce((sum, { parcel }) => sum + parcel.size, 0);
    if (this.#pending.size > 1 && (this.#pending.size > this.window.messages || size > this.window.size)) {
      this.problems.push(`${this.#pending.size} messages of size ${size} in flight`);
    }
    const planned = this.fates.shift() ?? 'stored';
    await turns(1);
    const fate = this.#lost.has(link) ? 'lost before' : planned;
    if (fate === 'stored' || fate === 'late' || fate === 'lost after') {
      for (const { parcel } of open) {
        if (!this.known.has(parcel.n)) this.stored.push(parcel.n);
        this.known.add(parcel.n);
      }
    }
    // A link is ordered: a late confirm does not delay the storing.
    if (fate === 'late') await pass(10);
    const error = fate === 'refused' || fate === 'fatal' ? new Error(fate) : fate.startsWith('lost') ? LOSS : undefined;
    if (error === LOSS) {
      // Batches that were sent later over the same link are lost, too.
      this.#lost.add(link);
      this.connection.lose(link, LOSS);
    }
    for (const { parcel } of open) this.#pending.delete(parcel.n);
    if (this.mode === 'batch') {
      if (error !== undefined) throw error;
      return;
    }
    if (error === undefined) {
      this.loop.accepted();
      for (const pending of open) pending.confirm();
    } else if (fate === 'fatal') for (const pending of open) pending.fail(error);
    else this.loop.restart(error);
  }
}

beforeEach(fakeTime);
afterEach(() => jest.useRealTimers());

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ publish: fc.constantFrom(1, 4, 10, 20) }) },
  { weight: 2, arbitrary: fc.record({ pass: fc.constantFrom(0, 1, 50, 3000) }) },
);
const fates = fc.array(
  fc.constantFrom<Fate>('stored', 'stored', 'stored', 'late', 'lost before', 'lost after', 'refused', 'fatal'),
  { maxLength: 12 },
);

describe.each(['batch', 'pipeline'] as const)('PublishLoop in %s mode with an engine that fails at random', (mode) => {
  it('confirms stored messages in order and does not fail messages that a retry stores', async () => {
    const run = async (steps: readonly ({ publish: number } | { pass: number })[], plan: readonly Fate[]) => {
      jest.clearAllTimers();
      const engine = new Engine(mode);
      engine.fates.push(...plan);
      const published: Promise<void>[] = [];
      for (const step of steps) {
        if ('pass' in step) await pass(step.pass);
        else {
          published.push(engine.loop.send({ n: published.length, size: step.publish }));
          published.at(-1)?.catch(() => {});
        }
      }
      // Many short steps, so that tasks without a timer run, too.
      for (let round = 0; round < 40; round++) await pass(3000);
      const outcomes = await Promise.all(published.map((promise) => outcomeOf(promise)));
      const confirmed = outcomes.flatMap(({ state }, n) => (state === 'fulfilled' ? [n] : []));
      expect(outcomes.map(({ state }) => state)).not.toContain('pending');
      expect(engine.problems).toEqual([]);
      if (!plan.includes('fatal')) expect(confirmed).toEqual(published.map((_, n) => n));
      for (const n of confirmed) expect(engine.known.has(n)).toBe(true);
      const order = engine.stored.filter((n) => confirmed.includes(n));
      // In a pipeline, the next message may be stored before the refusal of the last one arrives.
      if (mode === 'batch' || !plan.includes('refused')) expect(order).toEqual([...order].sort((a, b) => a - b));
      expect(engine.loop.isEmpty).toBe(true);
      await engine.loop.close();
      engine.connection.close();
      await turns(2);
      expect(jest.getTimerCount()).toBe(0);
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 14 }), fates, run), { numRuns: 60 });
  });

  it('rejects messages that an unreachable engine cannot confirm at close()', async () => {
    const engine = new Engine(mode);
    engine.fates.push('lost before');
    const published = engine.loop.send({ n: 0, size: 1 });
    published.catch(() => {});
    const closed = engine.loop.close();
    for (let round = 0; round < 10; round++) await pass(1000);
    await closed;
    engine.connection.close();
    expect((await outcomeOf(published)).state).not.toBe('pending');
  });
});

describe('PublishLoop when its link is lost during a backoff', () => {
  it('sends nothing over the lost link', async () => {
    const stage = new Stage();
    stage.onLink = (link) => link.open();
    const { connection, logger } = stage;
    const failures = new EngineErrors(
      { engine: 'Broker', classify: () => 'retryable', explain: () => undefined },
      { queue: 'orders', server: 'here:1' },
    );
    const sent: boolean[] = [];
    let isPrepared = false;
    const loop = new PublishLoop<FakeLink, string>({
      queueName: 'orders',
      connection,
      publishTimeout: 100_000,
      maxPending: 10,
      failures,
      logger,
      driver: {
        mode: 'pipeline',
        window: { messages: 10, size: 10 },
        write: () => 'message',
        sizeOf: () => 1,
        isPrepared: () => isPrepared,
        prepare: async (link) => {
          isPrepared = true;
          connection.lose(link, LOSS);
          throw LOSS;
        },
        send: (link, { messages }) => {
          sent.push(connection.link === link);
          for (const pending of messages) pending.confirm();
        },
      },
    });
    const confirmed = loop.send('message');
    await turns(10);
    expect([stage.links.length, sent]).toEqual([2, []]);
    connection.renew(LOSS);
    await pass(1000);
    await confirmed;
    expect(sent).toEqual([true]);
    await loop.close();
    connection.close();
  });
});
