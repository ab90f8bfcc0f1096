import { AckPolicy } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNats, describeWithNatsSince } from '../support/servers/describe-with.js';
import { isAtLeast } from '../support/servers/server-version.js';

const MESSAGES = 40;

/** In milliseconds. */
const LEASE = 3000;

const user = `{ user: app, password: app, permissions: { publish: { deny: ["$JS.API.STREAM.PURGE.>"] } } }`;

describeWithNats('The removal of settled messages on NATS', () => {
  const suite = new NatsSuite({
    user: 'admin',
    password: 'admin',
    config: { authorization: `{ users: [{ user: admin, password: admin }, ${user}] }` },
  });
  const purges = () => isAtLeast('nats-server', [2, 10]);

  /** Counts the requests to remove messages of this queue from now on. */
  const countRequests = async () => {
    const counts = { purges: 0, removals: 0 };
    const connection = await suite.client();
    const count = (subject: string, kind: keyof typeof counts) =>
      connection.subscribe(`$JS.API.STREAM.${subject}.${suite.names.stream}`, {
        callback: () => {
          counts[kind] += 1;
        },
      });
    count('PURGE', 'purges');
    count('MSG.DELETE', 'removals');
    await connection.flush();
    return counts;
  };

  const publish = async (queue: ReturnType<typeof suite.open>, count = MESSAGES) => {
    for (let n = 1; n <= count; n++) await queue.publish('key', { n });
  };

  it('is one purge while no message is in flight, and one by one before 2.10', async () => {
    const counts = await countRequests();
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await publish(queue);
    const holder = new Holder(queue, { prefetch: MESSAGES });
    await eventually(() => holder.deliveries.length === MESSAGES);
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    await eventually(async () => (await suite.length()) === 0);
    expect(counts.purges > 0).toBe(purges());
    if (!purges()) expect(counts.removals).toBeGreaterThanOrEqual(MESSAGES);
    const decided = logger.debugs.filter((line) => line.includes('are removed'));
    expect(decided).toEqual([expect.stringContaining(purges() ? 'by purging the stream' : 'one by one')]);
  });

  it('keeps messages in flight: they are redelivered when their consumer dies', async () => {
    const { proxy, url } = await suite.proxy();
    const dying = new Holder(suite.open({ url, lease: LEASE }), { prefetch: MESSAGES });
    const queue = suite.open({ lease: LEASE });
    await publish(queue);
    await eventually(() => dying.deliveries.length === MESSAGES);
    const half = MESSAGES / 2;
    expect(await Promise.all(dying.held.slice(0, half).map((delivery) => delivery.ack()))).not.toContain(false);
    await eventually(async () => (await suite.length()) === half);
    expect((await suite.group()).num_ack_pending).toBe(half);
    await proxy.stop();
    const next = new Holder(queue, { prefetch: MESSAGES });
    await eventually(() => next.deliveries.length === half);
    expect(next.numbers.toSorted((one, other) => one - other)).toEqual(upTo(MESSAGES).slice(half));
  });

  it('includes settled messages behind an unsettled one', async () => {
    const queue = suite.open();
    await publish(queue);
    const holder = new Holder(queue, { prefetch: MESSAGES });
    await eventually(() => holder.deliveries.length === MESSAGES);
    await Promise.all(holder.held.slice(1).map((delivery) => delivery.ack()));
    await eventually(async () => (await suite.length()) === 1);
    expect(await holder.of(1).ack()).toBe(true);
    await eventually(async () => (await suite.length()) === 0);
  });

  it('continues one by one for a user that may not purge, and logs that once at debug', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ url: suite.url.replace('admin:admin', 'app:app'), logger });
    for (let round = 0; round < 2; round++) {
      await publish(queue, 5);
      const holder = new Holder(queue, { prefetch: 5 });
      await eventually(() => holder.deliveries.length === 5);
      await Promise.all(holder.held.map((delivery) => delivery.ack()));
      await eventually(async () => (await suite.length()) === 0);
      holder.subscription.unsubscribe();
    }
    expect(logger.warnings).toEqual([]);
    expect(logger.debugs.filter((line) => line.includes('may not publish to'))).toHaveLength(purges() ? 1 : 0);
  });
});

describeWithNatsSince([2, 10], 'A purge on NATS', () => {
  const suite = new NatsSuite();

  it('makes a consumer forget its requeued messages: when that is fixed, purge at any time', async () => {
    const stream = suite.name;
    const manager = await suite.manager();
    await manager.streams.add({ name: stream, subjects: [stream] });
    const consumer = 'taker';
    await manager.consumers.add(stream, { durable_name: consumer, ack_policy: AckPolicy.Explicit });
    for (const text of ['1', '2', '3']) await suite.add(stream, text);
    const connection = await suite.connection();
    // The message arrives on a subject that the client cannot match to its request.
    const options = { timeout: 5000, noMux: true };
    const next = () =>
      connection.request(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify({ batch: 1 }), options);
    /** Waits for the confirm, so that the server knows it before the purge. */
    const answer = ({ reply = '' }: Msg, how: string) => connection.request(reply, how, options);
    const [first, second] = [await next(), await next()];
    await answer(first, '+ACK');
    await answer(second, '-NAK');
    await manager.streams.purge(stream, { seq: 2 });
    expect((await next()).string()).toBe('3');
  });
});
