import { ConfigurationError, MemoryBackend, receive } from 'sluice';
import { drain, Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, thrownBy } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

function declared(...groups: string[]) {
  const clock = new VirtualClock();
  const logger = recordingLogger();
  const queue = new MemoryBackend({ groups, scheduler: clock.scheduler, logger });
  return { clock, logger, queue };
}

describe('Ignored groups', () => {
  it('compete for the messages', () => {
    const queue = new MemoryBackend({ logger: recordingLogger() });
    const [billing, audit] = [new Holder(queue, { group: 'billing' }), new Holder(queue, { group: 'audit' })];
    void publishAll(queue, upTo(4));
    expect([billing.numbers, audit.numbers]).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it.each<[string, (queue: MemoryBackend) => unknown]>([
    ['deliveries()', (queue) => queue.deliveries({ group: 'billing' })],
    ['consume()', (queue) => queue.consume({ group: 'billing' })],
    ['receive()', (queue) => void receive(queue, { group: 'billing' })],
    ['stats()', (queue) => queue.stats({ group: 'billing' })],
    ['publish()', (queue) => queue.publish('number', { n: 1 }, { group: 'billing' })],
  ])(
    'log one warning at the first name given to %s, with the behaviour of brokers and the option to set',
    async (_, name) => {
      const logger = recordingLogger();
      const queue = new MemoryBackend({ name: 'orders', logger });
      queue.deliveries();
      queue.consume({ group: 'default' });
      await queue.stats({ group: 'default' });
      await queue.publish('number', { n: 0 }, { group: 'default' });
      expect(logger.warnings).toEqual([]);
      await name(queue);
      expect(logger.warnings).toEqual([
        expect.stringMatching(/"orders".*"billing".*broker refuses.*`groups`.*QUEUE_GROUPS/),
      ]);
      await name(queue);
      queue.deliveries({ group: 'audit' });
      expect(logger.warnings.length).toBe(1);
    },
  );

  it('are ignored by publish()', () => {
    const queue = new MemoryBackend({ logger: recordingLogger() });
    void queue.publish('number', { n: 1 }, { group: 'billing' });
    void queue.publish('number', { n: 2 }, { group: 'billing', headers: { a: 'b' } });
    expect(new Holder(queue).numbers).toEqual([1, 2]);
    expect(queue.inFlight).toBe(2);
  });

  it('are ignored by stats()', async () => {
    const queue = new MemoryBackend({ logger: recordingLogger() });
    void publishAll(queue, upTo(2));
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 2, unfinished: 2 });
  });
});

