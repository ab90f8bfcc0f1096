import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { exercise } from '../support/redis-exercise.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

/** What a queue sends, and what its scripts call. */
const COMMANDS =
  'eval evalsha client|id client|unblock time set del exists hset lindex llen lpop rpush xack xadd xclaim xdel xgroup|create xgroup|createconsumer xgroup|delconsumer ' +
  'xinfo|consumers xinfo|groups xlen xpending xrange xreadgroup xtrim zadd zcard zcount zpopmin zrange zrangebyscore zrem';

describeWithRedis('A user with no more rights than a queue needs', () => {
  const suite = new RedisSuite();

  const newUser = async (commands: string, name = suite.name) => {
    await suite.run('ACL', 'SETUSER', 'app', 'reset', 'on', '>secret', `~${name}*`, ...commands.split(' ').map((command) => `+${command}`));
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    return suite.url.replace('redis://', 'redis://app:secret@');
  };

  it('can do everything: keys that begin with its name, and these commands', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ url: await newUser(COMMANDS), groups: ['a', 'b'], lease: 200, logger });
    await suite.run('ACL', 'LOG', 'RESET');
    await suite.run('CONFIG', 'RESETSTAT');
    await exercise(suite, queue, async () => {});
    // It may not ask for the version, and does without.
    const log = (await suite.run('ACL', 'LOG')) as string[][];
    const denied = log.map((entry) => entry[entry.indexOf('object') + 1]);
    expect(denied.filter((command) => !/^(info|client\|setinfo)$/.test(String(command)))).toEqual([]);
    for (const command of COMMANDS.split(' ')) expect([command, await suite.calls(command)]).not.toEqual([command, 0]);
    expect(logger.errors.filter((message) => !message.includes('moved aside'))).toEqual([]);
  });

  it('is told what it may not do', async () => {
    const queue = suite.open({ url: await newUser('client|id') });
    const holder = new Holder(queue);
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false, message: expect.stringMatching(/may not.*NOPERM.*eval/) });
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ retryable: false, message: expect.stringContaining('NOPERM') });
  });

  it('cannot reach another queue', async () => {
    const queue = suite.open({ url: await newUser(COMMANDS, 'another-queue') });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false, message: expect.stringContaining('NOPERM') });
  });
});
