import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { ROOT } from '../support/root.js';
import { describeWithNats } from '../support/servers/describe-with.js';

/** Returns the subjects in a block of the guide. */
const subjectsOf = (block = '') => [...block.matchAll(/"([^"]+)"/g)].map(([, subject = '']) => subject);

const guide = readFileSync(path.join(ROOT, 'docs/guides/on-nats.md'), 'utf8');
const [, rights = ''] = guide.split('## Rights');
const [run, create, administrate] = [...rights.matchAll(/^```text\n(.*?)^```$/gms)].map(([, block]) =>
  subjectsOf(block),
);

/** What a user of the queue `orders` needs, according to the guide. */
const RUN = run?.filter((subject) => !subject.startsWith('_INBOX')) ?? [];
const INBOX = run?.filter((subject) => subject.startsWith('_INBOX')) ?? [];
const CREATE = create ?? [];
const ADMINISTRATE = administrate ?? [];

/** Users that have all permissions for the queue `orders`, or lack some. */
const USERS = {
  runner: { publish: RUN, subscribe: INBOX },
  creator: { publish: [...RUN, ...CREATE], subscribe: INBOX },
  administrator: { publish: [...RUN, ...CREATE, ...ADMINISTRATE], subscribe: INBOX },
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
  nolist: {
    publish: RUN.filter((subject) => !/CONSUMER\.LIST|STREAM\.INFO\.orders~aside/.test(subject)),
    subscribe: INBOX,
  },
  noack: { publish: ['orders.>', '$JS.API.>'], subscribe: ['_INBOX.>'] },
} as const;

const users = Object.entries(USERS).map(
  ([user, permissions]) => `{ user: ${user}, password: secret, permissions: ${JSON.stringify(permissions)} }`,
);

