import { BackendUnavailableError, type QueueDiagnosis, type QueueFinding } from 'sluice';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { describeWithNats, describeWithNatsSince } from '../support/servers/describe-with.js';
import { NatsCluster } from '../support/servers/nats-cluster.js';
import { isAtLeast } from '../support/servers/server-version.js';

const HOUR = 3_600_000;

/** The findings but those of groups without a consumer, which most of these queues have. */
const findingsOf = ({ findings }: QueueDiagnosis) => findings.filter(({ code }) => code !== 'group-without-consumer');

const problemsOf = (diagnosis: QueueDiagnosis) =>
  findingsOf(diagnosis).filter(({ severity }) => severity === 'problem');

const find = ({ findings }: QueueDiagnosis, code: string): QueueFinding | undefined =>
  findings.find((finding) => finding.code === code);

/** @throws the error, unless the server may answer later */
function undefinedIfUnavailable(error: unknown): undefined {
  if (!BackendUnavailableError.is(error) || !error.retryable) throw error;
}

describeWithNats('diagnose() on NATS', () => {
  const suite = new NatsSuite();

  it('finds no problem of a healthy queue', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: HOUR });
    const holder = new Holder(queue, { group: 'a' });
    await eventually(() => holder.deliveries.length === 1);
    const diagnosis = await queue.diagnose();
    const { server, clients, clockDifference } = diagnosis;
    const { version } = (await suite.connection()).info ?? {};
    expect(server).toBe(`NATS ${version}`);
    expect(clients).toEqual(['@nats-io/jetstream', '@nats-io/transport-node']);
    expect(findingsOf(diagnosis).map(({ code, severity }) => [code, severity])).toEqual([
      ['nats-single-server', 'note'],
    ]);
    if (isAtLeast('nats-server', [2, 10])) expect(Math.abs(clockDifference ?? Number.NaN)).toBeLessThan(10_000);
    else expect(clockDifference).toBeUndefined();
  });

  it('finds groups without a consumer, and what they retain', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const groupsFound = async () =>
      (await suite.open({ groups: ['a', 'b'] }).diagnose()).findings
        .filter(({ code }) => code === 'group-without-consumer')
        .map(({ severity, message }) => [
          severity,
          message.slice(0, message.indexOf(' of queue')),
          /\d+ messages?/.exec(message)?.[0],
        ]);
    await queue.stats();
    expect(await groupsFound()).toEqual([
      ['note', 'Group "a"', undefined],
      ['note', 'Group "b"', undefined],
    ]);
    const holder = new Holder(queue, { group: 'a' });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(await groupsFound()).toEqual([['problem', 'Group "b"', '1 message']]);
    // A service would create a declared group again.
    const commands = async (groups: readonly string[]) =>
      (await suite.open({ groups }).diagnose()).findings
        .filter(({ code }) => code === 'group-without-consumer')
        .map(({ command }) => command);
    expect(await commands(['a', 'b'])).toEqual([undefined]);
    expect(await commands(['a'])).toEqual([`nats consumer rm ${suite.name} b`]);
  });

  it('does not name the packages of a client that it was given', async () => {
    expect((await suite.open({ client: await suite.client() }).diagnose()).clients).toEqual([]);
  });

  it('finds streams in memory', async () => {
    const diagnosis = await suite.open({ storage: 'memory' }).diagnose();
    expect(problemsOf(diagnosis)).toHaveLength(2);
    expect(find(diagnosis, 'nats-memory-storage')).toMatchObject({
      severity: 'problem',
      message: expect.stringContaining('lost when the server restarts'),
    });
  });

  it('finds limits that discard messages, with the command that removes them', async () => {
    const queue = suite.open();
    await queue.stats();
    const manager = await suite.manager();
    await manager.streams.update(suite.names.stream, { max_age: 3_600_000_000_000, max_msgs: 10 });
    const diagnosis = await queue.diagnose();
    expect(problemsOf(diagnosis)).toEqual([
      {
        code: 'nats-discarding-limits',
        severity: 'problem',
        message: `Stream "${suite.name}" has max_age and max_msgs: the server discards messages before they are settled.`,
        command: `nats stream edit --max-age 0s '--max-msgs=-1' ${suite.name}`,
      },
    ]);
  });

  it('counts the messages in quarantine, with the command that shows them', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.stats();
    await suite.add(`${suite.names.stream}.k`, 'odd');
    await eventually(async () => (await suite.quarantined()).length === 1);
    holder.subscription.unsubscribe();
    expect(problemsOf(await queue.diagnose())).toEqual([
      {
        code: 'nats-quarantine',
        severity: 'problem',
        message: expect.stringContaining('1 message that'),
        command: `nats stream view '${suite.names.quarantine}'`,
      },
    ]);
  });
});

