import { exec } from 'node:child_process';
import { promisify } from 'node:util';
import type { RabbitLink } from '../../src/rabbitmq/link.js';
import { queueNames } from '../../src/rabbitmq/names.js';
import { unreadDefault } from '../../src/rabbitmq/unread-default.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/** Splits the command at the end of a warning, as a shell does. */
const argumentsOf = async (warning: string): Promise<string[]> => {
  const command = warning.slice(warning.indexOf('rabbitmqctl'));
  const { stdout } = await promisify(exec)(`rabbitmqctl() { printf '%s\\n' "$@"; }; ${command}`, { shell: '/bin/sh' });
  return stdout.trimEnd().split('\n');
};

describeWithRabbitMq('An unread group `default`', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  const url = (vhost: string) => `${suite.url}/${encodeURIComponent(vhost)}`;

  it('causes one warning with its number of messages and a command that deletes it', async () => {
    const vhost = `it's ${suite.name}`;
    await suite.server.run('add_vhost', vhost);
    await suite.server.run('set_permissions', '-p', vhost, 'guest', '.*', '.*', '.*');
    const careless = suite.open({ url: url(vhost) });
    for (let n = 0; n < 3; n++) await careless.publish('key', { n });
    const holder = new Holder(careless);
    await eventually(() => holder.held.length === 3);
    await holder.of(1).nack({ delay: 1 });
    await eventually(() => holder.deliveries.length === 4);
    await careless.close();
    const probe = suite.open({ url: url(vhost) });
    await eventually(async () => (await probe.stats()).ready === 3);
    await probe.close();

    const logger = recordingLogger();
    const queue = suite.open({ url: url(vhost), groups: ['billing'], logger });
    await queue.stats();
    await eventually(() => logger.warnings.length > 0);
    await queue.publish('key', { n: 3 });
    const other = new Holder(queue, { group: 'billing' });
    await eventually(() => other.deliveries.length === 1);
    await queue.stats();
    expect(logger.warnings).toHaveLength(1);
    const [warning = ''] = logger.warnings;
    expect(warning).toMatch(/Group "default" of queue ".*" has no consumer .* retains 3 messages/);
    const args = await argumentsOf(warning);
    const { queue: name, again } = queueNames(suite.name).group('default');
    const one = (each: string) => ['delete_queue', '--vhost', vhost, '--', each];
    expect(args).toEqual([...one(name), ...one(again)]);
    for (const each of [name, again]) await suite.server.run(...one(each));
    expect(await suite.rows('list_queues', '-p', vhost, 'name')).not.toContainEqual([name]);

    const next = recordingLogger();
    const last = suite.open({ url: url(vhost), groups: ['billing'], logger: next });
    await last.publish('key', { n: 4 });
    await last.stats();
    await last.close();
    expect(next.warnings).toEqual([]);
  });

  it.each([
    ['it has a consumer', { groups: ['billing'] }, true],
    ['it is declared', { groups: ['billing', 'default'] }, false],
    ['no groups are declared', {}, false],
    ['it does not exist', { groups: ['billing'], name: 'other' }, false],
  ])('causes no warning if %s', async (_, options, isConsumed) => {
    const careless = suite.open();
    await careless.publish('key', { n: 1 });
    if (isConsumed) {
      const holder = new Holder(careless);
      await eventually(() => holder.deliveries.length === 1);
    }
    const logger = recordingLogger();
    const { proxy, url: proxied } = await suite.proxy();
    const queue = suite.open({ url: proxied, logger, ...options });
    await queue.publish('key', { n: 2 });
    await queue.stats();
    await queue.close();
    expect([logger.debugs, logger.warnings, logger.errors]).toEqual([[], [], []]);
    // The check has cost a channel but no connection.
    expect(proxy.accepted).toBe(2);
  });

  it('causes a warning on a given client, too', async () => {
    await suite.open().publish('key', { n: 1 });
    const logger = recordingLogger();
    const client = suite.client();
    client.on('error', () => undefined);
    const queue = suite.open({ client, groups: ['billing'], logger });
    await queue.publish('key', { n: 2 });
    await eventually(() => logger.warnings.length === 1);
    const { queue: name } = suite.names.group('default');
    expect((await argumentsOf(logger.warnings[0] ?? '')).slice(0, 5)).toEqual([
      'delete_queue',
      '--vhost',
      '/',
      '--',
      name,
    ]);
  });
});

describe('The check for an unread group `default`', () => {
  const errorOf = (code: string) => Object.assign(new Error(code), { code });
  /** A link whose passive declarations get these answers, one after the other. */
  const linkThat = (...answers: unknown[]) => {
    const queueDeclare = async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    };
    return { openChannel: async () => ({ queueDeclare, close: async () => undefined }) } as unknown as RabbitLink;
  };
  const create = () => {
    const logger = recordingLogger();
    const options = { queueName: 'orders', names: queueNames('orders'), groups: ['billing'], vhost: 'shop', logger };
    const classify = (error: unknown) =>
      (error as { code?: unknown }).code === 'LOST' ? ('retryable' as const) : ('fatal' as const);
    return { logger, look: unreadDefault({ ...options, failures: { classify } }).look };
  };

  it('is skipped if the broker refuses it, which is logged at debug', async () => {
    const { logger, look } = create();
    await look(linkThat(errorOf('ACCESS_REFUSED')));
    expect(logger.warnings).toEqual([]);
    expect(logger.debugs).toEqual([
      expect.stringMatching(/cannot check for groups without a consumer.*ACCESS_REFUSED/),
    ]);
    await look(linkThat({ messageCount: 1, consumerCount: 0 }));
    expect(logger.warnings).toEqual([]);
  });

  it('restarts on the next connection if a connection is lost', async () => {
    const { logger, look } = create();
    await look(linkThat(errorOf('LOST')));
    expect([logger.debugs, logger.warnings]).toEqual([[], []]);
    await look(linkThat({ messageCount: 1, consumerCount: 0 }, errorOf('NOT_FOUND')));
    await look(linkThat({ messageCount: 2, consumerCount: 0 }));
    expect(logger.warnings).toEqual([
      expect.stringMatching(/retains 1 message and .*rabbitmqctl delete_queue --vhost shop -- orders:group:default$/),
    ]);
  });
});
