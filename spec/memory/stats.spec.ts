import { MemoryBackend, type StatsOptions } from 'sluice';
import { Holder, publishAll, upTo } from '../support/consumers.js';
import { rejectionOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

function setUp(groups?: readonly string[]) {
  const clock = new VirtualClock();
  const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger, groups });
  return { clock, queue };
}

describe('stats()', () => {
  it('returns zeros for an empty queue', async () => {
    const { queue } = setUp();
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('distinguishes ready messages from delayed ones and those in flight', async () => {
    const { queue, clock } = setUp();
    void publishAll(queue, upTo(5));
    void queue.publish('number', { n: 6 }, { delay: 10 });
    const holder = new Holder(queue, { prefetch: 2 });
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 6 });
    void holder.of(1).nack({ delay: 20 });
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 6 });
    void holder.of(2).ack();
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 5 });
    holder.subscription.unsubscribe();
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 5 });
    clock.advance(10);
    expect(await queue.stats()).toEqual({ ready: 4, unfinished: 5 });
    clock.advance(10);
    expect(await queue.stats()).toEqual({ ready: 5, unfinished: 5 });
  });

  it('agrees with the properties of the queue', async () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(5));
    new Holder(queue, { prefetch: 2 });
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([3, 2, 5]);
    expect(await queue.stats()).toEqual({ ready: queue.size, unfinished: queue.unfinished });
  });

  it('does not count a publish that waits for capacity', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    void publishAll(queue, upTo(3));
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('counts at the moment of the call', async () => {
    const { queue } = setUp();
    const stats = queue.stats();
    void publishAll(queue, [1]);
    expect(await stats).toEqual({ ready: 0, unfinished: 0 });
  });

  it('counts the unsettled messages of one group', async () => {
    const { queue } = setUp(['billing', 'audit']);
    void publishAll(queue, upTo(3));
    const billing = new Holder(queue, { group: 'billing' });
    void billing.of(1).ack();
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 0, unfinished: 2 });
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 3, unfinished: 3 });
    expect((await queue.stats()).unfinished).toBe(3);
  });

  it('counts a message once over all groups', async () => {
    const { queue } = setUp(['billing', 'audit']);
    void publishAll(queue, upTo(3));
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 3 });
  });

  it('counts a message as ready if it is ready in any group', async () => {
    const { queue, clock } = setUp(['billing', 'audit']);
    void publishAll(queue, [1]);
    const billing = new Holder(queue, { group: 'billing' });
    void billing.of(1).nack({ delay: 10 });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    const audit = new Holder(queue, { group: 'audit' });
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    billing.subscription.unsubscribe();
    clock.advance(10);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    void audit.of(1).ack();
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 0, unfinished: 0 });
  });

  it('works on a closed queue', async () => {
    const { queue } = setUp();
    void publishAll(queue, [1]);
    await queue.close();
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it.each([
    ['group', 'RangeError', { group: '' }],
    ['group', 'TypeError', { group: 1 }],
    ['group', 'TypeError', { group: null }],
    ['options', 'TypeError', null],
  ])('rejects an invalid %s with a %s that names it', async (parameter, name, options) => {
    const { queue } = setUp();
    const stats = queue.stats(options as StatsOptions);
    expect(await rejectionOf(stats)).toMatchObject({ name, message: expect.stringContaining(parameter) });
  });
});
