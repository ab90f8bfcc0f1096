import { InvalidMessageError } from 'sluice';
import { PostgresBackend, type PostgresBackendOptions } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';
import { StrangeServer } from '../support/servers/strange-server.js';

const SECRET = 'hu$h-s3cret';

const EMOJI = '😀'.repeat(63);

/** Names that SQL, arrays of PostgreSQL and JSON could misread. */
const NAMES = [
  `'; DROP SCHEMA sluice CASCADE; --`,
  `it's "quoted" \\ and \\\\ \\0`,
  'NULL',
  '{a,b}',
  '$1 %s :x ?',
  'a\0b\0',
  ' \t\r\n ',
  `${EMOJI}abc`,
  'x'.repeat(255),
  'e\u0301 \u00e9 \u202e',
];

describeWithPostgres('Bad input to a PostgresBackend', () => {
  const suite = new PostgresSuite({ password: SECRET });

  /** Opens a queue that records everything it says. */
  const talkative = (url: string, options: Partial<PostgresBackendOptions> = {}) => {
    const said: string[] = [];
    const keep = (...words: unknown[]) =>
      void said.push(
        words.map((word) => `${word} ${JSON.stringify(word)} ${(word as Error | undefined)?.stack}`).join(),
      );
    const logger = { debug: keep, warn: keep, error: keep };
    const queue = new PostgresBackend({ url, name: suite.name, logger, ...options });
    suite.ending(() => queue.close());
    return { queue, said };
  };

  const withoutSecret = (said: readonly string[], ...errors: readonly unknown[]) => {
    const all = [
      ...said,
      ...errors.map(
        (error) =>
          `${error} ${JSON.stringify(error)} ${(error as Error).stack} ${((error as Error).cause as Error)?.stack}`,
      ),
    ];
    for (const one of all) {
      expect(one).not.toContain('s3cret');
      expect(one).not.toContain(encodeURIComponent(SECRET));
    }
  };

  it.each<[what: string, change: (url: string) => string, reason: RegExp]>([
    [
      'a wrong password',
      (url) => url.replace(encodeURIComponent(SECRET), 'wr0ng-s3cret'),
      /PostgreSQL refused the user or the password: password authentication failed/,
    ],
    [
      'no password',
      (url) => url.replace(`:${encodeURIComponent(SECRET)}`, ''),
      /PostgreSQL refused the user or the password/,
    ],
    ['an unknown user', (url) => url.replace('//sluice:', '//nobody:'), /refused the user or the password/],
    [
      'an unknown database',
      (url) => url.replace(/\/postgres$/, '/nowhere'),
      /The database does not exist: database "nowhere" does not exist/,
    ],
    ['TLS that the server does not have', (url) => `${url}?sslmode=verify-full`, /SSL/],
    ['an unknown setting', (url) => `${url}?options=-c%20nonsense%3D1`, /nonsense/],
  ])('fails immediately because of %s', async (_what, change, reason) => {
    const { queue, said } = talkative(change(suite.url), { publishTimeout: 600_000 });
    const holder = new Holder(queue);
    const expected = { name: 'BackendUnavailableError', retryable: false, message: expect.stringMatching(reason) };
    const errors = [
      await failureOf(queue.publish('key', {})),
      await failureOf(queue.stats()),
      await failureOf(queue.peek()),
    ];
    for (const error of errors) expect(error).toMatchObject(expected);
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject(expected);
    withoutSecret(said, ...errors, holder.error);
  });

  it.each<[what: string, serve: 'http' | 'silence' | 'end' | 'garbage' | 'none']>([
    ['speaks HTTP', 'http'],
    ['says nothing', 'silence'],
    ['hangs up', 'end'],
    ['sends garbage', 'garbage'],
    ['does not listen', 'none'],
  ])('says why a server that %s cannot be used, and closes', async (_what, how) => {
    const server = await StrangeServer.start((socket) => {
      socket.on('error', () => undefined);
      if (how === 'http') socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
      if (how === 'garbage') socket.on('data', () => socket.write(Buffer.from(upTo(5000).map((n) => n % 251))));
      if (how === 'end') socket.end();
    });
    const { port } = server;
    if (how === 'none') await server.stop();
    else suite.ending(() => server.stop());
    const url = `postgres://sluice:${encodeURIComponent(SECRET)}@127.0.0.1:${port}/postgres`;
    const { queue, said } = talkative(url, { publishTimeout: 1500, lease: 300 });
    const holder = new Holder(queue);
    const error = await failureOf(queue.publish('key', {}));
    expect(error).toMatchObject({ name: 'BackendUnavailableError' });
    expect(error.message).toContain(suite.name);
    expect(holder.completed).toBe(false);
    await queue.close();
    withoutSecret(said, error);
  });

  it('says nothing of the password of a URL that it does not accept', () => {
    for (const url of [
      `postgres://sluice:${SECRET}@local host:x/`,
      `http://sluice:${SECRET}@localhost`,
      `postgres://sluice:s3cret%@localhost/x`,
    ]) {
      let error: unknown;
      try {
        new PostgresBackend({ url });
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(TypeError);
      withoutSecret([], error);
    }
  });

  it('keeps names, keys, ids and headers as they are', async () => {
    for (const name of NAMES) {
      const queue = talkative(suite.url, { name, groups: [name, 'other'] }).queue;
      await queue.publish(name, { name }, { id: name, group: name, headers: { [name]: name } });
      await queue.publish(name, { name }, { id: name, group: name });
      expect(await queue.peek({ group: name })).toMatchObject([
        { key: name, id: name, headers: { [name]: name }, payload: { name } },
      ]);
      expect(await queue.groups()).toMatchObject([{ name }, { name: 'other' }]);
      const holder = new Holder(queue, { group: name, prefetch: 1 });
      await eventually(() => holder.deliveries.length === 1);
      expect(holder.deliveries[0]).toMatchObject({ key: name, id: name, headers: { [name]: name }, payload: { name } });
      expect(await holder.deliveries[0]?.reject(name)).toBe(true);
      expect(await queue.stats({ group: name })).toEqual({ ready: 0, unfinished: 0 });
      await queue.close();
      const next = talkative(suite.url, { name, groups: ['other'] }).queue;
      expect(await next.deleteGroup(name)).toBe(true);
      await next.close();
    }
    // The names that end or begin like others are names of their own.
    const rows = await suite.run('SELECT FROM sluice.queues');
    expect(rows.length).toBeGreaterThanOrEqual(NAMES.length);
  });

  it('keeps strange payloads as they are', async () => {
    const queue = suite.open();
    const payloads = [
      { n: 1, text: '\u0000 a \ud800 b \udfff \\u0000 \\ " \u2028' },
      { n: 2, numbers: [1e308, 1e-320, 5e-324, Number.MAX_SAFE_INTEGER, 0.1 + 0.2, -1.5e300] },
      { n: 3, ['\u0000"\\']: null, proto__: { '': [] } },
      { n: 4, text: 'x😀\n'.repeat(1_200_000) },
      { n: 5, text: '"\\'.repeat(2_000_000) },
    ];
    const holder = new Holder(queue);
    for (const payload of payloads) await queue.publish('key', payload);
    await queue.publish('key', { n: 6, zero: -0 }, { headers: { a: '\u0001"\\' } });
    await eventually(() => holder.deliveries.length === 6);
    expect(holder.deliveries.slice(0, 5).map(({ payload }) => payload)).toEqual(payloads);
    expect(holder.of(6)).toMatchObject({ payload: { zero: 0 }, headers: { a: '\u0001"\\' } });
  });

  it('refuses a payload of more than 128 MiB before it sends it', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const error = await failureOf(queue.publish('key', { text: 'x'.repeat(129 * 1024 * 1024) }));
    expect(InvalidMessageError.is(error)).toBe(true);
    expect(error).toMatchObject({ path: 'payload', message: expect.stringContaining('134217728 bytes') });
    await queue.publish('key', { n: 2 });
    expect(await suite.tables()).toMatchObject({ messages: 2 });
  });

  it.each<[what: string, columns: Record<string, unknown>, reason: RegExp]>([
    ['an empty key', { key: '' }, /"key"/],
    ['a key that is too long', { key: 'x'.repeat(256) }, /"key"/],
    ['no payload', { payload: '' }, /"payload" is not JSON/],
    ['a payload that is not JSON', { payload: '{"n":' }, /"payload" is not JSON/],
    ['a payload that is a list', { payload: '[1]' }, /"payload" is not a JSON object but an array/],
    ['metadata that is not JSON', { metadata: 'x' }, /not JSON/],
    ['metadata that is a list', { metadata: '[]' }, /JSON object/],
    ['headers that are no strings', { metadata: '{"a":1}' }, /header "a"/],
  ])('quarantines a row that has %s, and goes on', async (_what, columns, reason) => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.publish('key', { n: 1 });
    const row = { id: 'foreign', key: 'key', payload: '{}', metadata: null, ...columns };
    await suite.run(
      `INSERT INTO sluice.messages (queue, id, key, payload, metadata, published_at)
       SELECT id, $2, $3, $4, $5, 0 FROM sluice.queues WHERE name = $1`,
      [suite.name, ...Object.values(row)],
    );
    await queue.publish('key', { n: 2 });
    expect(await queue.peek()).toHaveLength(2);
    const holder = new Holder(queue, { prefetch: 2 }, (delivery) => void delivery.ack());
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(holder.numbers).toEqual([1, 2]);
    expect(
      await suite.run('SELECT grp, reason, id, key, payload, metadata FROM sluice.quarantine WHERE queue = $1', [
        suite.name,
      ]),
    ).toEqual([{ ...row, grp: 'default', reason: expect.stringMatching(reason) }]);
    expect(logger.errors).toEqual([expect.stringMatching(/foreign.*sluice.*quarantine/s)]);
    expect(await suite.tables()).toEqual({ messages: 0, pending: 0, unplaced: 0 });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, -1e300, 1e300])(
    'delivers a row that was published at %d',
    async (at) => {
      const queue = suite.open();
      await queue.stats();
      await suite.run(
        `INSERT INTO sluice.messages (queue, id, key, payload, published_at)
       SELECT id, E'a\\\\b\\\\', 'key', '{"n":1}', $2::float8 FROM sluice.queues WHERE name = $1`,
        [suite.name, at],
      );
      await queue.publish('key', { n: 2 });
      const holder = new Holder(queue);
      await eventually(() => holder.numbers.includes(2));
      expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).not.toContain(false);
      await eventually(async () => (await queue.stats()).unfinished === 0);
    },
  );
});
