import type { QueueDiagnosis, QueueFinding } from 'sluice';
import { readVersion } from '../../src/rabbitmq/server-version.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

const problemsOf = ({ findings }: QueueDiagnosis): QueueFinding[] =>
  findings.filter(({ severity }) => severity === 'problem');

describeWithRabbitMq('diagnose() on RabbitMQ', () => {
  const suite = new RabbitMqSuite();

  it('finds no problem of a healthy queue, and names an old server', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: HOUR });
    const holder = new Holder(queue, { group: 'a' });
    await eventually(() => holder.deliveries.length === 1);
    const version = await suite.server.run('version');
    const { server, clients, clockDifference, findings } = await queue.diagnose();
    expect([server, clients, clockDifference]).toEqual([`RabbitMQ ${version}`, ['rabbitmq-client'], undefined]);
    const notes = Number.parseInt(version, 10) < 4 ? [['rabbitmq-old-server', 'note']] : [];
    expect(findings.map(({ code, severity }) => [code, severity])).toEqual(notes);
  });

  it('does not name the package of a client that it was given, nor the version of its server', async () => {
    const client = suite.client();
    expect(await suite.open({ client }).diagnose()).toEqual({ server: 'RabbitMQ', clients: [], findings: [] });
  });

  it('counts the messages in quarantine, with the command that shows them', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.stats();
    await suite.add({ routingKey: '' }, 'odd');
    await eventually(async () => (await suite.length(suite.names.quarantine)) === 1);
    holder.subscription.unsubscribe();
    expect(problemsOf(await queue.diagnose())).toEqual([
      {
        code: 'rabbitmq-quarantine',
        severity: 'problem',
        message: expect.stringContaining('1 message that'),
        command: `rabbitmqadmin --vhost / get 'queue=${suite.names.quarantine}' 'count=10'`,
      },
    ]);
  });

  it('finds queues of an older version, with the command that deletes an empty one', async () => {
    const channel = await suite.channel();
    const { queue: name, again } = suite.names.group('default');
    for (const each of [name, again])
      await channel.queueDeclare({
        queue: each,
        durable: true,
        arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 ** 31 - 1 },
      });
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    expect(problemsOf(await queue.diagnose()).map(({ code, command }) => [code, command])).toEqual([
      ['rabbitmq-older-queue', undefined],
      ['rabbitmq-older-queue', `rabbitmqctl delete_queue --vhost / -- ${again}`],
    ]);
  });

  it('finds a queue that is not a quorum queue', async () => {
    await suite.open({ groups: ['a'] }).stats();
    const channel = await suite.channel();
    const { queue: name } = suite.names.group('a');
    await channel.queueDelete(name);
    await channel.queueDeclare({ queue: name, durable: true });
    expect(problemsOf(await suite.open({ groups: ['a'], create: false }).diagnose())).toEqual([
      expect.objectContaining({ code: 'rabbitmq-other-queue', message: expect.stringContaining(name) }),
    ]);
  });

  it('finds an alarm that has blocked the connection', async () => {
    const queue = suite.open({ publishTimeout: 2000 });
    await queue.publish('key', { n: 1 });
    await suite.server.run('set_vm_memory_high_watermark', '0');
    try {
      await queue.publish('key', { n: 2 }).catch(() => {});
      expect(problemsOf(await queue.diagnose())).toEqual([
        expect.objectContaining({ code: 'rabbitmq-alarm', command: 'rabbitmq-diagnostics alarms' }),
      ]);
    } finally {
      await suite.server.run('set_vm_memory_high_watermark', '0.4');
    }
  });

  it('works for a user that may configure nothing', async () => {
    await suite.open({ groups: ['a'] }).publish('key', { n: 1 });
    await suite.server.run('add_user', 'reader', 's3cret');
    await suite.server.run('set_permissions', 'reader', '^$', '^$', '.*');
    const url = new URL(suite.url);
    url.username = 'reader';
    url.password = 's3cret';
    const { findings } = await suite.open({ url: url.href, create: false }).diagnose();
    expect(findings.filter(({ code }) => code !== 'rabbitmq-old-server')).toEqual([
      { code: 'rabbitmq-missing-right', severity: 'note', message: expect.stringContaining(suite.name) },
    ]);
  });
});

describe('readVersion', () => {
  const frame = (text: string) => Buffer.from(text, 'latin1');

  it.each([
    ['the version', '..\u0007versionS\0\0\0\u00054.0.5..', '4.0.5'],
    ['nothing in another frame', '..', undefined],
    ['nothing in a frame that ends early', '\u0007versionS\0', undefined],
  ])('reads %s', (_what, text, version) => {
    expect(readVersion(frame(text))).toBe(version);
  });
});
