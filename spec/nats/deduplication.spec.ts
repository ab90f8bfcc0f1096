import { createHash } from 'node:crypto';
import { nanos } from '@nats-io/transport-node';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

describeWithNats('A message with an id', () => {
  retryOnce();
  const suite = new NatsSuite();

  const stored = async () => (await suite.stored()).map((message) => message.json<{ n: number }>().n);

  it('is stored once, whichever process publishes it', async () => {
    const [one, other] = [suite.open(), suite.open()];
    const holder = new Holder(one, { prefetch: 10 });
    await one.publish('key', { n: 1 }, { id: 'order-1' });
    await other.publish('key', { n: 2 }, { id: 'order-1' });
    await Promise.all(upTo(20).map(() => other.publish('key', { n: 3 }, { id: 'order-3' })));
    await other.publish('key', { n: 4 });
    await eventually(() => holder.deliveries.length === 3);
    expect(holder.deliveries.map(({ id, payload }) => [id, payload])).toEqual([
      ['order-1', { n: 1 }],
      ['order-3', { n: 3 }],
      [expect.any(String), { n: 4 }],
    ]);
    expect(await one.stats()).toEqual({ ready: 0, unfinished: 3 });
  });

  it.each([
    ['a line break', 'a\r\nb: c'],
    ['spaces at its ends', '  a '],
    ['other scripts', 'größe-😀'],
    ['what a percent-encoded id has', 'a%20b'],
    ['255 bytes', 'é'.repeat(127)],
    ['the form of an id that Sluice makes', '0123456789abcdef-7'],
  ])('is delivered with an id that has %s', async (_what, id) => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 }, { id });
    await queue.publish('key', { n: 2 }, { id: `${id.slice(1)}2`, delay: 1 });
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.deliveries.map((delivery) => delivery.id)).toEqual([id, `${id.slice(1)}2`]);
  });

  it('leaves room for its headers, up to the maximum of the server', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 100 });
    const id = '/'.repeat(240);
    let taken = 0;
    for (let length = 63_000; length <= 65_600; length += 100) {
      for (const delay of [0, 1]) {
        await queue
          .publish('key', { n: length }, { id: id + delay + length, delay, headers: { x: 'x'.repeat(length) } })
          .then(
            () => taken++,
            (error: unknown) => expect(error).toMatchObject({ name: 'InvalidMessageError' }),
          );
      }
    }
    expect(taken).toBeGreaterThan(0);
    await eventually(() => holder.deliveries.length === taken);
  });

  it('is stored if the id is that of a delivery without a given id', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const { id } = holder.of(1);
    await queue.publish('key', { n: 2 }, { id });
    await queue.publish('key', { n: 3 }, { id });
    expect(await stored()).toEqual([1, 2]);
    await holder.of(1).ack();
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.of(2).id).toBe(id);
  });

  it('is stored once if it was published for one group before', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await queue.publish('key', { n: 1 }, { id: 'x', group: 'a' });
    await queue.publish('key', { n: 2 }, { id: 'x', group: 'a' });
    await queue.publish('key', { n: 3 }, { id: 'x' });
    expect(await stored()).toEqual([1]);
  });

  it('is stored once if its confirm is lost', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 0 });
    proxy.stall('to-client');
    const published = queue.publish('key', { n: 1 }, { id: 'x' });
    await eventually(async () => (await suite.length()) === 2);
    proxy.cut();
    proxy.resume();
    await published;
    expect(await stored()).toEqual([0, 1]);
  });

  it('is stored once if both messages are delayed, for any time', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 }, { id: 'x', delay: 300 });
    await suite.open().publish('key', { n: 2 }, { id: 'x', delay: 3_600_000 });
    await eventually(() => holder.deliveries.length === 1);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(holder.numbers).toEqual([1]);
  });

  it.each([
    ['the delayed one comes first', [100, 0]],
    ['the delayed one comes second', [0, 100]],
  ])('is delivered once if only one is delayed, within the window: %s', async (_what, delays) => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const holders = ['a', 'b'].map((group) => new Holder(queue, { group }, (delivery) => void delivery.ack()));
    for (const [n, delay] of delays.entries()) await queue.publish('key', { n }, { id: 'x', delay });
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(holders.map(({ numbers }) => numbers)).toEqual([[delays.indexOf(0)], [delays.indexOf(0)]]);
  });

  it('is not lost if it is due after its window, and its id was published again', async () => {
    const queue = suite.open({ dedupeWindow: 200 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 }, { id: 'x', delay: 1500 });
    await eventually(async () => (await suite.length(suite.names.delayedStream)) === 1);
    // Each of them starts the window of the stream again.
    const again = async () => {
      if (holder.deliveries.some(({ payload }) => (payload as { n: number }).n === 1)) return true;
      await queue.publish('key', { n: 2 }, { id: 'x' });
      return false;
    };
    await eventually(again);
    expect(holder.of(1).id).toBe('x');
  });

  it('is stored again after the window, and may be in flight together with the first', async () => {
    const queue = suite.open({ dedupeWindow: 100 });
    const holder = new Holder(queue);
    await eventually(async () => {
      await queue.publish('key', { n: holder.deliveries.length }, { id: 'x' });
      return holder.deliveries.length >= 2;
    });
    const [first, second] = holder.deliveries;
    expect([first?.id, second?.id]).toEqual(['x', 'x']);
    expect(await second?.nack()).toBe(true);
    expect(await first?.ack()).toBe(true);
  });
});

