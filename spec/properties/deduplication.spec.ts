import fc from 'fast-check';
import { take } from 'rxjs';
import { MemoryBackend } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { stateOf, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const WINDOW = 100;

const id = fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined });
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('publish' as const), id, delay: fc.constantFrom(0, 0, 30) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('advance' as const), by: fc.constantFrom(1, 40, 99, 100) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), index: fc.nat(10) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const) }) },
);

type Policy = 'wait' | 'error' | 'drop-oldest' | 'drop-newest';

interface ModelPublish {
  readonly n: number;
  readonly id: string | undefined;
  outcome: 'pending' | 'fulfilled' | 'rejected';
}

/** Rule 15 as a model, with linear searches. All waiting messages of a queue are in one array. */
class Model {
  readonly publishes: ModelPublish[] = [];
  waiting: number[] = [];
  now = 0;
  readonly #stored: { readonly id: string; readonly at: number }[] = [];

  constructor(
    readonly capacity: number,
    readonly overflow: Policy,
  ) {}

  publish(n: number, id: string | undefined): void {
    const publish: ModelPublish = { n, id, outcome: 'pending' };
    this.publishes.push(publish);
    const blocked = this.publishes.some((other) => other !== publish && other.outcome === 'pending');
    if (this.#isDuplicate(id)) publish.outcome = 'fulfilled';
    else if (!blocked && this.waiting.length < this.capacity) this.#store(publish);
    else if (this.overflow === 'error') publish.outcome = 'rejected';
    else if (this.overflow === 'drop-newest') publish.outcome = 'fulfilled';
    else if (this.overflow === 'drop-oldest') {
      this.waiting.shift();
      this.#store(publish);
    }
  }

  abort(index: number): void {
    const pending = this.publishes.filter(({ outcome }) => outcome === 'pending');
    const publish = pending[index % pending.length];
    if (publish === undefined) return;
    publish.outcome = 'rejected';
    this.#admit();
  }

  remove(numbers: readonly number[]): void {
    this.waiting = this.waiting.filter((n) => !numbers.includes(n));
    this.#admit();
  }

  #admit(): void {
    for (const publish of this.publishes.filter(({ outcome }) => outcome === 'pending')) {
      if (this.#isDuplicate(publish.id)) publish.outcome = 'fulfilled';
      else if (this.waiting.length < this.capacity) this.#store(publish);
      else return;
    }
  }

  #isDuplicate(id: string | undefined): boolean {
    return this.#stored.some((stored) => stored.id === id && this.now - stored.at < WINDOW);
  }

  #store(publish: ModelPublish): void {
    publish.outcome = 'fulfilled';
    this.waiting.push(publish.n);
    if (publish.id !== undefined) this.#stored.push({ id: publish.id, at: this.now });
  }
}

describe('MemoryBackend with ids and a model of rule 15', () => {
  it('store the same messages and settle each publish in the same way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(Number.POSITIVE_INFINITY, 1, 3),
        fc.constantFrom<Policy>('wait', 'error', 'drop-oldest', 'drop-newest'),
        fc.array(operation, { maxLength: 40, size: 'max' }),
        async (capacity, overflow, operations) => {
          const clock = new VirtualClock();
          const { scheduler } = clock;
          const queue = new MemoryBackend({
            capacity,
            overflow,
            scheduler,
            dedupeWindow: WINDOW,
            logger: silentLogger,
          });
          const model = new Model(capacity, overflow);
          const answers: Promise<void>[] = [];
          const aborts: AbortController[] = [];
          const pending = () => model.publishes.filter(({ outcome }) => outcome === 'pending').map(({ n }) => n);
          for (const step of operations) {
            if (step.do === 'publish') {
              const n = answers.length;
              const controller = new AbortController();
              aborts.push(controller);
              // A delayed message has no position before it is due. Other tests cover which one is
              // the oldest.
              const delay = overflow === 'drop-oldest' || overflow === 'wait' ? 0 : step.delay;
              const answer = queue.publish('key', { n }, { id: step.id, delay, signal: controller.signal });
              answer.catch(() => {});
              answers.push(answer);
              model.publish(n, step.id);
            } else if (step.do === 'advance') {
              model.now += step.by;
              clock.advance(step.by);
            } else if (step.do === 'abort') {
              const numbers = pending();
              aborts[numbers[step.index % numbers.length] as number]?.abort();
              model.abort(step.index);
            } else {
              const views = await queue.peek({ limit: 1000 });
              const gone = step.do === 'purge' ? views : views.filter(({ due }) => due === undefined).slice(0, 1);
              if (step.do === 'purge') expect(await queue.purge()).toBe(gone.length);
              else
                queue
                  .deliveries()
                  .pipe(take(gone.length))
                  .subscribe((delivery) => void delivery.ack());
              model.remove(gone.map(({ payload }) => numberOf(payload)));
            }
            const waiting = (await queue.peek({ limit: 1000 })).map(({ payload }) => numberOf(payload));
            expect(waiting.sort((a, b) => a - b)).toEqual(model.waiting);
          }
          await turns(2);
          expect(await Promise.all(answers.map(stateOf))).toEqual(model.publishes.map(({ outcome }) => outcome));
        },
      ),
      { numRuns: 200 },
    );
  });
});
