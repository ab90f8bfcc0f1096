import { queueScheduler } from 'rxjs';
import { inBatches, MemoryBackend } from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { Handled } from '../support/handling.js';
import { turns } from '../support/promises.js';

describe('A scheduler that runs actions without a delay synchronously', () => {
  it('lets handle complete after a retry in place', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1, 2]);
    void queue.close();
    const handled = new Handled(
      queue.deliveries(),
      ({ attempt }) => {
        if (attempt === 1) throw new Error('boom');
      },
      { orderBy: 'key', retry: { delay: 0 }, scheduler: queueScheduler },
    );
    await turns();
    expect([...handled.statuses].sort()).toEqual(['1#1 retried', '1#2 acked', '2#1 retried', '2#2 acked']);
    expect(handled.completed).toBe(true);
  });

  it('makes inBatches emit each delivery separately', () => {
    const queue = new MemoryBackend();
    const batches: number[][] = [];
    queue
      .deliveries()
      .pipe(inBatches({ maxSize: 3, maxWait: 0, scheduler: queueScheduler }))
      .subscribe((batch) => {
        batches.push(batch.deliveries.map(({ payload }) => numberOf(payload)));
        void batch.ack();
      });
    void publishAll(queue, upTo(4));
    expect(batches).toEqual([[1], [2], [3], [4]]);
  });
});
