import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';

/** The subjects to which each user may not publish. */
const DENIED = {
  noack: ['$JS.ACK.orders.>'],
  nodelete: ['$JS.API.STREAM.MSG.DELETE.>', '$JS.API.STREAM.PURGE.>'],
  noforward: ['orders.late'],
} as const;

const users = Object.entries(DENIED).map(
  ([user, deny]) => `{ user: ${user}, password: secret, permissions: { publish: { deny: ${JSON.stringify(deny)} } } }`,
);

describeWithNats('A NatsBackend whose server refuses a request', () => {
  const suite = new NatsSuite({
    user: 'admin',
    password: 'admin',
    config: { authorization: `{ users: [{ user: admin, password: admin }, ${users.join(', ')}] }` },
  });

  const open = (user: keyof typeof DENIED) => {
    const logger = recordingLogger();
    const url = suite.url.replace('admin:admin', `${user}:secret`);
    return { logger, queue: suite.open({ name: 'orders', url, lease: 3000, publishTimeout: 30_000, logger }) };
  };

  afterEach(async () => {
    const manager = await suite.manager();
    for await (const name of manager.streams.names()) await manager.streams.delete(name);
  });

  it('ends the stream and the settlement with an error if it may not settle', async () => {
    const { queue } = open('noack');
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    const refused = failureOf(holder.of(1).ack());
    expect(await refused).toMatchObject({
      name: 'BackendUnavailableError',
      retryable: false,
      message: expect.stringContaining('may not'),
    });
    expect(holder.error).toMatchObject({ name: 'BackendUnavailableError', retryable: false });
  });

  it('ends the stream with an error if it may not renew leases', async () => {
    const { queue, logger } = open('noack');
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ name: 'BackendUnavailableError', retryable: false });
    expect(logger.errors.join()).toContain('may not');
  });

  it('logs once that it may not remove settled messages, and continues', async () => {
    const { queue, logger } = open('nodelete');
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    for (let n = 0; n < 5; n++) {
      await queue.publish('key', { n });
      await eventually(() => holder.deliveries.length === n + 1);
    }
    await eventually(() => logger.warnings.length > 0);
    expect(logger.warnings).toEqual([
      expect.stringContaining('refuses removals of settled messages from queue "orders"'),
    ]);
    const { consumers } = await suite.manager();
    // The warning may be logged before the last ack is confirmed.
    await eventually(async () => (await consumers.info('orders', 'default')).num_ack_pending === 0);
  });

  it('logs once that delayed messages are refused, and once that they are accepted again', async () => {
    const { queue, logger } = open('noack');
    await queue.publish('late', { n: 1 });
    const { streams } = await suite.manager();
    const refusing = (size: number) => streams.update('orders', { max_msg_size: size });
    await refusing(1);
    for (const n of [2, 3]) await queue.publish('late', { n }, { delay: 10 });
    await eventually(
      () => logger.debugs.filter((line) => line.includes('refuses requests for the delayed')).length > 0,
    );
    await refusing(-1);
    await eventually(() => logger.warnings.length > 1);
    expect(logger.warnings).toEqual([
      expect.stringContaining('NATS refuses requests for the delayed messages of queue "orders", trying again: '),
      expect.stringMatching(
        /^NATS accepts requests for the delayed messages of queue "orders" again after [\d.]+ s, \d+ attempts$/,
      ),
    ]);
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 3 });
  });

  it('logs once that a due message cannot be stored', async () => {
    const { queue, logger } = open('noforward');
    await queue.publish('late', { n: 1 }, { delay: 10 });
    await eventually(() => logger.warnings.length > 0);
    const holder = new Holder(queue);
    await queue.publish('other', { n: 2 }, { delay: 10 });
    await eventually(() => holder.numbers.includes(2));
    expect(logger.warnings[0]).toContain('refuses requests for the delayed messages of queue "orders"');
    expect(await queue.stats()).toMatchObject({ unfinished: 2 });
  });
});
