import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const API = ['INFO', 'STREAM.*.orders', 'STREAM.*.orders~>', 'STREAM.MSG.DELETE.orders', 'CONSUMER.>'].map((end) => `$JS.API.${end}`);

/** Users that lack something of what the queue `orders` needs. */
const USERS = {
  whole: { publish: ['orders.>', 'orders~delayed.>', 'orders~aside.>', '$JS.API.>', '$JS.ACK.>'], subscribe: ['_INBOX.>'] },
  inbox: { publish: ['>'], subscribe: ['_INBOX_app.>'] },
  noinbox: { publish: ['>'], subscribe: ['elsewhere'] },
  noapi: { publish: ['orders.>', '$JS.ACK.>'], subscribe: ['_INBOX.>'] },
  nopublish: { publish: ['$JS.API.>', '$JS.ACK.>'], subscribe: ['_INBOX.>'] },
  nopull: {
    publish: [
      'orders.>',
      '$JS.API.INFO',
      '$JS.API.STREAM.>',
      '$JS.API.CONSUMER.INFO.>',
      '$JS.API.CONSUMER.CREATE.>',
      '$JS.API.CONSUMER.DURABLE.>',
      '$JS.API.CONSUMER.DELETE.>',
      '$JS.ACK.>',
    ],
    subscribe: ['_INBOX.>'],
  },
  noack: { publish: ['orders.>', '$JS.API.>'], subscribe: ['_INBOX.>'] },
} as const;

const users = Object.entries(USERS).map(([user, permissions]) => `{ user: ${user}, password: secret, permissions: ${JSON.stringify(permissions)} }`);

describeWithNats('A user of NATS', () => {
  const suite = new NatsSuite({
    user: 'admin',
    password: 'admin',
    config: { authorization: `{ users: [{ user: admin, password: admin }, ${users.join(', ')}] }` },
  });

  const open = (user: keyof typeof USERS, logger = recordingLogger()) =>
    suite.open({ name: 'orders', url: suite.url.replace('admin:admin', `${user}:secret`), lease: 3000, publishTimeout: 4000, logger });

  afterEach(async () => {
    const manager = await suite.manager();
    for await (const name of manager.streams.names()) await manager.streams.delete(name);
  });

  it('may do everything with the rights to the subjects of the queue and to the API of JetStream', async () => {
    expect(API).toHaveLength(5);
    const logger = recordingLogger();
    const queue = open('whole', logger);
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: 1 });
    await suite.add('orders.k', 'odd');
    await eventually(() => holder.deliveries.length === 2);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(logger.warnings).toEqual([]);
  });

  it('may have an inbox of its own, with a client that is handed in', async () => {
    const client = await suite.client({ user: 'inbox', pass: 'secret', inboxPrefix: '_INBOX_app' });
    const queue = suite.open({ name: 'orders', client, publishTimeout: 4000, lease: 3000 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).ack()).toBe(true);
  });

  it.each([
    ['ask the API of JetStream', 'noapi'],
    ['publish messages', 'nopublish'],
    ['hear answers', 'noinbox'],
  ] as const)('is told that it may not %s', async (_what, user) => {
    await suite.open({ name: 'orders' }).stats();
    const queue = open(user);
    const error = await failureOf(queue.publish('key', { n: 1 }));
    expect(error).toMatchObject({ name: 'BackendUnavailableError' });
    expect(`${error.message} ${String(error.cause)}`).toMatch(/Permissions Violation|may not/i);
    expect(`${error.message} ${String(error.cause)}`).not.toContain('secret');
  });

  it.each([
    ['ask for messages', 'nopull'],
    ['settle them', 'noack'],
  ] as const)('reads in the log that it may not %s', async (_what, user) => {
    await suite.open({ name: 'orders' }).publish('key', { n: 1 });
    const logger = recordingLogger();
    const queue = open(user, logger);
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack().catch(() => {}));
    await eventually(() => holder.error !== undefined || logger.warnings.length + logger.errors.length > 0);
    await queue.close();
  });
});
