import type { Envelope } from 'rabbitmq-client';
import { BackendUnavailableError, InvalidMessageError } from 'sluice';
import type { RabbitMqBackendOptions } from 'sluice/rabbitmq';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

const MOST = 100_000;

describeWithRabbitMq('Messages on RabbitMQ', () => {
  retryOnce();
  const suite = new RabbitMqSuite({ config: { max_message_size: String(MOST) } });

  const received = (holder: Holder, count: number) =>
    eventually(
      () => holder.deliveries.length === count,
      () => holder.attempts,
    );
  const ours = (n: number, envelope: Envelope = {}) => ({
    type: 'key',
    messageId: `m-${n}`,
    contentEncoding: 'utf-8',
    ...envelope,
    headers: { 'sluice-published-at': Date.now(), ...envelope.headers },
  });

  const without = (envelope: Envelope, name: keyof Envelope): Envelope =>
    Object.fromEntries(Object.entries(envelope).filter(([each]) => each !== name));

  const odd: readonly (readonly [what: string, envelope: Envelope, body: unknown, reason: RegExp])[] = [
    ['a text', {}, 'hello', /"messageId"/],
    ['an empty message', {}, Buffer.alloc(0), /"messageId"/],
    ['JSON of another program', { messageId: 'x', type: 'key' }, { n: 1 }, /"sluice-published-at"/],
    ['invalid JSON', ours(1), Buffer.from('{"n":'), /"payload" is not JSON/],
    ['JSON that is not an object', ours(1), Buffer.from('[1]'), /"payload" is not a JSON object/],
    ['a message without a key', without(ours(1), 'type'), Buffer.from('{}'), /"key"/],
    ['a message with an empty key', ours(1, { type: '' }), Buffer.from('{}'), /"key"/],
    ['a message without an id', without(ours(1), 'messageId'), Buffer.from('{}'), /"messageId"/],
    ['binary data', ours(1), Buffer.from([0, 255, 254, 123]), /not JSON/],
    ['a compressed message', ours(1, { contentEncoding: 'gzip' }), Buffer.from([0x1f, 0x8b, 8]), /not JSON/],
    [
      'headers that are not JSON',
      ours(1, { headers: { 'sluice-headers': 'a: b' } }),
      Buffer.from('{}'),
      /"headers" is not JSON/,
    ],
    ['headers that are not text', ours(1, { headers: { 'sluice-headers': 5 } }), Buffer.from('{}'), /"sluice-headers"/],
    [
      'a header that is not a string',
      ours(1, { headers: { 'sluice-headers': '{"a":1}' } }),
      Buffer.from('{}'),
      /header "a"/,
    ],
    [
      'an invalid time',
      ours(1, { headers: { 'sluice-published-at': 'now' } }),
      Buffer.from('{}'),
      /"sluice-published-at"/,
    ],
    ['attempts below zero', ours(1, { headers: { 'sluice-attempts': -1 } }), Buffer.from('{}'), /"sluice-attempts"/],
  ];

  it('of other formats are quarantined unchanged, once each, with the reason', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.publish('key', { n: 1 });
    for (const [what, envelope, body] of odd)
      await suite.add({ ...envelope, headers: { ...envelope.headers, what } }, body);
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, { prefetch: 2 }, (delivery) => void delivery.ack());
    await received(holder, 2);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    const quarantined = await suite.take(suite.names.quarantine);
    const of = (wanted: string) => quarantined.filter(({ headers }) => headers.what === wanted);
    expect(quarantined).toHaveLength(odd.length);
    for (const [what, , body, reason] of odd)
      expect(of(what)).toEqual([{ body, headers: expect.anything(), reason: expect.stringMatching(reason) }]);
    expect(logger.errors).toHaveLength(odd.length);
    for (const error of logger.errors) expect(error).toContain(suite.names.quarantine);
  });

  it('are quarantined once, whatever their headers contain', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await received(holder, 1);
    const { queue: group } = suite.names.group('default');
    await suite.add(
      {
        exchange: '',
        routingKey: group,
        headers: { CC: [group], BCC: [group], long: 'x'.repeat(130_000), 'x-death': 5, list: [1, null, { a: [true] }] },
      },
      'odd',
    );
    await eventually(async () => ((await suite.length(suite.names.quarantine)) ?? 0) > 0);
    await eventually(async () => (await queue.stats()).unfinished === 1);
    await queue.publish('key', { n: 2 });
    await received(holder, 2);
    expect(await suite.length(suite.names.quarantine)).toBe(1);
  });

  it('are quarantined without their headers if these leave no space for the reason', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.publish('key', { n: 1 });
    // Nearly fills a frame: the few bytes of the reason do not fit.
    await suite.add({ routingKey: 'key', headers: { long: 'x'.repeat(130_980) } }, Buffer.from('precious'));
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await eventually(() => logger.errors.some((error) => error.includes('without its headers')));
    await eventually(() => holder.numbers.includes(2));
    expect(await suite.take(suite.names.quarantine)).toEqual([
      {
        body: Buffer.from('precious'),
        headers: { 'sluice-reason': expect.any(String) },
        reason: expect.stringContaining('messageId'),
      },
    ]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('are retried if they cannot be quarantined, and do not block others for good', async () => {
    const logger = recordingLogger();
    const { proxy, url } = await suite.proxy();
    const publisher = suite.open();
    await publisher.publish('key', { n: 1 });
    await suite.add({}, 'odd');
    await publisher.publish('key', { n: 2 });
    const queue = suite.open({ url, logger, publishTimeout: 3000 });
    await queue.stats();
    await proxy.refuse();
    const holder = new Holder(queue, { prefetch: 1 }, (delivery) => void delivery.ack());
    await eventually(() => logger.warnings.some((warning) => warning.includes('cannot connect')));
    expect(holder.numbers).toEqual([1]);
    await proxy.accept();
    await received(holder, 2);
    expect(await suite.length(suite.names.quarantine)).toBe(1);
  });

  it('of other programs are all delivered, even with the same id', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 0 });
    await received(holder, 1);
    for (const n of upTo(3)) await suite.add(ours(7), Buffer.from(JSON.stringify({ n })));
    await received(holder, 4);
    expect(holder.numbers).toEqual([0, 1, 2, 3]);
  });

  it('of other programs are all delivered, even if they are identical', async () => {
    const queue = suite.open();
    await queue.stats();
    const tick = ours(7, { messageId: 'shared' });
    for (const _ of upTo(10)) await suite.add(tick, Buffer.from('{"n":1}'));
    const holder = new Holder(queue, { prefetch: 10 });
    await received(holder, 10);
    expect(new Set(holder.deliveries.map(({ id }) => id)).size).toBe(10);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual(Array(10).fill(true));
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('are delivered once if a publisher stored them twice because a confirm was lost', async () => {
    const queue = suite.open();
    await queue.stats();
    const once = ours(1, { messageId: '0123456789abcdef-1' });
    for (const _ of upTo(2)) await suite.add(once, Buffer.from('{"n":1}'));
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, { prefetch: 3 });
    await eventually(() => holder.numbers.includes(2));
    expect(holder.numbers).toEqual([1, 2]);
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it('may have any key and any headers, also with a delay', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 100 });
    const keys = [
      'a.b',
      '#',
      '*.#',
      '%',
      '1.0.1',
      ' ',
      '\u0000',
      '\r\n',
      'é',
      '😀',
      '__proto__',
      'é'.repeat(127),
      '.'.repeat(255),
      '😀'.repeat(63),
    ];
    const headers = JSON.parse(
      '{"a":"line\\r\\nbreak","b\\r\\n":"\\n","é":"ü😀"," ":"","__proto__":"x","x-death":"y","CC":"default","\\u0000":"\\u0000"}',
    );
    for (const [at, key] of keys.entries()) await queue.publish(key, { n: at }, { headers, delay: at % 2 });
    await received(holder, keys.length);
    for (const [at, key] of keys.entries()) {
      expect(holder.of(at).key).toBe(key);
      expect(Object.entries(holder.of(at).headers)).toEqual(Object.entries(headers));
    }
    await Promise.all(holder.held.map((delivery) => delivery.nack({ delay: 1 })));
    await received(holder, 2 * keys.length);
    expect(holder.of(3)).toMatchObject({ key: keys[3], attempt: 2 });
    expect(Object.entries(holder.of(3).headers)).toEqual(Object.entries(headers));
  });

  it.each(['a.b:c', '*', '\u0000 \r\n', '=3A', 'é😀', 'amq', '.', 'x'.repeat(255), '😀'.repeat(63)])(
    'pass through a queue and a group named %j',
    async (name) => {
      const odd = { name: name.length > 100 ? name : `${name}${suite.name}`, groups: [name, 'other'] };
      const queue = suite.open(odd);
      const holder = new Holder(queue, { group: name });
      await queue.publish('key', { n: 1 });
      await queue.publish('key', { n: 2 }, { delay: 1 });
      await received(holder, 2);
      expect(holder.of(1).queue).toBe(odd.name);
      expect(await queue.stats({ group: odd.groups[1] as string })).toEqual({ ready: 2, unfinished: 2 });
      await holder.of(1).nack({ delay: 1 });
      await received(holder, 3);
      expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
      expect(await queue.stats({ group: name })).toEqual({ ready: 0, unfinished: 0 });
    },
  );

  it('may have headers up to the size of a frame, and are refused beyond', async () => {
    for (const [client, fits] of [
      [undefined, 129_900],
      [suite.client(), 7000],
    ] as const) {
      client?.on('error', () => undefined);
      const queue = suite.open({ client, name: `${suite.name} ${fits}` });
      const holder = new Holder(queue);
      const key = 'k'.repeat(255);
      await queue.publish(key, { n: 1 }, { headers: { pad: 'x'.repeat(fits) }, delay: 60 });
      await queue.publish(key, { n: 2 }, { headers: { pad: 'é'.repeat(fits / 2) } });
      for (const pad of ['x'.repeat(fits + 1200), 'é'.repeat(fits / 2 + 600)]) {
        const error = await failureOf(queue.publish(key, { n: 3 }, { headers: { pad } }));
        expect(InvalidMessageError.is(error)).toBe(true);
        expect(error.message).toContain('headers');
      }
      await received(holder, 2);
      expect(await holder.of(1).nack({ delay: 17 })).toBe(true);
      await received(holder, 3);
      expect(holder.of(1).headers.pad).toBe('x'.repeat(fits));
    }
  });

  it("larger than the broker's maximum are refused immediately, without affecting others", async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const pad = 'x'.repeat(MOST);
    const publish = (n: number) => queue.publish('key', n % 3 === 0 ? { n, pad } : { n });
    await publish(1);
    for (const numbers of [
      [2, 3, 4],
      [5, 6, 7],
    ]) {
      const [before, refused, after] = await Promise.allSettled(numbers.map(publish));
      expect([before?.status, refused?.status, after?.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      const { reason } = refused as PromiseRejectedResult;
      expect(reason.message).toContain(String(MOST));
      expect(reason).not.toMatchObject({ code: BackendUnavailableError.code, retryable: true });
    }
    const holder = new Holder(queue);
    await received(holder, 5);
    expect(new Set(holder.numbers)).toEqual(new Set([1, 2, 4, 5, 7]));
    expect(logger.warnings.length).toBeLessThan(10);
  });

  describe('on a server that refuses access', () => {
    /** Expects that publishing and consuming fail with a fatal error that matches `why`. */
    const failsAtOnce = async (options: Partial<RabbitMqBackendOptions>, why: RegExp) => {
      const logger = recordingLogger();
      const queue = suite.open({ logger, publishTimeout: 60_000, ...options });
      const holder = new Holder(queue);
      const error = await failureOf(queue.publish('key', {}));
      await eventually(() => holder.error !== undefined);
      for (const each of [error, holder.error as Error]) {
        expect(each).toMatchObject({
          code: BackendUnavailableError.code,
          retryable: false,
          message: expect.stringMatching(why),
        });
        expect(each.message).toContain(`127.0.0.1:${suite.server.port}`);
      }
      const said = [error, holder.error, error.cause].map(String).concat(logger.debugs, logger.warnings, logger.errors);
      expect(said.join()).not.toContain('s3cret');
      await queue.close();
    };
    const as = (user: string, vhost = '') => `amqp://${user}@127.0.0.1:${suite.server.port}${vhost}`;

    it('fail immediately if the password, the user or the vhost is wrong', async () => {
      await failsAtOnce({ url: as('guest:s3cret') }, /user.*password/);
      await failsAtOnce({ url: as('nobody:s3cret') }, /user.*password/);
      await failsAtOnce({ url: as('guest:guest', '/none') }, /vhost/);
    });

    it('fail immediately if an object of the same name has other settings, until it is deleted', async () => {
      const channel = await suite.channel();
      const { exchange } = suite.names;
      await channel.exchangeDeclare({ exchange, type: 'direct', durable: true });
      await failsAtOnce({}, /other settings.*another name/);
      await channel.exchangeDelete({ exchange });
      const { queue: group } = suite.names.group('default');
      await channel.queueDeclare({ queue: group, durable: true });
      await failsAtOnce({}, /other settings.*another name/).catch(() => undefined);
      const queue = suite.open();
      expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false });
      await channel.queueDelete(group);
      await queue.publish('key', { n: 1 });
      const holder = new Holder(queue);
      await received(holder, 1);
    });

    it('need the permissions to configure, write and read', async () => {
      const user = `user-${suite.name}`;
      await suite.server.run('add_user', user, 's3cret');
      const needed = `^${suite.name}(:.*)?$`;
      await suite.server.run('set_permissions', user, needed, needed, needed);
      const logger = recordingLogger();
      const queue = suite.open({ url: as(`${user}:s3cret`), logger });
      const holder = new Holder(queue);
      await queue.publish('key', { n: 1 }, { delay: 1 });
      await received(holder, 1);
      expect(await holder.of(1).nack({ delay: 1 })).toBe(true);
      await received(holder, 2);
      // Without permission to delay, a message would be requeued immediately with a warning.
      expect(logger.warnings).toEqual([]);
      for (const delay of [0, 1]) await queue.publish('key', { n: 2 }, { group: 'default', delay });
      await received(holder, 4);
      await queue.close();
      await suite.server.run('set_permissions', user, '^$', needed, needed);
      await failsAtOnce({ url: as(`${user}:s3cret`) }, /configure, write and read/);
    });
  });
});
