import type { QueueBackend } from 'sluice';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { NatsProxy } from '../support/servers/nats-proxy.js';

/** The response timeout is the minimum of one second. */
const LEASE = 1500;

/** The name of the queue, for the subjects of its requests. */
const STREAM = '[0-9a-f-]{36}';

describeWithNats('A NatsBackend whose server swallows one response', () => {
  retryOnce();
  const suite = new NatsSuite();

  const open = async (groups?: string[]) => {
    const proxy = await NatsProxy.start(suite.server.port);
    suite.ending(() => proxy.stop());
    const queue = suite.open({
      url: `nats://127.0.0.1:${proxy.port}`,
      lease: LEASE,
      publishTimeout: 60_000,
      ...(groups && { groups }),
    });
    return { proxy, queue };
  };

  /** Uses the whole queue: publishes, consumes, acknowledges, and counts. */
  const works = async (queue: QueueBackend) => {
    const holder = new Holder(queue);
    await queue.publish('late', { n: 2 }, { delay: 50 });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.numbers.includes(1) && holder.numbers.includes(2));
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).not.toContain(false);
    await eventually(async () => {
      for (const delivery of holder.held) void delivery.ack();
      return (await queue.stats()).unfinished === 0;
    });
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 0, unfinished: 0 });
    holder.subscription.unsubscribe();
  };

  const swallowed = async (proxy: NatsProxy) => eventually(() => proxy.swallowed === 1);

  it.each([
    ['$JS.API.INFO', /API\.INFO$/],
    ['STREAM.INFO of the messages', RegExp(`STREAM\\.INFO\\.${STREAM}$`)],
    ['STREAM.CREATE of the messages', RegExp(`STREAM\\.CREATE\\.${STREAM}$`)],
    ['STREAM.INFO of the delayed messages', /STREAM\.INFO\..*~delayed$/],
    ['STREAM.CREATE of the delayed messages', /STREAM\.CREATE\..*~delayed$/],
    ['CONSUMER.INFO of the mover', /CONSUMER\.INFO\..*\.mover$/],
    ['CONSUMER.CREATE of the mover', /CONSUMER\..*CREATE\..*\.mover$/],
    ['CONSUMER.INFO of a group', /CONSUMER\.INFO\..*\.default$/],
    ['CONSUMER.CREATE of a group', /CONSUMER\..*CREATE\..*\.default$/],
    ['PING', /^PING$/],
  ])('opens: %s', async (_method, subject) => {
    const { proxy, queue } = await open();
    proxy.swallow(subject);
    await works(queue);
    await queue.close();
    expect(proxy.swallowed).toBe(1);
  });

  it.each([
    ['a publish', RegExp(`^${STREAM}\\.key$`)],
    ['a delayed publish', /~delayed\.50\.late$/],
    ['the publish of a delayed message that is due', RegExp(`^${STREAM}\\.late$`)],
    ['the ack of the mover', /ACK\..*~delayed\.mover\./],
    ['an ack', RegExp(`ACK\\.${STREAM}\\.default\\.`)],
    ['CONSUMER.INFO of the mover', /CONSUMER\.INFO\..*\.mover$/],
    ['CONSUMER.INFO of a group', /CONSUMER\.INFO\..*\.default$/],
    ['CONSUMER.LIST', /CONSUMER\.LIST\./],
    ['STREAM.INFO', RegExp(`STREAM\\.INFO\\.${STREAM}$`)],
    ['STREAM.MSG.DELETE, or STREAM.PURGE', /STREAM\.(?:MSG\.DELETE|PURGE)\./],
  ])('drops the connection and resumes: %s', async (_method, subject) => {
    const { proxy, queue } = await open();
    await works(queue);
    const { accepted } = proxy;
    proxy.swallow(subject);
    await works(queue);
    await swallowed(proxy);
    await eventually(() => proxy.accepted > accepted);
    await works(queue);
    await queue.close();
  });

  it.each([
    ['of a group', RegExp(`MSG\\.NEXT\\.${STREAM}\\.default$`)],
    ['of the mover', /MSG\.NEXT\..*\.mover$/],
  ])('resumes: the response to a pull %s', async (_what, subject) => {
    const { proxy, queue } = await open();
    proxy.swallow(subject);
    await works(queue);
    await swallowed(proxy);
    await works(queue);
    await queue.close();
  });

  it('confirms a publish whose confirm is swallowed while others arrive', async () => {
    const { proxy, queue } = await open();
    await works(queue);
    proxy.swallow(/\.swallowed$/);
    let going = true;
    const others = (async () => {
      while (going) await queue.publish('other', { n: 0 });
    })();
    await queue.publish('swallowed', { n: 1 });
    going = false;
    await others;
    expect(proxy.swallowed).toBe(1);
    expect((await suite.stored()).filter(({ subject }) => subject.endsWith('.swallowed'))).toHaveLength(1);
  });

  it('keeps its leases: the response to a renewal', async () => {
    const { proxy, queue } = await open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const { accepted } = proxy;
    const other = new Holder(suite.open({ lease: LEASE }));
    proxy.swallow(RegExp(`ACK\\.${STREAM}\\.default\\.`));
    await swallowed(proxy);
    await eventually(() => proxy.accepted > accepted);
    expect(await holder.of(1).ack()).toBe(true);
    expect(other.deliveries).toEqual([]);
  });

  it.each(['ack', 'nack', 'release', 'reject'] as const)('settles: the response to %s', async (how) => {
    const { proxy, queue } = await open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const { accepted } = proxy;
    proxy.swallow(RegExp(`ACK\\.${STREAM}\\.default\\.`));
    expect(await holder.of(1)[how]()).toBe(true);
    await eventually(() => proxy.accepted > accepted);
    await eventually(async () => {
      for (const delivery of holder.held) void delivery.ack();
      return (await queue.stats()).unfinished === 0;
    });
    expect(proxy.swallowed).toBe(1);
  });

  it.each([
    ['STREAM.INFO', /STREAM\.INFO\..*~aside$/],
    ['STREAM.CREATE', /STREAM\.CREATE\..*~aside$/],
    ['the copy', /^[^$].*~aside\./],
  ])('quarantines unreadable messages: %s', async (_method, subject) => {
    const { proxy, queue } = await open();
    await works(queue);
    proxy.swallow(subject);
    new Holder(queue);
    await suite.add(`${suite.names.stream}.k`, 'odd');
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect((await suite.quarantined()).length).toBeGreaterThan(0);
    expect(proxy.swallowed).toBe(1);
  });

  it('lengthens a lease: the response to the update', async () => {
    await suite.open({ lease: 1000 }).stats();
    const { proxy, queue } = await open();
    proxy.swallow(/CONSUMER\..*CREATE\..*\.default$/);
    await works(queue);
    expect(proxy.swallowed).toBe(1);
    expect((await suite.group()).config.ack_wait).toBe(LEASE * 1_000_000);
  });

  it('closes: the response to the last ping', async () => {
    const { proxy, queue } = await open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    proxy.swallow(/^PING$/);
    await queue.close();
    expect(proxy.swallowed).toBe(1);
    // Its messages in flight were released all the same.
    const next = new Holder(suite.open({ lease: LEASE }));
    await eventually(() => next.deliveries.length === 1);
  });
});