describe('Declared groups', () => {
  it('all receive every message, published before or after they subscribed', () => {
    const { queue, logger } = declared('billing', 'audit');
    void publishAll(queue, [1, 2]);
    const billing = new Holder(queue, { group: 'billing' });
    void publishAll(queue, [3]);
    const audit = new Holder(queue, { group: 'audit' });
    void publishAll(queue, [4]);
    expect([billing.numbers, audit.numbers]).toEqual([upTo(4), upTo(4)]);
    expect(logger.warnings).toEqual([]);
  });

  it('distribute messages between their consumers', () => {
    const { queue } = declared('billing', 'audit');
    const billing = [new Holder(queue, { group: 'billing' }), new Holder(queue, { group: 'billing' })];
    const audit = new Holder(queue, { group: 'audit' });
    void publishAll(queue, upTo(4));
    expect(billing.map(({ numbers }) => numbers)).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(audit.numbers).toEqual(upTo(4));
  });

  it('keep a message until every group has settled it', async () => {
    const { queue } = declared('billing', 'audit');
    void publishAll(queue, [1]);
    const [billing, audit] = [new Holder(queue, { group: 'billing' }), new Holder(queue, { group: 'audit' })];
    const joined = queue.join();
    void billing.of(1).ack();
    expect(queue.unfinished).toBe(1);
    expect(queue.size + queue.inFlight).toBe(1);
    expect(await stateOf(joined)).toBe('pending');
    void audit.of(1).reject();
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 0, 0]);
    await joined;
  });

  it('count messages, not deliveries', () => {
    const { queue } = declared('a', 'b', 'c');
    void publishAll(queue, upTo(5));
    expect([queue.size, queue.unfinished]).toEqual([5, 5]);
    for (const group of ['a', 'b', 'c']) new Holder(queue, { group });
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 5, 5]);
  });

  it('keep a message for a group without a consumer', () => {
    const { queue } = declared('billing', 'audit');
    void publishAll(queue, [1]);
    void new Holder(queue, { group: 'billing' }).of(1).ack();
    expect([queue.size, queue.unfinished]).toEqual([1, 1]);
    expect(new Holder(queue, { group: 'audit' }).numbers).toEqual([1]);
  });

  it('count attempts and settle separately', async () => {
    const { queue, clock } = declared('billing', 'audit');
    void publishAll(queue, [1]);
    const [billing, audit] = [new Holder(queue, { group: 'billing' }), new Holder(queue, { group: 'audit' })];
    void billing.of(1).nack();
    clock.advance();
    expect([billing.attempts, audit.attempts]).toEqual([
      [
        [1, 1],
        [1, 2],
      ],
      [[1, 1]],
    ]);
    expect(billing.of(1).id).toBe(audit.of(1).id);
    expect(await audit.of(1).ack()).toBe(true);
    expect(billing.of(1).settled).toBe(false);
    expect(await billing.of(1).ack()).toBe(true);
    expect(queue.unfinished).toBe(0);
  });

  it('do not block each other', async () => {
    const { queue } = declared('fast', 'slow');
    const slow = new Holder(queue, { group: 'slow', prefetch: 1 });
    void publishAll(queue, upTo(100));
    const fast = await pull(queue.consume({ group: 'fast' }), 100);
    expect(fast.map(numberOf)).toEqual(upTo(100));
    expect(slow.numbers).toEqual([1]);
    void slow.of(1).ack();
    expect(slow.numbers).toEqual([1, 2]);
  });

  it('do not block each other with a delayed nack', () => {
    const { queue, clock } = declared('fast', 'slow');
    const [fast, slow] = [new Holder(queue, { group: 'fast' }), new Holder(queue, { group: 'slow' })];
    void publishAll(queue, [1]);
    void slow.of(1).nack({ delay: 10 });
    void fast.of(1).release();
    clock.advance();
    expect([fast.numbers, slow.numbers]).toEqual([[1, 1], [1]]);
    clock.advance(10);
    expect(slow.numbers).toEqual([1, 1]);
  });

  it('share the capacity: a full queue makes publish wait for the slowest group', async () => {
    const queue = new MemoryBackend({ groups: ['fast', 'slow'], capacity: 1 });
    void publishAll(queue, [1]);
    const second = queue.publish('number', { n: 2 });
    const fast = new Holder(queue, { group: 'fast' });
    void fast.of(1).ack();
    expect(await stateOf(second)).toBe('pending');
    const slow = new Holder(queue, { group: 'slow' });
    expect(await stateOf(second)).toBe('fulfilled');
    expect([fast.numbers, slow.numbers]).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  it('all lose a message that an overflow policy drops', () => {
    const queue = new MemoryBackend({ groups: ['a', 'b'], capacity: 1, overflow: 'drop-oldest' });
    void publishAll(queue, [1, 2]);
    expect(queue.dropped).toBe(1);
    expect([new Holder(queue, { group: 'a' }).numbers, new Holder(queue, { group: 'b' }).numbers]).toEqual([[2], [2]]);
  });

  it('have their own stats', async () => {
    const { queue } = declared('billing', 'audit');
    void publishAll(queue, upTo(3));
    const billing = new Holder(queue, { group: 'billing', prefetch: 2 });
    void billing.of(1).ack();
    billing.subscription.unsubscribe();
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 2, unfinished: 2 });
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 3, unfinished: 3 });
    expect(await queue.stats()).toMatchObject({ unfinished: 3 });
  });

  it('complete separately when the queue closes', async () => {
    const { queue } = declared('billing', 'audit');
    void publishAll(queue, upTo(2));
    const audit = new Holder(queue, { group: 'audit' });
    const billing = drain(queue.consume({ group: 'billing' }));
    await queue.close();
    expect((await billing).map(numberOf)).toEqual([1, 2]);
    expect(audit.completed).toBe(false);
    for (const delivery of audit.held) await delivery.ack();
    expect(audit.completed).toBe(true);
  });

  it('are all cleared, and each message is returned once', async () => {
    const { queue } = declared('billing', 'audit');
    void publishAll(queue, upTo(2));
    expect(queue.clear()).toEqual([
      ['number', { n: 1 }],
      ['number', { n: 2 }],
    ]);
    expect(queue.unfinished).toBe(0);
    expect(new Holder(queue, { group: 'audit' }).numbers).toEqual([]);
    await queue.join();
  });

  it('return a message once from clear() if it is delayed in both', () => {
    const { queue } = declared('billing', 'audit');
    void publishAll(queue, [1]);
    void new Holder(queue, { group: 'billing' }).of(1).nack({ delay: 10 });
    void new Holder(queue, { group: 'audit' }).of(1).nack({ delay: 20 });
    expect(queue.clear().map(([, payload]) => numberOf(payload))).toEqual([1]);
    expect(queue.unfinished).toBe(0);
  });

  it('return a message once from clear() if it waits in one group and is delayed in another', () => {
    const { queue, clock } = declared('billing', 'audit');
    void publishAll(queue, [1, 2]);
    const audit = new Holder(queue, { group: 'audit' });
    void audit.of(1).nack({ delay: 10 });
    void audit.of(2).ack();
    expect(queue.clear().map(([, payload]) => numberOf(payload))).toEqual([1, 2]);
    expect(queue.unfinished).toBe(0);
    clock.advance(10);
    expect(audit.numbers).toEqual([1, 2]);
  });
});

