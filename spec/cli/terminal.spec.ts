import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { RedisBackendOptions } from 'sluice/redis';
import { Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { describeWithTerminal, Terminal, type TerminalOptions } from '../support/terminal.js';

/** Everything that the command line writes in the live view of one group. */
const COLUMNS = ['group', 'ready', 'unfinished', 'change', 'oldest', 'consumers', 'history'];

/** What controls a terminal, changes its title or turns the text around. */
const EVIL = '\u001b[2J\u001b]0;evil\u0007\u009b31m\u202e\rend';

describeWithRedis('sluice on Redis', () => {
  describeWithTerminal('on a terminal', () => {
    const redis = new RedisSuite();

    const environment = (url = redis.url) => ({ QUEUE_BACKEND: 'redis', REDIS_URL: url, QUEUE_NAME: redis.name });

    const start = (command: string, { env, ...options }: TerminalOptions = {}) => {
      const terminal = new Terminal(command, { env: { ...environment(), ...env }, ...options });
      redis.ending(() => terminal.stop());
      return terminal;
    };

    /** Runs a command to its end. Resolves to the lines that stay on the screen. */
    const run = async (command: string, options?: TerminalOptions) => {
      const terminal = start(command, options);
      expect(await terminal.ended()).toBe(0);
      return terminal.lines;
    };

    /** Opens the queue with some messages. */
    const filled = async (count: number, options?: Partial<RedisBackendOptions>) => {
      const queue = redis.open(options);
      for (let order = 1; order <= count; order++) await queue.publish('orders.created', { order });
      return queue;
    };

    const cellsOf = (screen: readonly string[], first: string) =>
      screen.find((line) => line.startsWith(first))?.split(/\s{2,}/) ?? [];

    const column = (screen: readonly string[], title: string, group = 'default') =>
      cellsOf(screen, group)[COLUMNS.indexOf(title)] ?? '';

    const expectRestored = (terminal: Terminal) =>
      expect({
        isAlternate: terminal.isAlternate,
        isCursorVisible: terminal.isCursorVisible,
        wraps: terminal.wraps,
      }).toEqual({ isAlternate: false, isCursorVisible: true, wraps: true });

    describe('stats --watch', () => {
      it('shows the queue and its groups, and follows changes, in 80 columns', async () => {
        const queue = await filled(3);
        queue.deliveries({ prefetch: 1 }).subscribe();
        const terminal = start('exec sluice stats --watch');
        await terminal.shows(`queue ${redis.name} · connected\n`);
        await terminal.shows(/ {3}ready 2 \(.*\) {3}unfinished 3 \(.*\)\n/);
        expect(cellsOf(terminal.screen, 'group')).toEqual(COLUMNS);
        expect(cellsOf(terminal.screen, 'default')).toEqual([
          'default',
          '2',
          '3',
          expect.stringMatching(/^(?:–|0\/s)$/),
          expect.stringMatching(/^\d+m?s$/),
          '1',
          expect.stringMatching(/^█+$/),
        ]);
        expect(terminal).toMatchObject({ isAlternate: true, isCursorVisible: false });

        for (let order = 1; order <= 9; order++) await queue.publish('orders.created', { order });
        await terminal.until((screen) => column(screen, 'change').startsWith('+'));
        await terminal.shows(/ready 11 \(\+\S+\/s\) {3}unfinished 12 \(\+\S+\/s\)/);
        expect(column(terminal.screen, 'unfinished')).toBe('12');
        expect(column(terminal.screen, 'history')).toMatch(/^[▁▂▃]+█+$/);

        await queue.purge();
        await terminal.until((screen) => /^-\S+\/s$/.test(column(screen, 'change')));
        await terminal.until((screen) => column(screen, 'oldest') === '–');
        expect(column(terminal.screen, 'history')).toMatch(/█▁+$/);
        expect([terminal.hasWrapped, terminal.hasScrolled]).toEqual([false, false]);
      });

      it('follows the size of the terminal', async () => {
        await filled(3);
        const terminal = start('exec sluice stats --watch --interval 100ms');
        await terminal.shows(/consumers {2}history\n/);
        await terminal.until((screen) => screen.some((line) => line.startsWith('default') && line.length === 80));
        await terminal.resize(60, 10);
        await terminal.until((screen) => !screen.join('\n').includes('consumers'));
        await terminal.until((screen) => screen.some((line) => line.startsWith('default') && line.length === 60));
        expect(terminal.screen[0]).toContain(`queue ${redis.name}`);
        expect(terminal.screen.slice(5)).toEqual(['', '', '', '', '']);
        expect(terminal.hasWrapped).toBe(false);
        // At the end of a full row, many terminals would erase the last character.
        expect(terminal.bytes.includes('█\u001b[K')).toBe(false);
        await terminal.resize(120, 30);
        await terminal.shows(/consumers {2}history\n/);
        expect(terminal.hasWrapped).toBe(false);
      });

      it('does not scroll when there are more groups than rows', async () => {
        const groups = Array.from({ length: 30 }, (_, index) => `group-${index}`);
        const queue = await filled(1, { groups });
        const terminal = start('exec sluice stats --watch --interval 100ms', { rows: 10 });
        await terminal.shows(/ready 1 .*\n… 25 more$/s);
        await queue.publish('orders.created', {});
        await terminal.shows(/ready 2 .*\n… 25 more$/s);
        expect(terminal.screen[0]).toContain(`queue ${redis.name}`);
        expect([terminal.hasWrapped, terminal.hasScrolled]).toEqual([false, false]);
      });

      it.each([
        ['Ctrl-C', (terminal: Terminal) => terminal.type('\x03')],
        ['SIGTERM', (terminal: Terminal) => terminal.signal('SIGTERM')],
        ['SIGHUP', (terminal: Terminal) => terminal.signal('SIGHUP')],
      ])('ends at %s, restores the terminal and leaves the last numbers', async (_, end) => {
        await filled(3);
        const terminal = start('exec sluice stats --watch');
        await terminal.shows('unfinished 3');
        await end(terminal);
        expect(await terminal.ended()).toBe(0);
        expectRestored(terminal);
        expect(terminal.lines[0]).toBe(`queue ${redis.name} · connected`);
        expect(terminal.lines.slice(2)).toEqual([
          '',
          expect.stringMatching(/^group /),
          expect.stringMatching(/^default /),
        ]);
      });

      it('ends when its window is closed', async () => {
        await filled(3);
        const terminal = start('exec sluice stats --watch');
        await terminal.shows('unfinished 3');
        await terminal.close();
      });

      it('restores the terminal while it is suspended', async () => {
        await filled(3);
        const terminal = start('exec sluice stats --watch');
        await terminal.shows('unfinished 3');
        await terminal.suspend();
        const before = terminal.bytes.length;
        terminal.resume();
        await terminal.until(() => terminal.bytes.slice(before).includes('unfinished 3'));
        // Left, then entered.
        expect(terminal.bytes.match(/\[\?1049[hl]/g)).toEqual(['[?1049h', '[?1049l', '[?1049h']);
        expect(terminal).toMatchObject({ isAlternate: true, isCursorVisible: false });
      });

      it('shows that the broker is away, and goes on when it is back', async () => {
        const queue = await filled(3);
        const { proxy, url } = await redis.proxy();
        const terminal = start('exec sluice stats --watch --interval 100ms', { env: environment(url) });
        await terminal.shows('unfinished 3');
        await proxy.refuse();
        proxy.cut();
        await terminal.shows(/queue \S+ · (?:disconnected|connecting).*unfinished 3/s);
        await queue.publish('orders.created', {});
        await proxy.accept();
        await terminal.shows(/queue \S+ · connected\n.*unfinished 4/s);
        terminal.type('\x03');
        expect(await terminal.ended()).toBe(0);
        expectRestored(terminal);
      });

      it('restores the terminal when an error ends it', async () => {
        const queue = await filled(3);
        const terminal = start('exec sluice stats --watch --interval 100ms');
        await terminal.shows('unfinished 3');
        await queue.deleteQueue();
        expect(await terminal.ended()).toBe(1);
        expectRestored(terminal);
        expect(terminal.lines[0]).toContain(`queue ${redis.name}`);
        expect(terminal.lines.at(-1)).toMatch(/^error: Queue ".*" does not exist/);
      });

      it('writes plain lines on a dumb terminal', async () => {
        await filled(3);
        const terminal = start('exec sluice stats --watch --interval 50ms', { env: { TERM: 'dumb' }, columns: 120 });
        const line = new RegExp(String.raw`^\d{4}-\S+Z ${redis.name} connected: 3 ready, 3 unfinished$`);
        await terminal.until((screen) => screen.filter((row) => line.test(row)).length >= 3);
        terminal.type('\x03');
        expect(await terminal.ended()).toBe(0);
        expect(terminal.bytes).not.toContain('\u001b');
      });

      it('writes lines of JSON without a terminal', async () => {
        await filled(3);
        const cli = new Cli(environment());
        redis.ending(() => cli.stop());
        const command = cli.start('stats', '--watch', '--interval', '50ms');
        await command.printed(3);
        command.child.kill('SIGINT');
        const { code, out, err } = await command.ended();
        expect({ code, err }).toEqual({ code: 0, err: '' });
        expect(out).not.toContain('\u001b');
        for (const line of command.lines)
          expect(JSON.parse(line)).toMatchObject({ queue: redis.name, status: 'connected', ready: 3, unfinished: 3 });
      });
    });

    describe('publish -', () => {
      it('shows how far it is, and removes that at the end', async () => {
        const folder = mkdtempSync(path.join(tmpdir(), 'sluice-terminal-'));
        redis.ending(() => rmSync(folder, { recursive: true }));
        const pipe = path.join(folder, 'lines');
        const terminal = start('mkfifo lines && exec sluice publish - < lines', { folder });
        await eventually(() => existsSync(pipe));
        const lines = await open(pipe, 'w');
        await lines.write('{"key":"orders.created","payload":{}}\n');
        await terminal.shows('1 message confirmed');
        expect(terminal.bytes).not.toContain('\n');
        await lines.write('{"key":"orders.created","payload":{}}\n'.repeat(9));
        await lines.close();
        expect(await terminal.ended()).toBe(0);
        expect(terminal.lines).toEqual(['10 messages confirmed']);
      });
    });

    describe('bench', () => {
      it('shows a bar, and a table in its place', async () => {
        const terminal = start('exec sluice bench --messages 20000');
        await terminal.shows(/[█░]{20,} +\d+ %/);
        expect(await terminal.ended()).toBe(0);
        expectRestored(terminal);
        expect(terminal.lines).toEqual([
          expect.stringMatching(/^ +messages\/s +p50 +p99$/),
          expect.stringMatching(/^publish +[\d,]+$/),
          expect.stringMatching(/^consume +[\d,]+$/),
          expect.stringMatching(/^latency +\d+\.\d\d ms +\d+\.\d\d ms$/),
        ]);
      });

      it('removes the bar and its queue at Ctrl-C', async () => {
        const terminal = start('exec sluice bench --messages 1000000');
        await terminal.shows(/[█░]{20,} +[1-9]\d* %/);
        terminal.type('\x03');
        expect(await terminal.ended()).toBe(1);
        expectRestored(terminal);
        expect(terminal.lines).toEqual([expect.stringMatching(/^(?:\^C)?error: Interrupted$/)]);
        expect(await redis.keys('sluice-bench')).toEqual([]);
      });
    });

    it('shows stats and groups as tables', async () => {
      const queue = await filled(1234, { groups: ['billing', 'audit'] });
      await queue.publish('orders.created', {}, { group: 'audit' });
      expect(await run('exec sluice stats')).toEqual([
        `queue ${redis.name}: 1,235 ready, 1,235 unfinished`,
        '',
        'group    ready  unfinished  consumers',
        'audit    1,235       1,235          0',
        'billing  1,234       1,234          0',
      ]);
      expect(await run('exec sluice groups')).toEqual([
        'group    ready  unfinished  consumers',
        'audit    1,235       1,235          0',
        'billing  1,234       1,234          0',
      ]);
    });

    it('shows waiting messages as a table', async () => {
      const queue = await filled(1);
      await queue.publish('orders.noted', { text: 'x'.repeat(100) }, { delay: 3_600_000 });
      const [title = '', ...rows] = await run('exec sluice peek', { columns: 160 });
      expect(title.split(/ {2,}/)).toEqual(['published', 'key', 'payload', 'attempt', 'state', 'id']);
      const time = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
      expect(rows.map((row) => row.split(/ {2,}/))).toEqual([
        [time, 'orders.created', '{"order":1}', '1', 'ready', expect.any(String)],
        [
          time,
          'orders.noted',
          expect.stringMatching(/^\{"text":"x+…$/),
          '1',
          expect.stringMatching(/^due 2/),
          expect.any(String),
        ],
      ]);
    });

    it.each(['peek', 'consume --limit 1 --ack', 'replay NAME elsewhere --dry-run'])(
      'lets no message control the terminal: %s',
      async (command) => {
        const queue = redis.open();
        await queue.publish(`key${EVIL}`, { text: EVIL }, { headers: { 'sluice-error': EVIL, other: EVIL } });
        const terminal = start(`exec sluice ${command.replace('NAME', redis.name)}`, { columns: 200 });
        expect(await terminal.ended()).toBe(0);
        expect(terminal.lines.join('\n')).toContain(
          String.raw`key\u001b[2J\u001b]0;evil\u0007\u009b31m\u202e\u000dend`,
        );
        expect(terminal.bytes.replaceAll('\r\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
        expect(terminal.titles).toEqual([]);
      },
    );
  });
});
