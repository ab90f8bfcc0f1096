import { handle, intercept, MemoryBackend } from 'sluice';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { turns, until } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

describe('A message that was delivered more often than its retries', () => {
  it('runs alone: it waits for the deliveries that an interceptor works on', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    void publishAll(queue, upTo(3));
    for (let failures = 0; failures < 2; failures++) {
      const { deliveries, subscription } = new Holder(queue);
      for (const delivery of deliveries) {
        if (numberOf(delivery.payload) === 2) void delivery.nack();
        else void delivery.release();
      }
      subscription.unsubscribe();
    }
    expect((await queue.peek()).map(({ attempt }) => attempt)).toEqual([1, 3, 1]);
    const inFlight: number[] = [];
    intercept(queue, {
      async deliver(delivery) {
        if (numberOf(delivery.payload) === 3) await turns();
        return delivery;
      },
    })
      .deliveries()
      .pipe(
        handle(({ payload }) => void (numberOf(payload) === 2 && inFlight.push(queue.inFlight)), {
          deliveryLimit: 10,
          retry: { count: 0 },
        }),
      )
      .subscribe();
    await until(() => queue.unfinished === 0);
    expect(inFlight).toEqual([1]);
  });
});
