import fc from 'fast-check';
import { type Delivery, intercept, MemoryBackend } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

type Fate = 'pass' | 'keep' | 'fail';

/** What happens to one delivery at an interceptor: at once, or when the test says so. */
interface Plan {
  readonly later: boolean;
  readonly fate: Fate;
}

const plan = fc.record<Plan>({
  later: fc.boolean(),
  fate: fc.constantFrom<Fate>('pass', 'pass', 'keep', 'fail'),
});

/** A step picks one of what waits, by a number that is reduced to its count. */
const step = fc.oneof(
  fc.record({ kind: fc.constant('publish' as const) }),
  fc.record({ kind: fc.constantFrom('open' as const, 'ack' as const), pick: fc.nat(1000) }),
);

describe('Random interleavings of an asynchronous deliver', () => {
  it('emit in the order of the queue, within the prefetch, and lose nothing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { minLength: 1, maxLength: 12 }),
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        async (plans, steps, prefetch, leaves) => {
          const queue = new MemoryBackend({ logger: silentLogger });
          const waiting: (() => void)[] = [];
          const emitted: Delivery[] = [];
          const failed = new Set<number>();
          const kept = new Set<number>();
          const fulfil = (delivery: Delivery, fate: Fate): Delivery | undefined => {
            const n = numberOf(delivery.payload);
            if (fate === 'pass') return delivery;
            if (fate === 'keep') {
              kept.add(n);
              void delivery.ack();
              return undefined;
            }
            failed.add(n);
            // Rejected by hand: a requeue would wait for a timer.
            void delivery.reject();
            throw new Error('fails');
          };
          const intercepted = intercept(queue, {
            deliver(delivery) {
              const { later, fate } = plans[numberOf(delivery.payload) % plans.length] as Plan;
              if (!later) return fulfil(delivery, fate);
              return new Promise<void>((resolve) => waiting.push(resolve)).then(() => fulfil(delivery, fate));
            },
          });
          const logged = jest.spyOn(console, 'error').mockImplementation(() => {});
          const subscription = intercepted.deliveries({ prefetch }).subscribe((delivery) => emitted.push(delivery));
          let published = 0;
          const take = <Item>(items: Item[], pick: number): Item | undefined =>
            items.length === 0 ? undefined : items.splice(pick % items.length, 1)[0];
          const unsettled: Delivery[] = [];
          let noted = 0;
          const pass = async (): Promise<void> => {
            await turns(1);
            for (; noted < emitted.length; noted++) unsettled.push(emitted[noted] as Delivery);
            expect(queue.inFlight).toBeLessThanOrEqual(prefetch);
            const numbers = emitted.map(({ payload }) => numberOf(payload));
            expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
          };
          for (const { kind, ...rest } of steps) {
            const { pick = 0 } = rest as { pick?: number };
            if (kind === 'publish') void queue.publish('key', { n: published++ });
            else if (kind === 'open') take(waiting, pick)?.();
            else void take(unsettled, pick)?.ack();
            await pass();
          }
          if (leaves) {
            const done = emitted.filter(({ settled }) => settled).length + kept.size + failed.size;
            subscription.unsubscribe();
            for (let open = take(waiting, 0); open !== undefined; open = take(waiting, 0)) open();
            await turns(1);
            expect([queue.size, queue.inFlight]).toEqual([published - done, 0]);
          } else {
            while (queue.unfinished > 0) {
              take(waiting, 0)?.();
              await pass();
              void take(unsettled, 0)?.ack();
            }
            expect(emitted.length + kept.size + failed.size).toBe(published);
            subscription.unsubscribe();
          }
          logged.mockRestore();
        },
      ),
      { numRuns: 300 },
    );
  });
});
