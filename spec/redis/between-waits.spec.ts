import { setTimeout as sleep } from 'node:timers/promises';
import * as consumers from '../../src/redis/consumers.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

jest.mock('../../src/redis/consumers.js', () => {
  const actual = jest.requireActual('../../src/redis/consumers.js');
  return { ...actual, consumersOf: jest.fn(actual.consumersOf) };
});

describeWithRedis('A consumer between two blocking reads', () => {
  const suite = new RedisSuite();

  /**
   * Makes a consumer that has just asked which leases expire next. The reply is held back until
   * `go()`.
   */
  const betweenWaits = async () => {
    const actual = jest.requireActual<typeof consumers>('../../src/redis/consumers.js');
    let go = () => {};
    let asked = false;
    jest.mocked(consumers.consumersOf).mockImplementationOnce(async (...args) => {
      asked = true;
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      return actual.consumersOf(...args);
    });
    // A long lease means long blocking reads. The test ends the first one itself.
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 2 });
    const blocked = async () => /^id=(\d+) .* flags=\S*b/m.exec(String(await suite.run('CLIENT', 'LIST')))?.[1];
    await eventually(async () => (await blocked()) !== undefined);
    await suite.run('CLIENT', 'UNBLOCK', String(await blocked()));
    await eventually(() => asked);
    return { queue, holder, go: () => go(), blocked };
  };

  it('does not read again if its last subscriber unsubscribes', async () => {
    const { holder, go, blocked } = await betweenWaits();
    holder.subscription.unsubscribe();
    go();
    await sleep(100);
    expect(await blocked()).toBeUndefined();
    await suite.open().publish('key', { n: 1 });
    expect(await suite.pending()).toEqual([]);
  });

  it('removes itself from the group when the queue closes', async () => {
    const { queue, go } = await betweenWaits();
    const closed = queue.close();
    go();
    await closed;
    expect(await suite.run('XINFO', 'CONSUMERS', suite.name, 'default')).toEqual([]);
  });

  it('serves a new subscriber within its prefetch', async () => {
    const { queue, holder, go } = await betweenWaits();
    holder.subscription.unsubscribe();
    const next = new Holder(queue, { prefetch: 1 });
    go();
    const publisher = suite.open();
    for (const n of [1, 2, 3]) await publisher.publish('key', { n });
    await eventually(() => next.deliveries.length === 1);
    await sleep(50);
    expect(await suite.pending()).toHaveLength(1);
    expect(next.attempts).toEqual([[1, 1]]);
  });
});