describeWithNatsSince([2, 10], 'diagnose() on NATS 2.10', () => {
  const suite = new NatsSuite();

  it('finds messages in flight of a dead consumer, and not those of a live one', async () => {
    const dead = await suite.proxy();
    const queue = suite.open({ url: dead.url, groups: ['a', 'b'], lease: 300 });
    const holder = new Holder(queue, { group: 'a', prefetch: 1 });
    const live = suite.open({ groups: ['a', 'b'], lease: 300 });
    const other = new Holder(live, { group: 'b', prefetch: 1 });
    await live.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length + other.deliveries.length === 2);
    await dead.proxy.refuse();
    dead.proxy.cut();
    const looking = suite.open({ groups: ['a', 'b'], create: false });
    await eventually(async () => find(await looking.diagnose(), 'nats-stuck-leases') !== undefined);
    expect(problemsOf(await looking.diagnose()).map(({ code, message }) => [code, message])).toEqual([
      ['nats-stuck-leases', expect.stringMatching(/^Group "a" .* has 1 message in flight/)],
    ]);
  });
});

describeWithNats('diagnose() on an account of NATS that is nearly full', () => {
  const suite = new NatsSuite({
    config: {
      no_auth_user: 'app',
      accounts: '{ app: { jetstream: { max_file: 20000, max_mem: 20000 }, users: [{ user: app, password: secret }] } }',
    },
  });

  it('finds the limit', async () => {
    const queue = suite.open();
    await queue.stats();
    const storage = async () => (await (await suite.manager()).getAccountInfo()).storage;
    while ((await storage()) < 18_000) await queue.publish('key', { text: 'x'.repeat(500) });
    expect(problemsOf(await queue.diagnose())).toEqual([
      expect.objectContaining({ code: 'nats-storage-limit', command: 'nats account info' }),
    ]);
  });
});

describeWithNats('diagnose() on a cluster of NATS', () => {
  const suite = new NatsSuite();
  let cluster: NatsCluster;

  beforeAll(async () => {
    cluster = await NatsCluster.start();
  }, 120_000);

  afterAll(async () => cluster.stop());

  it('finds streams with a single replica, and none with three', async () => {
    const single = await suite.open({ url: cluster.url, name: 'single' }).diagnose();
    expect(problemsOf(single).map(({ code, command }) => [code, command])).toEqual([
      ['nats-single-replica', 'nats stream edit --replicas 3 single'],
      ['nats-single-replica', "nats stream edit --replicas 3 'single~delayed'"],
    ]);
    const safe = suite.open({ url: cluster.url, name: 'safe', replicas: 3 });
    await safe.stats();
    await cluster.whole();
    expect(findingsOf(await safe.diagnose())).toEqual([]);
  });

  it('finds a replica that is offline', async () => {
    const queue = suite.open({ url: cluster.servers[0]?.url ?? '', name: 'offline', replicas: 3 });
    await queue.stats();
    await cluster.whole();
    await cluster.servers[2]?.kill();
    let behind: QueueFinding | undefined;
    try {
      await eventually(async () => {
        // Without a leader a stream does not answer. The server may have been one, and an election
        // on a busy machine can take longer than the timeout.
        const diagnosis = await queue.diagnose().catch(undefinedIfUnavailable);
        behind = diagnosis && find(diagnosis, 'nats-replicas-behind');
        return behind !== undefined;
      });
      expect(behind).toMatchObject({ severity: 'problem', message: expect.stringContaining('n3') });
    } finally {
      await cluster.servers[2]?.start();
    }
  });
});
