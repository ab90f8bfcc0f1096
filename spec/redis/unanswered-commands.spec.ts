import { exchangeScript, openScript, publishScript, type Script, statsScript } from '../../src/redis/scripts/index.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { MuteProxy } from '../support/servers/mute-proxy.js';

const SCRIPTS: Readonly<Record<string, Script>> = {
  exchange: exchangeScript,
  open: openScript,
  publish: publishScript,
  stats: statsScript,
};

// The second word of a command tells which script it calls.
const SCRIPT_OF = new Map(
  Object.entries(SCRIPTS).flatMap(([name, script]) =>
    [script.byHash([], []), script.byText([], [])].map(([, which]) => [which, name] as const),
  ),
);

/** Returns the kind of a command, as this spec calls it. */
function kindOf([name = '', ...args]: readonly string[]): string {
  if (/^EVAL/.test(name)) return `${name} ${SCRIPT_OF.get(args[0])}`;
  if (name === 'XREADGROUP') return args.includes('BLOCK') ? 'XREADGROUP BLOCK' : name;
  return /^(CLIENT|XINFO|CONFIG)$/.test(name) ? `${name} ${args[0]}` : name;
}

/** The steps of a queue, in order. */
const STEPS = ['publish', 'rest', 'consume', 'wait', 'count', 'leave', 'close'] as const;

type Step = (typeof STEPS)[number];

/** Every kind of command, and the step from which its reply is swallowed. */
const COMMANDS: readonly [kind: string, from: Step][] = [
  ['AUTH', 'publish'],
  ['SELECT', 'publish'],
  ['CLIENT SETINFO', 'publish'],
  ['CLIENT SETNAME', 'publish'],
  ['INFO', 'publish'],
  ['CONFIG GET', 'publish'],
  ['EVALSHA open', 'publish'],
  ['EVAL open', 'publish'],
  ['XINFO GROUPS', 'publish'],
  ['EVALSHA publish', 'publish'],
  ['EVAL publish', 'publish'],
  ['PING', 'rest'],
  ['EVALSHA publish', 'consume'],
  ['EVALSHA exchange', 'consume'],
  ['EVAL exchange', 'consume'],
  ['XREADGROUP', 'consume'],
  ['CLIENT ID', 'consume'],
  ['XREADGROUP BLOCK', 'consume'],
  ['XREADGROUP BLOCK', 'wait'],
  ['XINFO CONSUMERS', 'wait'],
  ['EVALSHA exchange', 'wait'],
  ['EVALSHA stats', 'count'],
  ['EVAL stats', 'count'],
  ['CLIENT UNBLOCK', 'leave'],
  ['CLIENT UNBLOCK', 'close'],
  ['EVALSHA exchange', 'close'],
];

describeWithRedis('A command that is never answered', () => {
  retryOnce();
  const suite = new RedisSuite({ password: 'secret', config: { timeout: '3' } });
  const seen = new Set<string>();

  /** Runs every step of a queue while the reply to one command is swallowed. */
  const live = async (kind: string, from: Step) => {
    await suite.run('SCRIPT', 'FLUSH');
    const proxy = await MuteProxy.start(suite.server.port, kindOf);
    suite.ending(() => proxy.stop());
    // Not the database of the suite, because SELECT is a command, too.
    const queue = suite.open({ url: `redis://:secret@127.0.0.1:${proxy.port}/1`, lease: 3000, publishTimeout: 60_000 });
    const begin = (step: Step) => {
      if (step === from) proxy.mute(kind);
    };
    const swallowed = (step: Step) =>
      eventually(
        () => step !== from || proxy.hasMuted,
        () => [kind, from, ...proxy.seen],
      );

    begin('publish');
    await queue.publish('key', { n: 1 });
    await swallowed('publish');

    begin('rest');
    await swallowed('rest');

    begin('consume');
    const settled: Promise<boolean>[] = [];
    const holder = new Holder(queue, { prefetch: 1 }, (delivery) => void settled.push(delivery.ack()));
    await Promise.all(upTo(4).map((n) => queue.publish('key', { n: n + 1 })));
    await eventually(() => holder.deliveries.length === 5);
    expect(await Promise.all(settled)).toEqual([true, true, true, true, true]);
    await swallowed('consume');

    begin('wait');
    await swallowed('wait');
    await queue.publish('key', { n: 6 });
    await eventually(() => holder.deliveries.length === 6);
    expect(holder.attempts).toEqual(upTo(6).map((n) => [n, 1]));
    expect(await settled[5]).toBe(true);

    begin('count');
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    await swallowed('count');

    const waiting = () =>
      eventually(async () => /db=1 .* flags=\S*b| flags=\S*b.* db=1 /.test(String(await suite.run('CLIENT', 'LIST'))));
    await waiting();
    begin('leave');
    holder.subscription.unsubscribe();
    await swallowed('leave');

    await queue.publish('key', { n: 7 });
    const last = new Holder(queue, { prefetch: 2 });
    await eventually(() => last.deliveries.length === 1);
    await waiting();
    begin('close');
    await queue.close();
    await swallowed('close');
    for (const each of proxy.seen) seen.add(each);
    // The consumer has left the group, and its message is requeued.
    await suite.run('SELECT', '1');
    suite.ending(() => suite.run('SELECT', '0'));
    expect((await suite.pending()).map(([, consumer]) => consumer)).toEqual(['sluice:parked']);
  };

  it.each(COMMANDS)('is given up and its work is done anyway: %s, from step "%s"', live);

  it('has a case for every kind of command', () => {
    expect([...seen].toSorted()).toEqual([...new Set(COMMANDS.map(([kind]) => kind))].toSorted());
  });
});