describe('An undeclared group', () => {
  /** Expects an error that names the group, the declared groups and the setting. */
  const refused = (error: unknown, group: string) => {
    expect(ConfigurationError.is(error)).toBe(true);
    expect(error).toMatchObject({ message: expect.stringContaining(`"${group}"`) });
    expect(error).toMatchObject({ message: expect.stringMatching(/"billing", "audit".*`groups`.*QUEUE_GROUPS/) });
  };

  it('is refused by every call that names it', async () => {
    const { queue } = declared('billing', 'audit');
    refused(
      thrownBy(() => queue.deliveries({ group: 'late' })),
      'late',
    );
    refused(
      thrownBy(() => queue.consume({ group: 'late' })),
      'late',
    );
    refused(await rejectionOf(receive(queue, { group: 'late' })), 'late');
    refused(await rejectionOf(queue.stats({ group: 'late' })), 'late');
    refused(await rejectionOf(queue.publish('number', { n: 1 }, { group: 'late' })), 'late');
    expect(queue.unfinished).toBe(0);
  });

  it('is refused as `default` if a consumer names no group', () => {
    const { queue } = declared('billing', 'audit');
    refused(
      thrownBy(() => queue.deliveries()),
      'default',
    );
    refused(
      thrownBy(() => queue.consume({ prefetch: 2 })),
      'default',
    );
  });

  it('retains no messages', () => {
    const { queue } = declared('billing');
    thrownBy(() => queue.deliveries({ group: 'late' }));
    void publishAll(queue, [1]);
    void new Holder(queue, { group: 'billing' }).of(1).ack();
    expect(queue.unfinished).toBe(0);
  });
});
