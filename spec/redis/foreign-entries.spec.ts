import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

const GOOD = ['key', 'k', 'payload', '{"n":1}'];

describeWithRedis('A stream entry that is not a Sluice message', () => {
  const suite = new RedisSuite();

  const add = async (...fields: string[]) => (await suite.run('XADD', suite.name, '*', ...fields)) as string;

  /** The quarantine, by id. */
  const quarantine = async (): Promise<Record<string, { reason: string; fields: string[] }>> => {
    const all = (await suite.run('HGETALL', suite.key('aside'))) as string[];
    const ids = all.filter((_, index) => index % 2 === 0);
    return Object.fromEntries(ids.map((id, index) => [id, JSON.parse(String(all[2 * index + 1]))]));
  };

  it.each<[what: string, fields: string[], reason: RegExp]>([
    ['has other fields', ['not', 'ours'], /"key".*undefined/],
    ['has no key', ['payload', '{}'], /"key".*undefined/],
    ['has an empty key', ['key', '', 'payload', '{}'], /"key".*""/],
    ['has a key that is too long', ['key', 'x'.repeat(256), 'payload', '{}'], /"key"/],
    ['has no payload', ['key', 'k'], /no "payload"/],
    ['has an empty payload', ['key', 'k', 'payload', ''], /"payload" is not JSON/],
    ['is not JSON', ['key', 'k', 'payload', '{"n":'], /"payload" is not JSON/],
    ['is a JSON array', ['key', 'k', 'payload', '[1]'], /"payload" is not a JSON object but an array/],
    ['is a JSON null', ['key', 'k', 'payload', 'null'], /"payload" is not a JSON object but null/],
    ['is a JSON string', ['key', 'k', 'payload', '"x"'], /"payload" is not a JSON object/],
    ['has headers that are not JSON', [...GOOD, 'headers', 'x'], /"headers" is not JSON/],
    ['has headers that are a list', [...GOOD, 'headers', '[]'], /"headers" is not a JSON object/],
    ['has headers that are no strings', [...GOOD, 'headers', '{"a":1}'], /header "a"/],
    ['has an invalid time', [...GOOD, 'publishedAt', 'yesterday'], /"publishedAt"/],
  ])('is quarantined if it %s', async (_what, fields, reason) => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.publish('key', { n: 1 });
    const id = await add(...fields);
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, { prefetch: 2 }, (delivery) => void delivery.ack());
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(holder.numbers).toEqual([1, 2]);
    expect(await quarantine()).toEqual({ [id]: { reason: expect.stringMatching(reason), fields } });
    expect(logger.errors).toHaveLength(1);
    expect(logger.errors[0]).toContain(id);
    expect(logger.errors[0]).toContain(suite.key('aside'));
    expect(logger.errors[0]).toMatch(reason);
    expect(await suite.length()).toBe(0);
    expect(await suite.keys()).toEqual(['', 'aside', 'bell']);
  });

  it('is quarantined byte by byte, even if it is not valid text', async () => {
    const queue = suite.open();
    await queue.stats();
    await suite.run('EVAL', "return redis.call('XADD', KEYS[1], '*', 'a\\255', '\\0\\254{')", '1', suite.name);
    void new Holder(queue);
    await eventually(async () => (await suite.run('HLEN', suite.key('aside'))) === 1);
    const kept = await suite.run(
      'EVAL',
      "local d = cjson.decode(redis.call('HVALS', KEYS[1])[1]).fields; return d[1] == 'a\\255' and d[2] == '\\0\\254{' and 1 or 0",
      '1',
      suite.key('aside'),
    );
    expect(kept).toBe(1);
  });

  it('does not block messages between thousands of such entries', async () => {
    const queue = suite.open();
    await queue.stats();
    const script = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'odd', i) end";
    for (const n of upTo(3)) {
      await suite.run('EVAL', script, '1', suite.name, '1500');
      await queue.publish('key', { n });
    }
    const holder = new Holder(queue, { prefetch: 1 }, (delivery) => void delivery.ack());
    await eventually(() => holder.deliveries.length === 3);
    await eventually(async () => (await suite.length()) === 0);
    expect(await suite.run('HLEN', suite.key('aside'))).toBe(4500);
    expect(await suite.pending()).toEqual([]);
  });

  it('is quarantined once, however many groups there are', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await queue.stats();
    const id = await add('not', 'ours');
    void new Holder(queue, { group: 'a' });
    await eventually(async () => Object.keys(await quarantine()).length === 1);
    expect(await suite.length()).toBe(1);
    void new Holder(queue, { group: 'b' });
    await eventually(async () => (await suite.length()) === 0);
    expect(Object.keys(await quarantine())).toEqual([id]);
    expect(await suite.pending('a')).toEqual([]);
    expect(await suite.pending('b')).toEqual([]);
  });

  it('is delivered if its known fields are valid', async () => {
    const queue = suite.open();
    await queue.stats();
    await add('payload', '{"n":7}', 'unknown', 'x', 'key', 'k');
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.of(7)).toMatchObject({ key: 'k', attempt: 1, headers: {} });
  });
});