describeWithNats('The deduplication window of a stream', () => {
  const hash = createHash('sha256').update('window').digest('hex').slice(0, 8);
  const user = { publish: { deny: ['$JS.API.STREAM.UPDATE.>'] } };
  const suite = new NatsSuite({
    user: 'admin',
    password: hash,
    config: {
      authorization: `{ users: [{ user: admin, password: "${hash}" }, { user: runner, password: "${hash}", permissions: ${JSON.stringify(user)} }] }`,
    },
  });

  const windows = async () => {
    const manager = await suite.manager();
    const infos = await Promise.all(
      [suite.names.stream, suite.names.delayedStream].map((name) => manager.streams.info(name)),
    );
    return infos.map(({ config }) => config.duplicate_window / 1e6);
  };

  it('is set by the option, and lengthened for a process with a longer one', async () => {
    await suite.open({ dedupeWindow: 60_000 }).stats();
    expect(await windows()).toEqual([60_000, 60_000]);
    const logger = recordingLogger();
    await suite.open({ dedupeWindow: 300_000, logger }).stats();
    expect(await windows()).toEqual([300_000, 300_000]);
    expect(logger.warnings).toEqual([]);
  });

  it('is never shortened, and a process with a shorter one warns', async () => {
    await suite.open({ dedupeWindow: 300_000 }).stats();
    const logger = recordingLogger();
    await suite.open({ dedupeWindow: 1000, logger }).stats();
    expect(await windows()).toEqual([300_000, 300_000]);
    expect(logger.warnings).toEqual([expect.stringMatching(/300000 ms, longer than `dedupeWindow` of 1000 ms/)]);
  });

  it('does not change if the user may not change it, which is logged', async () => {
    const manager = await suite.manager();
    const { stream, messages } = suite.names;
    await manager.streams.add({ name: stream, subjects: [messages], duplicate_window: nanos(1000) });
    const logger = recordingLogger();
    const queue = suite.open({ url: suite.url.replace('admin:', 'runner:'), logger });
    await queue.publish('key', { n: 1 });
    expect(await windows()).toEqual([1000, 120_000]);
    expect(logger.warnings).toEqual([expect.stringMatching(/1000 ms, shorter than the 120000 ms.*Permissions/i)]);
  });
});
