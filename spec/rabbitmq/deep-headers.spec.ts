import { flattenHeaders, MOST_DEPTH } from '../../src/rabbitmq/frames.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import { contentHeader, deepTable, publishRaw } from './raw-amqp.js';

describeWithRabbitMq('A message with a deeply nested header', () => {
  const suite = new RabbitMqSuite();

  it.each([
    { depth: 3_000, handedIn: false },
    { depth: 18_000, handedIn: false },
    { depth: 3_000, handedIn: true },
  ])('is quarantined, and its neighbours are handled once: %p', async ({ depth, handedIn }) => {
    const logger = recordingLogger();
    const client = handedIn ? suite.client().on('error', () => undefined) : undefined;
    const queue = suite.open({ logger, client });
    await queue.publish('key', { n: 1 });
    const headers = deepTable(depth, { 'sluice-published-at': Date.now(), other: 'kept' });
    const sender = suite.client({ frameMax: 131_072 });
    await publishRaw(sender, suite.names.exchange, {
      messageId: 'foreign',
      type: 'key',
      headers,
      body: Buffer.from('{"n":0}'),
    });
    await eventually(async () => (await queue.stats()).ready === 2);
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await eventually(() => logger.errors.length > 0);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    const [moved, ...more] = await suite.take(suite.names.quarantine);
    // RabbitMQ 4 decodes headers on delivery. For the deepest ones this may exceed the deadline,
    // and the channel is given up.
    if (depth > 10_000 && (await suite.server.isAtLeast(4, 0)))
      expect(new Set(holder.numbers)).toEqual(new Set([1, 2]));
    else {
      expect(holder.attempts).toEqual([
        [1, 1],
        [2, 1],
      ]);
      expect(more).toEqual([]);
      expect(logger.errors).toHaveLength(1);
      expect(logger.warnings).toEqual([]);
    }
    expect(moved).toMatchObject({ body: Buffer.from('{"n":0}'), headers: { other: 'kept' } });
    expect(moved?.reason).toContain(`"deep" is nested more than ${MOST_DEPTH} levels deep`);
    expect(moved?.headers).not.toHaveProperty('deep');
    expect(logger.errors[0]).toContain(suite.names.quarantine);
  });
});

describe('flattenHeaders', () => {
  const flattened = (headers: Buffer) => {
    const before = contentHeader({
      contentType: 'text/plain',
      messageId: 'x',
      type: 'key',
      headers,
      body: Buffer.alloc(3),
    });
    const after = Buffer.from(before);
    flattenHeaders(after);
    return { before, after };
  };

  it('does not change headers that are nested less deep', () => {
    // The table itself is the first level.
    const { before, after } = flattened(deepTable(MOST_DEPTH - 1, { long: 'x'.repeat(5_000) }));
    expect(after.equals(before)).toBe(true);
  });

  it.each([MOST_DEPTH, MOST_DEPTH + 1, 18_000])(
    'changes one byte of headers that are nested %d levels below the table',
    (depth) => {
      const { before, after } = flattened(deepTable(depth));
      const changed = [...before.keys()].filter((at) => before[at] !== after[at]);
      expect(changed).toHaveLength(1);
      expect(String.fromCharCode(...changed.flatMap((at) => [before[at] ?? 0, after[at] ?? 0]))).toBe('Fx');
    },
  );

  it('does not throw for bytes that are not a table', () => {
    const { before } = flattened(deepTable(200));
    for (const length of upTo(before.length)) {
      const cut = Buffer.from(before.subarray(0, length));
      expect(() => flattenHeaders(cut)).not.toThrow();
    }
    for (let at = 14; at < 200; at++) {
      const odd = Buffer.from(before);
      odd[at] = 0xff;
      expect(() => flattenHeaders(odd)).not.toThrow();
    }
  });
});
