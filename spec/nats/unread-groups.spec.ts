import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { queueNames } from '../../src/nats/names.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { type RecordingLogger, recordingLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';

/** Longer than a backend looks for unread groups, in milliseconds. */
const LOOKED = 1500;

describeWithNats('The warning of an undeclared group without a consumer on NATS', () => {
  const suite = new NatsSuite();

  const openWith = async (groups: string[] | undefined, logger: RecordingLogger) => {
    const queue = suite.open({ ...(groups !== undefined && { groups }), logger });
    await queue.stats();
    return queue;
  };

  it('is logged once: with the group, its number of messages, and the command that deletes it', async () => {
    const owner = suite.open({ groups: ['a', 'gone away', "it's"] });
    for (const n of upTo(3)) await owner.publish('key', { n });
    await owner.publish('key', { n: 4 }, { group: 'a' });
    await owner.publish('key', { n: 5 }, { group: "it's" });
    await owner.close();
    const details: unknown[] = [];
    const logger = recordingLogger();
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({
      url,
      groups: ['a'],
      logger: {
        ...logger,
        warn: (message, ...more) => {
          logger.warn(message);
          details.push(...more);
        },
      },
    });
    await queue.stats();
    await eventually(() => logger.warnings.length === 2);
    const [away = '', its = ''] = logger.warnings.toSorted();
    expect(away).toContain(`Group "gone away" of queue "${suite.name}"`);
    expect(away).toContain('retains 3 messages');
    expect(away).toContain(`nats consumer rm ${suite.name} 'gone=20away'`);
    expect(its).toContain('retains 4 messages');
    expect(details).toEqual(expect.arrayContaining([{ queue: suite.name, group: 'gone away' }]));
    proxy.cut();
    await queue.publish('key', { n: 6 });
    await sleep(LOOKED);
    expect(logger.warnings.filter((warning) => warning.includes('retains'))).toHaveLength(2);
  });

  it('names the group default of a publisher that forgot to declare groups', async () => {
    await suite.open().publish('key', { n: 1 });
    const logger = recordingLogger();
    await openWith(['a'], logger);
    await eventually(() => logger.warnings.length === 1);
    expect(logger.warnings[0]).toContain(`nats consumer rm ${suite.name} default`);
  });

  it('is not logged for a group with a live consumer in another process, idle or busy', async () => {
    const owner = suite.open({ groups: ['idle', 'full', 'slow'] });
    const idle = new Holder(owner, { group: 'idle' }, (delivery) => void delivery.ack());
    const full = new Holder(owner, { group: 'full', prefetch: 1 });
    for (const n of upTo(3)) await owner.publish('key', { n });
    const slow = new Holder(
      owner,
      { group: 'slow', prefetch: 1 },
      (delivery) => void setTimeout(() => delivery.ack(), 5),
    );
    const publishing = setInterval(() => void owner.publish('key', { n: 0 }), 5);
    suite.ending(() => clearInterval(publishing));
    await eventually(() => idle.deliveries.length > 0 && full.deliveries.length > 0 && slow.deliveries.length > 0);
    const loggers = upTo(5).map(() => recordingLogger());
    for (const logger of loggers) await openWith(['a'], logger);
    await sleep(LOOKED);
    clearInterval(publishing);
    for (const { warnings } of loggers) expect(warnings).toEqual([]);
  });

  it('is not logged for a group that the process declares or consumes', async () => {
    const logger = recordingLogger();
    await openWith(undefined, logger);
    await openWith(['a', 'default'], logger);
    await openWith(['a', 'default'], logger);
    await sleep(LOOKED);
    expect(logger.warnings).toEqual([]);
  });

  it('is logged for a group whose last consumer died with messages in flight', async () => {
    const owner = suite.open({ groups: ['dead'], lease: 100 });
    await owner.publish('key', { n: 1 });
    const connection = await suite.connection();
    const { stream, consumer } = suite.names;
    await connection.request(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer('dead')}`, '1', {
      timeout: 5000,
      noMux: true,
    });
    await owner.close();
    const logger = recordingLogger();
    await openWith(['a'], logger);
    await eventually(() => logger.warnings.length === 1);
    expect(logger.warnings[0]).toContain('retains 1 message');
  });

  it('quotes names for the shell, after the end of the options', async () => {
    const odd = ['=ls', '~', '-f', 'a$b', "it's", 'plain'];
    await suite.open({ name: '-q', groups: odd }).stats();
    const logger = recordingLogger();
    const queue = suite.open({ name: '-q', groups: ['a'], logger });
    await queue.stats();
    await eventually(() => logger.warnings.length === odd.length);
    const commands = logger.warnings.map((warning) => warning.slice(warning.indexOf('nats consumer rm')));
    const printed = commands.map((command) =>
      String(execFileSync('sh', ['-c', command.replace('nats', "printf '%s|'")])),
    );
    const { stream, consumer } = queueNames('-q');
    expect(new Set(printed)).toEqual(new Set(odd.map((group) => `consumer|rm|--|${stream}|${consumer(group)}|`)));
  });

  it('is not logged for a group whose only consumer has no credit and renews its lease', async () => {
    const owner = suite.open({ groups: ['full'], lease: 400 });
    const full = new Holder(owner, { group: 'full', prefetch: 1 });
    await owner.publish('key', { n: 1 });
    await owner.publish('key', { n: 2 });
    await eventually(() => full.deliveries.length === 1);
    const logger = recordingLogger();
    await openWith(['a'], logger);
    await sleep(LOOKED);
    expect(logger.warnings).toEqual([]);
    expect(full.held).toHaveLength(1);
  });
});

const SUBJECTS =
  '["orders.>", "orders~delayed.>", "$JS.ACK.>", "$JS.API.INFO", "$JS.API.STREAM.>", "$JS.API.CONSUMER.INFO.>", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.MSG.>"]';

describeWithNats('A user of NATS that may not list the groups of a queue', () => {
  const suite = new NatsSuite({
    user: 'admin',
    password: 'admin',
    config: {
      authorization: `{ users: [{ user: admin, password: admin }, { user: nolist, password: secret, permissions: { publish: ${SUBJECTS}, subscribe: ["_INBOX.>"] } }] }`,
    },
  });

  it('gets no warning of unread groups, only a debug line, and publishes', async () => {
    await suite.open({ name: 'orders', groups: ['gone'] }).publish('key', { n: 1 });
    const logger = recordingLogger();
    for (const groups of [['a'], undefined]) {
      const queue = suite.open({
        name: 'orders',
        url: suite.url.replace('admin:admin', 'nolist:secret'),
        groups,
        logger,
      });
      await queue.publish('key', { n: 2 });
      await eventually(() => logger.debugs.some((line) => line.includes('CONSUMER.LIST')));
      logger.debugs.length = 0;
    }
    expect(logger.warnings).toEqual([]);
    expect(await suite.length('orders')).toBe(3);
  });
});
