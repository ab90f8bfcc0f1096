import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AsyncLoopConsumer } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { eventually } from '../support/eventually.js';
import { silentLogger } from '../support/recording-logger.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { type Session, sessionsOf, withoutVariables } from '../support/sessions.js';
import { describeWithTerminal, Terminal } from '../support/terminal.js';

const sessions = sessionsOf('docs/guides/from-the-shell.md');

/** The server that the page names. */
const PAGE_URL = 'redis://localhost:6379';

/** How many messages are published while `stats --watch` runs. */
const WATCHED = 10;

const LOST = 'connect ECONNREFUSED 10.0.0.7:5432';

describeWithRedis('The sessions of the guide', () => {
  describeWithTerminal('on a terminal', () => {
    let server: RedisServer;
    let orders: RedisBackend;
    let failed: RedisBackend;
    let folder: string;
    let endAudit: () => Promise<void>;
    const exports: string[] = [];

    const open = (name: string, groups: readonly string[]) =>
      new RedisBackend({ url: server.url, name, groups, logger: silentLogger });

    /** Handles the messages of a group, without retries. Returns a function that ends this. */
    const consume = (group: string, handler: () => Promise<void>) => {
      const queue = open('orders', [group]);
      const options = { group, retry: { count: 0 }, deadLetter: failed, logger: silentLogger };
      const consumer = new AsyncLoopConsumer(queue, options);
      void consumer.run(handler);
      return async () => {
        await consumer.shutdown();
        await queue.close();
      };
    };

    /** Billing is down, after three dead letters, and an old group is left. */
    beforeAll(async () => {
      folder = mkdtempSync(path.join(tmpdir(), 'sluice-guide-'));
      server = await RedisServer.start({ appendOnly: true });
      orders = open('orders', ['billing', 'audit', 'reports']);
      failed = open('orders.failed', ['default']);
      const errors = [LOST, 'The card has expired', LOST];
      const endBilling = consume('billing', async () => {
        throw new Error(errors.shift());
      });
      endAudit = consume('audit', async () => {});
      for (let order = 1; order <= 3; order++) {
        await orders.publish('orders.created', { order });
        await eventually(async () => (await failed.stats()).ready === order);
      }
      await endBilling();
      for (let order = 4; order <= 6; order++) await orders.publish('orders.created', { order });
    }, 100_000);

    afterAll(async () => {
      await endAudit();
      await orders.close();
      await failed.close();
      await server.stop();
      rmSync(folder, { recursive: true });
    });

    // A session starts when audit has handled what the ones before have published.
    beforeEach(() => eventually(async () => (await orders.stats({ group: 'audit' })).ready === 0));

    const start = (command: string) =>
      new Terminal([...exports, command].join('\n'), { columns: 160, rows: 40, folder });

    /** Resolves to the screen of the live view, once it shows what the page shows. */
    const watch = async ({ command, output }: Session) => {
      const terminal = start(`exec ${command}`);
      try {
        await terminal.shows('unfinished');
        for (let order = 1; order <= WATCHED; order++) {
          const shown = terminal.bytes.length;
          await orders.publish('orders.created', { order });
          await eventually(() => terminal.bytes.length > shown);
        }
        const text = () => terminal.screen.join('\n').trimEnd();
        await eventually(
          () => withoutVariables(text()) === withoutVariables(output),
          () => text(),
        );
        const screen = text();
        terminal.type('\x03');
        await terminal.ended();
        return screen;
      } finally {
        terminal.stop();
      }
    };

    const run = async ({ command }: Session) => {
      const terminal = start(command);
      try {
        await terminal.ended();
        return terminal.lines.join('\n');
      } finally {
        terminal.stop();
      }
    };

    it.each(sessions)('line $line: $command', async (session) => {
      if (session.command.startsWith('export ')) {
        exports.push(session.command.replace(PAGE_URL, server.url));
        return;
      }
      const output = await (session.command.includes(' --watch') ? watch : run)(session);
      expect(withoutVariables(output.replaceAll(server.url, PAGE_URL))).toBe(withoutVariables(session.output));
    });

    it('show every command', () => {
      const shown = sessions.map(({ command }) => command).join('\n');
      for (const command of ['publish orders', 'publish -', 'consume', 'peek', 'stats', 'stats --watch', 'groups'])
        expect(shown).toContain(`sluice ${command}`);
      for (const command of ['replay', 'purge', 'delete-group', 'doctor', 'bench'])
        expect(shown).toContain(`sluice ${command}`);
    });
  });
});

describe('The patterns of what may differ', () => {
  it.each([
    ['billing  3  3  0', 'billing  4  4  0'],
    ['3 messages confirmed', '4 messages confirmed'],
    ['ready 22 (+1/s)', 'ready 23 (+1/s)'],
    ['"payload":{"order":4}', '"payload":{"order":5}'],
    ['error: line 1: Expected', 'error: line 2: Expected'],
    ['sluice 0.1.0, Node.js 20.20.2', 'sluice undefined, Node.js 20.20.2'],
    ['queue orders · connected', 'queue orders · disconnected'],
    ['exit code 1', 'exit code 2'],
  ])('tell %s from %s', (one, other) => {
    expect(withoutVariables(one)).not.toBe(withoutVariables(other));
  });

  it.each([
    ['2026-11-30 16:04:32  orders', '2026-12-01 08:00:00  orders'],
    ['1  ready  1796054672431-0', '1  ready  1796054672432-17'],
    ['ready 22 (+1/s)   unfinished', 'ready 22 (-1,234/s)   unfinished'],
    ['20     +1/s     15s          0  ▄▅▅███', '20   +0.7/s      2m          0  █████'],
    ['publish      28,036\nconsume      18,623', 'publish     128,036\nconsume       8,623'],
    ['latency              0.53 ms  11.37 ms', 'latency              10.53 ms  1.37 ms'],
    ['queue orders on Redis 7.0.15', 'queue orders on Redis 8.2.1'],
  ])('take %j for %j', (one, other) => {
    expect(withoutVariables(one)).toBe(withoutVariables(other));
  });
});