describeWithNats('A user of NATS', () => {
  const suite = new NatsSuite({
    user: 'admin',
    password: 'admin',
    config: { authorization: `{ users: [{ user: admin, password: admin }, ${users.join(', ')}] }` },
  });

  const open = (user: keyof typeof USERS, logger = recordingLogger()) =>
    suite.open({
      name: 'orders',
      url: suite.url.replace('admin:admin', `${user}:secret`),
      lease: 3000,
      publishTimeout: 4000,
      logger,
    });

  afterEach(async () => {
    const manager = await suite.manager();
    for await (const name of manager.streams.names()) await manager.streams.delete(name);
  });

  /** Uses every feature of a queue. */
  const useAll = async (user: keyof typeof USERS) => {
    const logger = recordingLogger();
    const queue = open(user, logger);
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: 1 });
    await suite.add('orders.k', 'odd');
    await eventually(() => holder.deliveries.length === 2);
    await holder.of(1).nack({ delay: 1 });
    await eventually(() => holder.deliveries.length === 3);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    await eventually(async () => (await queue.stats()).unfinished === 0 && (await suite.length('orders')) === 0);
    expect((await queue.stats({ group: 'default' })).unfinished).toBe(0);
    expect(await suite.length('orders~aside')).toBe(1);
    await queue.publish('key', { n: 3 }, { group: 'default' });
    await eventually(() => holder.deliveries.length === 4);
    expect((await queue.stats()).unfinished).toBe(1);
    expect(await holder.of(3).ack()).toBe(true);
    await eventually(async () => (await suite.length('orders')) === 0);
    await queue.close();
    expect(logger.warnings).toEqual([]);
    expect(logger.debugs.filter((line) => line.includes('may not'))).toEqual([]);
  };

  it('can create and use a queue with the permissions in the guide', async () => {
    await useAll('creator');
  });

  it('can administer a queue with the permissions in the guide', async () => {
    const other = suite.open({ name: 'orders', groups: ['default', 'other'] });
    for (const delay of [0, 3_600_000])
      for (const group of [undefined, 'other']) await other.publish('key', { n: 1 }, { delay, group });
    await other.close();
    const queue = open('administrator');
    expect((await queue.groups()).map(({ name, unfinished }) => [name, unfinished]).toSorted()).toEqual([
      ['default', 2],
      ['other', 4],
    ]);
    expect(await queue.peek()).toHaveLength(2);
    expect(await queue.purge({ group: 'default' })).toBe(2);
    expect(await queue.deleteGroup('other')).toBe(true);
    expect(await queue.purge()).toBe(0);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    await queue.deleteQueue();
    const names: string[] = [];
    for await (const name of (await suite.manager()).streams.names()) names.push(name);
    expect(names).toEqual([]);
  });

  it('can diagnose a queue with the permissions to use it, and learns which others it needs', async () => {
    await suite.open({ name: 'orders' }).publish('key', { n: 1 });
    const diagnose = async (user: keyof typeof USERS) =>
      (await open(user).diagnose()).findings.filter(({ code }) => code !== 'nats-single-server');
    // Nobody consumes the message.
    expect((await diagnose('runner')).map(({ code }) => code)).toEqual(['group-without-consumer']);
    expect(await diagnose('nolist')).toEqual(
      ['CONSUMER.LIST.orders', 'STREAM.INFO.orders~aside'].map((subject) => ({
        code: 'nats-missing-right',
        severity: 'note',
        message: expect.stringContaining(`may not publish to $JS.API.${subject}.`),
      })),
    );
  });

  it('cannot delete a queue without the permission, and goes on', async () => {
    const queue = open('creator');
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const error = await failureOf(queue.deleteQueue());
    expect(error).toMatchObject({ name: 'BackendUnavailableError', message: expect.stringContaining('STREAM.DELETE') });
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 2);
    expect(await holder.of(2).ack()).toBe(true);
  });

  it('can use a queue that another user created, and create none', async () => {
    const queue = open('creator');
    await queue.publish('key', { n: 0 });
    await suite.add('orders.k', 'odd');
    const holder = new Holder(queue);
    await eventually(async () => (await suite.length('orders~aside')) === 1);
    expect(await holder.of(0).ack()).toBe(true);
    await queue.close();
    const manager = await suite.manager();
    await manager.streams.purge('orders~aside');
    await useAll('runner');
    await manager.streams.delete('orders');
    const error = await failureOf(open('runner').publish('key', { n: 1 }));
    expect(error).toMatchObject({
      name: 'BackendUnavailableError',
      retryable: false,
      message: expect.stringMatching(/STREAM\.CREATE\.orders/),
    });
  });

  describe.each(['runner', 'creator'] as const)('with the permissions of a %s', (user) => {
    const INVOICES = [
      ...[
        'STREAM.INFO',
        'STREAM.DELETE',
        'STREAM.PURGE',
        'STREAM.UPDATE',
        'STREAM.CREATE',
        'STREAM.SNAPSHOT',
        'STREAM.MSG.GET',
      ],
      ...['STREAM.MSG.DELETE', 'DIRECT.GET', 'CONSUMER.LIST', 'CONSUMER.NAMES', 'CONSUMER.CREATE'],
    ].map((verb) => `$JS.API.${verb}.invoices`);
    const CONSUMERS = ['INFO', 'CREATE', 'DURABLE.CREATE', 'DELETE', 'MSG.NEXT'].map(
      (verb) => `$JS.API.CONSUMER.${verb}.invoices.default`,
    );
    const OTHERS = [
      'invoices.key',
      'invoices~delayed.1.key',
      '$JS.ACK.invoices.default.1.1.1.1.0',
      '$JS.API.STREAM.LIST',
      '$JS.API.STREAM.NAMES',
    ];

    it.each([...INVOICES, ...CONSUMERS, ...OTHERS, '$JS.API.STREAM.DELETE.orders'])(
      'cannot publish to %s',
      async (subject) => {
        const client = await suite.client({ user, pass: 'secret', inboxPrefix: '_INBOX.orders' });
        const error = await failureOf(client.request(subject, '', { timeout: 10_000 }));
        expect(String(error)).toMatch(/Permissions Violation/i);
      },
    );

    it.each(['invoices.>', 'orders.>', '_INBOX.>', '_INBOX.invoices.>', '$JS.ACK.>'])(
      'cannot subscribe to %s',
      async (subject) => {
        const client = await suite.client({ user, pass: 'secret', inboxPrefix: '_INBOX.orders' });
        const refused = new Promise((resolve) => client.subscribe(subject, { callback: resolve }));
        expect(String(await refused)).toMatch(/Permissions Violation/i);
      },
    );

    it('cannot use another queue', async () => {
      await suite.open({ name: 'invoices' }).publish('key', { n: 1 });
      const other = suite.open({
        name: 'invoices',
        url: suite.url.replace('admin:admin', `${user}:secret`),
        publishTimeout: 4000,
        lease: 3000,
      });
      expect(await failureOf(other.publish('key', { n: 2 }))).toMatchObject({ name: 'BackendUnavailableError' });
      expect(await suite.length('invoices')).toBe(1);
    });
  });

  it('cannot copy another queue without the permission to create streams', async () => {
    await suite.open({ name: 'invoices' }).publish('key', { n: 1 });
    const client = await suite.client({ user: 'runner', pass: 'secret', inboxPrefix: '_INBOX.orders' });
    const copy = JSON.stringify({ name: 'orders~aside', sources: [{ name: 'invoices' }] });
    expect(String(await failureOf(client.request('$JS.API.STREAM.CREATE.orders~aside', copy)))).toMatch(
      /Permissions Violation/i,
    );
  });

  it('can have an inbox of its own, with a client of the user', async () => {
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
  ] as const)('gets an error if it may not %s', async (_what, user) => {
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
  ] as const)('finds in the log that it may not %s', async (_what, user) => {
    await suite.open({ name: 'orders' }).publish('key', { n: 1 });
    const logger = recordingLogger();
    const queue = open(user, logger);
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack().catch(() => {}));
    await eventually(() => holder.error !== undefined || logger.warnings.length + logger.errors.length > 0);
    await queue.close();
  });
});
