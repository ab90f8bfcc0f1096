import { existsSync } from 'node:fs';
import { Cli, type CliResult } from '../support/cli.js';
import { linesOf } from '../support/cli-suite.js';
import { engines, nowhere } from '../support/engines.js';
import { eventually } from '../support/eventually.js';
import { StrangeServer } from '../support/servers/strange-server.js';

const SECRET = 's3cret';

describe('sluice with bad input', () => {
  const cli = new Cli({ QUEUE_BACKEND: 'memory', QUEUE_NAME: 'orders', QUEUE_GROUPS: undefined });

  afterEach(() => cli.stop());

  /** Expects the end of a command with bad usage: one line that fits a pattern. */
  function expectUsageError({ code, out, err }: CliResult, why: RegExp): void {
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^error: [^\n]+\n$/);
    expect(err).toMatch(why);
  }

  it.each([
    [[], /Expected a command.*sluice --help/],
    [['stas'], /unknown command 'stas'.*Did you mean stats\?/],
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['consume', '--lmit', '3'], /unknown option '--lmit'.*Did you mean --limit\?/],
    [['--nmae', 'orders', 'stats'], /unknown option '--nmae'.*Did you mean --name\?/],
    [['consume', '--limit', '0'], /'--limit <n>'.*'0'/],
    [['consume', '--limit', '1e3'], /'--limit <n>'.*'1e3'/],
    [['consume', '--limit'], /--limit/],
    [['consume', '--wait', 'soon'], /'--wait <duration>'.*'soon'/],
    [['consume', '--wait', '5'], /'--wait <duration>'.*such as 500ms/],
    [['consume', '--ack', '--release'], /either --ack or --release/],
    [['consume', 'orders'], /too many arguments/],
    [['bench', '--messages', '-1'], /--messages/],
    [['stats', '--groups', 'one,,two'], /--groups/],
    [['stats', '--name', ''], /`name`/],
    [['publish'], /missing required argument 'key'/],
    [['publish', 'key', '{}', '{}'], /too many arguments/],
    [['publish', 'key', '{'], /Expected the payload to be JSON/],
    [['publish', 'key', '{}', '--delay', '-5s'], /'--delay <duration>'.*'-5s'/],
    [['publish', 'key', '{}', '--header', 'trace'], /Expected NAME=VALUE/],
    [['publish', '-', '{}'], /no payload after -/],
    [['publish', '-', '--id', 'one'], /each line has its own/],
    [['replay'], /missing required argument 'from'/],
    [['replay', 'orders.failed', '--older-than', 'x'], /--older-than/],
    [['delete-group', '--yes'], /missing required argument 'group'/],
    [['purge'], /--yes/],
    [['delete-group', 'billing'], /--yes/],
    [['stats', '--backend', 'redis', '--url', 'localhost'], /REDIS_URL/],
    [['stats', '--backend', 'Redis'], /QUEUE_BACKEND/],
    [['stats', '--backend', 'kafka'], /kafka/],
  ])('refuses %j', async (args, why) => {
    expectUsageError(await cli.run(...args), why);
  });

  it.each([
    [['publish', 'key', '5'], /`payload`/],
    [['publish', 'key', '[]'], /`payload`/],
    [['publish', 'key', 'null'], /`payload`/],
    [['publish', '', '{}'], /`key`/],
    [['publish', 'key', '{}', '--id', ''], /`id`/],
  ])('refuses the message of %j', async (args, why) => {
    const { code, out, err } = await cli.run(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.split('\n').filter((line) => !line.startsWith('warning: '))).toEqual([
      expect.stringMatching(/^error: /),
      '',
    ]);
    expect(err).toMatch(why);
  });

  it('asks for the engine of a URL', async () => {
    const other = new Cli({ QUEUE_BACKEND: undefined });
    expectUsageError(await other.run('stats', '--url', 'redis://localhost'), /--backend or QUEUE_BACKEND/);
  });

  it.each(['redis://u:s3cret/with@signs@localhost', 'postgres://localhost/db?user=u&password=s3cret'])(
    'never shows the password of %s',
    async (url) => {
      const places = [
        [url],
        [`--${url}`],
        ['stats', url],
        ['stats', '--backend', url],
        ['stats', '--backend', 'redis', `--url=${url}`],
        ['stats', `--wat=${url}`],
        ['peek', '--limit', url],
        ['consume', '--wait', url],
        ['publish', 'key', url],
        ['replay', url, url],
        ['stats', '--name', url],
      ];
      for (const place of places) {
        const { code, out, err } = await cli.run(...place);
        expect([place, code, out]).toEqual([place, expect.any(Number), '']);
        expect(code).toBeGreaterThan(0);
        expect(err).toMatch(/^error: [^\n]+\n$/);
        expect(err).not.toContain(SECRET);
      }
    },
  );

  it('shows help and version on stdout', async () => {
    const [help, commandHelp, version] = await Promise.all([
      cli.run('--help'),
      cli.run('consume', '--help'),
      cli.run('--version'),
    ]);
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const command of ['publish', 'consume', 'peek', 'stats', 'replay', 'purge', 'groups', 'delete-group'])
      expect(help.out).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'));
    expect(help.out).toMatch(/^ {2}(doctor|bench)\b/m);
    expect(commandHelp.out).toMatch(/--limit <n>.*--backend <name>/s);
    expect(version).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), err: '' });
  });

  describe('on stdin', () => {
    it.each([
      ['{"key":"one","payload":{}}\n\n{"key":"two"}\n', 3, 1],
      ['{"key":"one","payload":{}}\r\n[]\r\n', 2, 1],
      ['null', 1, 0],
      ['{"payload":{}}', 1, 0],
      ['{"key":"one","payload":{},"delai":5}', 1, 0],
      ['{"key":5,"payload":{}}', 1, 0],
      ['{"key":"one","payload":{},"delay":"1h"}', 1, 0],
      ['{"key":"one","payload":{},"headers":{"n":1}}', 1, 0],
    ])('names the bad line of %j', async (input, line, confirmed) => {
      const { code, out, err } = await cli.runWith(`${input}\n${linesOf([1])}`, 'publish', '-');
      expect({ code, out }).toEqual({ code: 1, out: `{"confirmed":${confirmed}}\n` });
      expect(err.split('\n').filter((text) => !text.startsWith('warning: '))).toEqual([
        expect.stringMatching(new RegExp(`^error: line ${line}: .* \\(${confirmed} messages? before it confirmed\\)$`)),
        '',
      ]);
    });

    it.each(['', '\n \r\n\t\n'])('accepts that there is no message in %j', async (input) => {
      const { code, out } = await cli.runWith(input, 'publish', '-');
      expect({ code, out }).toEqual({ code: 0, out: '{"confirmed":0}\n' });
    });

    it('reads characters that come in parts, and a byte order mark', async () => {
      const publish = cli.start('publish', '-');
      const bytes = Buffer.from('\ufeff{"key":"größe","payload":{"text":"😀"}}\n');
      for (const byte of bytes) {
        publish.child.stdin.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      publish.child.stdin.end();
      expect(await publish.ended()).toMatchObject({ code: 0, out: '{"confirmed":1}\n' });
    });
  });

  it('fails if its output cannot be written', async () => {
    if (!existsSync('/dev/full')) return;
    const { code, err } = await cli.runInto('/dev/full', 'publish', 'key');
    expect(code).toBe(1);
    expect(err).toMatch(/^error: .*ENOSPC.*\n$/m);
  });
});