describeWithRedis('A key of another type', () => {
  const suite = new RedisSuite();

  it.each(['', 'bell', 'delayed', 'returned:default', 'later:default'])(
    'fails a publish and a consumer immediately and is not changed: queue name and suffix %j',
    async (suffix) => {
      const key = suffix === '' ? suite.name : suite.key(suffix);
      await suite.run('SET', key, 'precious');
      const queue = suite.open({ publishTimeout: 20_000 });
      const holder = new Holder(queue);
      await eventually(() => holder.error !== undefined);
      expect(holder.error).toMatchObject({
        retryable: false,
        message: expect.stringContaining(suite.name),
        cause: { message: expect.stringContaining('WRONGTYPE') },
      });
      const published = await queue.publish('key', { n: 1 }).then(
        () => 1,
        (error: unknown) => {
          expect(error).toMatchObject({ retryable: false, cause: { message: expect.stringContaining('WRONGTYPE') } });
          return 0;
        },
      );
      expect(await suite.run('GET', key)).toBe('precious');
      await suite.run('DEL', key);
      const again = new Holder(queue);
      await queue.publish('key', { n: 2 });
      await eventually(() => again.deliveries.length === published + 1);
      expect(again.numbers).toEqual(published === 1 ? [1, 2] : [2]);
      await Promise.all(again.held.map((delivery) => delivery.ack()));
      expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    },
  );

  it.each(['settled', 'delayed', 'returned:default', 'later:default'])(
    'fails the ack of a message in flight: suffix %j',
    async (suffix) => {
      const logger = recordingLogger();
      const queue = suite.open({ logger });
      const holder = new Holder(queue);
      for (const n of [1, 2]) await queue.publish('key', { n });
      await eventually(() => holder.deliveries.length === 2);
      await suite.run('SET', suite.key(suffix), 'precious');
      expect(await failureOf(holder.of(2).ack())).toMatchObject({
        retryable: false,
        cause: { message: expect.stringContaining('WRONGTYPE') },
      });
      await eventually(() => holder.error !== undefined);
      expect(logger.errors).toHaveLength(1);
      expect((await suite.pending()).length).toBe(2);
      await suite.run('DEL', suite.key(suffix));
      let again = new Holder(queue);
      await eventually(() => {
        // The release of the messages may fail only now, and then ends the new stream.
        if (again.error !== undefined) again = new Holder(queue);
        return again.deliveries.length === 2;
      });
      expect(again.numbers).toEqual([1, 2]);
    },
  );

  it('causes no unhandled rejection if the failed ack is not awaited', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    suite.ending(() => process.off('unhandledRejection', note));
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await suite.run('SET', suite.key('returned:default'), 'precious');
    void holder.of(1).ack();
    await eventually(() => holder.error !== undefined);
    await turns();
    expect(unhandled).toEqual([]);
  });

  it('fails a running queue immediately and is forgotten once it is deleted', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await suite.run('SET', suite.name, 'precious');
    await expect(queue.publish('key', { n: 2 })).rejects.toMatchObject({ retryable: false });
    await expect(queue.stats()).rejects.toMatchObject({ retryable: false });
    await eventually(() => holder.error !== undefined);
    await suite.run('DEL', suite.name);
    const again = new Holder(queue);
    await queue.publish('key', { n: 3 });
    await eventually(() => again.deliveries.length === 1);
    expect(again.numbers).toEqual([3]);
  });
});
