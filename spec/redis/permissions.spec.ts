import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createClient } from 'redis';
import { queueKeys } from '../../src/redis/keys.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { EXERCISED, exercise } from '../support/redis-exercise.js';
import { RedisSuite } from '../support/redis-suite.js';
import { ROOT } from '../support/root.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { isAtLeast } from '../support/servers/server-version.js';

const GUIDE = path.join(ROOT, 'docs/guides/from-memory-to-redis.md');

/** The ACL rules of the guide for queue `orders`, applied to a queue of another name. */
async function documentedRules(name: string): Promise<string[]> {
  const command = /redis-cli ACL SETUSER orders on '>secret' ([^`]+)```/.exec(await readFile(GUIDE, 'utf8'))?.[1] ?? '';
  const rules = command.split(/[\s\\']+/).filter((rule) => rule !== '');
  return rules.map((rule) => (rule.startsWith('~') ? rule.replaceAll('orders', name) : rule));
}

/**
 * Optional commands: the names of the client and of its library, and the server's timeout. Before
 * 7.0, `ACL LOG` shows no subcommand.
 */
const DISPENSABLE = isAtLeast('redis-server', [7, 0])
  ? /^(client\|setinfo|client\|setname|config\|get)$/
  : /^(client|config)$/;

/**
 * The name under which the server counts calls of a command. Before 7.0, subcommands are not
 * counted separately.
 */
const counted = (command: string) => (isAtLeast('redis-server', [7, 0]) ? command : command.replace(/\|.*/, ''));

describeWithRedis('A user with the permissions of the guide', () => {
  const suite = new RedisSuite();

  /** Creates a user with these rules and returns its URL. */
  const newUser = async (rules: readonly string[]) => {
    await suite.run('ACL', 'SETUSER', 'app', 'reset', 'on', '>secret', ...rules);
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    return suite.url.replace('redis://', 'redis://app:secret@');
  };

  it('keeps its connection if an administration command is refused', async () => {
    const queue = suite.open({ url: await newUser(['+@all', '-xrevrange', '~*']) });
    await queue.publish('key', { n: 1 });
    const statuses: string[] = [];
    queue.status$.subscribe((status) => statuses.push(status));
    expect(await failureOf(queue.purge())).toMatchObject({ name: 'BackendUnavailableError', retryable: false });
    expect(statuses).toEqual(['connected']);
  });

  it('can use every feature and needs every permission', async () => {
    const logger = recordingLogger();
    const rules = await documentedRules(suite.name);
    const url = await newUser(rules);
    await suite.run('ACL', 'LOG', 'RESET');
    await suite.run('CONFIG', 'RESETSTAT');
    await exercise(
      suite,
      (lease) => suite.open({ url, groups: EXERCISED, lease, logger }),
      async () => {},
    );
    const log = (await suite.run('ACL', 'LOG')) as string[][];
    const denied = log.map((entry) => entry[entry.indexOf('object') + 1]);
    expect(denied.filter((command) => !DISPENSABLE.test(String(command)))).toEqual([]);
    // A PING is only sent on a connection that is idle for long.
    const commands = rules.filter((rule) => rule.startsWith('+') && rule !== '+ping').map((rule) => rule.slice(1));
    for (const command of commands) expect([command, await suite.calls(counted(command))]).not.toEqual([command, 0]);
    expect(logger.errors.filter((message) => !message.includes('quarantine'))).toEqual([]);
  });

  it.each<[how: string, nameOf: (name: string) => string]>([
    ['begins with its name', (name) => `${name}-of-another-tenant`],
    ['equals one of its keys', (name) => `${name}:{${name}}:delayed`],
    ['begins with the prefix of its keys', (name) => `${name}:`],
    ['contains its name', (name) => `x:{${name}}:`],
  ])('cannot access another queue whose name %s', async (_how, nameOf) => {
    const url = await newUser(await documentedRules(suite.name));
    const name = nameOf(suite.name);
    expect(await failureOf(suite.open({ url, name }).publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringContaining('NOPERM'),
    });
    const client = await createClient({ url })
      .on('error', () => undefined)
      .connect();
    suite.ending(() => client.destroy());
    const names = queueKeys(name);
    const keys = [
      names.stream,
      names.wakeStream,
      names.delayed,
      names.quarantine,
      names.settled,
      names.addressed,
      names.requeued('a'),
      names.retries('a'),
      names.fence('a'),
      names.published('p'),
      `${names.idPrefix}order-7`,
    ];
    const failures = await Promise.all(keys.map((key) => failureOf(client.sendCommand(['DEL', key]))));
    expect(failures.filter(({ message }) => !message.startsWith('NOPERM'))).toEqual([]);
  });

  it('can administrate the queue with the commands that the guide adds', async () => {
    const added = ['+xrevrange', '+xgroup|destroy', '+scan', '+unlink', '+config|get', '+hlen'];
    const guide = await readFile(GUIDE, 'utf8');
    for (const rule of added) expect(guide).toContain(`\`${rule}\``);
    const foreign = suite.open({ groups: ['a', 'b'] });
    await foreign.publish('key', { n: 1 });
    await foreign.publish('key', { n: 2 }, { group: 'b', delay: 60_000 });
    const rules = await documentedRules(suite.name);
    const limited = suite.open({ url: await newUser(rules), groups: ['a'] });
    expect(await limited.peek({ group: 'a' })).toHaveLength(1);
    expect(await limited.groups()).toHaveLength(2);
    expect((await failureOf(limited.purge())).message).toContain('The user may not do');
    expect((await failureOf(limited.deleteGroup('b'))).message).toContain('The user may not do');
    expect((await failureOf(limited.deleteQueue())).message).toContain('The user may not do');
    const notes = (await limited.diagnose()).findings.filter(({ severity }) => severity === 'note');
    expect(notes.map(({ code }) => code)).toEqual(['redis-config-refused', 'redis-quarantine-refused']);
    const queue = suite.open({ url: await newUser([...rules, ...added]), groups: ['a'] });
    expect(await queue.deleteGroup('b')).toBe(true);
    expect(await queue.purge()).toBe(1);
    expect(await suite.length()).toBe(0);
    expect((await queue.diagnose()).findings.filter(({ severity }) => severity === 'note')).toEqual([]);
    await queue.deleteQueue();
    await foreign.close();
    expect(await suite.run('KEYS', `${suite.name}*`)).toEqual([]);
  });

  it('needs no further permission with `create: false`', async () => {
    await suite.open({ groups: EXERCISED }).stats();
    const url = await newUser(await documentedRules(suite.name));
    await exercise(
      suite,
      (lease) => suite.open({ url, groups: EXERCISED, lease, create: false }),
      async () => {},
    );
  });

  it('works without the server’s version if INFO is not allowed', async () => {
    const rules = await documentedRules(suite.name);
    const queue = suite.open({ url: await newUser(rules.filter((rule) => rule !== '+info')) });
    await queue.publish('key', {});
    expect(await suite.length()).toBe(1);
  });

  it('sees in the error which command is not allowed', async () => {
    const queue = suite.open({ url: await newUser([`~${suite.name}*`, '+client|id']) });
    const holder = new Holder(queue);
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringMatching(/may not.*NOPERM.*eval/),
    });
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ retryable: false, message: expect.stringContaining('NOPERM') });
  });
});