describe('sluice without a server', () => {
  const servers: StrangeServer[] = [];
  const running: Cli[] = [];

  afterEach(async () => {
    for (const cli of running.splice(0)) cli.stop();
    for (const server of servers.splice(0)) await server.stop();
  });

  /** Expects that commands fail at a URL in one line without the password. */
  async function expectFailures(urlOf: (url: URL) => void): Promise<void> {
    const results = engines.map(async (engine) => {
      const url = new URL(nowhere(engine));
      url.username = 'u';
      url.password = SECRET;
      urlOf(url);
      const { name: QUEUE_BACKEND, variable } = engine;
      const cli = new Cli({ QUEUE_BACKEND, [variable]: url.href, QUEUE_NAME: 'orders', QUEUE_PUBLISH_TIMEOUT: '1000' });
      running.push(cli);
      for (const args of [['stats'], ['publish', 'key']]) {
        const { code, out, err } = await cli.run(...args);
        expect({ code, out }).toEqual({ code: 1, out: '' });
        expect(err).toMatch(/^error: [^\n]+\n$/);
        expect(err).not.toContain(SECRET);
      }
    });
    await Promise.all(results);
  }

  it('says that nothing listens at the URL', () => expectFailures(() => {}));

  it('says that the server does not answer', async () => {
    const silent = await StrangeServer.start(() => {});
    servers.push(silent);
    await expectFailures((url) => {
      url.hostname = '127.0.0.1';
      url.port = String(silent.port);
    });
  });

  it.each([
    [['stats'], { code: 1, out: '', err: 'error: Interrupted\n' }],
    [['publish', 'key'], { code: 1, out: '', err: 'error: Interrupted\n' }],
    [['consume'], { code: 0, out: '', err: '' }],
    [['stats', '--watch'], { code: 0, out: '', err: '' }],
  ])('ends on a signal while it waits for a server: %j', async (args, end) => {
    const silent = await StrangeServer.start(() => {});
    servers.push(silent);
    const cli = new Cli({ QUEUE_BACKEND: 'redis', REDIS_URL: `redis://127.0.0.1:${silent.port}` });
    running.push(cli);
    const command = cli.start(...args);
    await eventually(() => silent.connections > 0);
    command.child.kill('SIGINT');
    expect(await command.ended()).toEqual(end);
  });
});
