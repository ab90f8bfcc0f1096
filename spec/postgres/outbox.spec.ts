import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { programOf } from '../support/program.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { ROOT } from '../support/root.js';
import { describeWithPostgres, describeWithRabbitMq } from '../support/servers/describe-with.js';
import { guard } from '../support/servers/guard.js';

const SERVICE = 'spec/postgres/fixtures/order-service.ts';

/** A lock of the tests, on which a transaction of the service waits. */
const LOCK = 4711;

/** Returns a port that nobody uses. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The service of the guide, in a process of its own. */
class Service {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #url: string;

  private constructor(env: Readonly<Record<string, string>>, port: number) {
    this.#url = `http://127.0.0.1:${port}/orders`;
    this.#child = spawn(process.execPath, [programOf(SERVICE)], {
      cwd: ROOT,
      env: { ...process.env, ...env, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    guard(this.#child);
    this.#closed = once(this.#child, 'close');
  }

  /** Starts a service. Resolves when it accepts orders. */
  static async start(env: Readonly<Record<string, string>>): Promise<Service> {
    const service = new Service(env, await freePort());
    await eventually(() => service.listens());
    return service;
  }

  async listens(): Promise<boolean> {
    return fetch(this.#url, { method: 'HEAD' }).then(
      () => true,
      () => false,
    );
  }

  /** Places an order. Resolves to the status, or to undefined if the service does not answer. */
  place(id: string): Promise<number | undefined> {
    return fetch(this.#url, { method: 'POST', body: JSON.stringify({ id, item: `item of ${id}` }) }).then(
      ({ status }) => status,
      () => undefined,
    );
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  terminate(): void {
    this.#child.kill('SIGTERM');
  }

  /** Sends SIGTERM. Resolves to the exit code. */
  async stop(): Promise<number | null> {
    this.terminate();
    await this.#closed;
    return this.#child.exitCode;
  }
}

describeWithPostgres('A transactional outbox', () => {
  describeWithRabbitMq('that is forwarded to RabbitMQ', () => {
    const postgres = new PostgresSuite();
    const rabbit = new RabbitMqSuite();

    /** The names of the orders that the test places. */
    const order = (number: number) => `${postgres.name}-${number}`;

    const open = async (rabbitUrl = rabbit.url): Promise<Service> => {
      const service = await Service.start({
        POSTGRES_URL: postgres.url,
        RABBITMQ_URL: rabbitUrl,
        QUEUE_NAME: postgres.name,
        QUEUE_LEASE: '2000',
        // A stalled broker must not become a failed one.
        QUEUE_PUBLISH_TIMEOUT: '60000',
      });
      postgres.ending(() => service.kill());
      return service;
    };

    const outboxRows = () =>
      postgres.run<{ readonly consumer: unknown }>(
        `SELECT p.consumer FROM sluice.queues q JOIN sluice.groups g ON g.queue = q.id
         JOIN (SELECT grp, consumer FROM sluice.claims, unnest(places) UNION ALL SELECT grp, NULL FROM sluice.requeued) p
         ON p.grp = g.id WHERE q.name = $1`,
        [`${postgres.name}-outbox`],
      );

    const waits = async () =>
      (await postgres.run('SELECT FROM pg_stat_activity WHERE wait_event_type = $1', ['Lock'])).length > 0;

    /** Keeps the forwarder from claiming and from settling messages until the returned function is called. */
    const stopClaims = async (): Promise<() => Promise<unknown>> => {
      const client = await postgres.begin();
      await client.query(
        'SELECT FROM sluice.groups g JOIN sluice.queues q ON q.id = g.queue WHERE q.name = $1 FOR UPDATE OF g',
        [`${postgres.name}-outbox`],
      );
      return () => client.query('COMMIT');
    };

    /** The server notices late that a waiting client has died. */
    const endWaiting = async () => {
      await postgres.run('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = $1', ['Lock']);
      await eventually(async () => !(await waits()));
    };

    /** Waits until the outbox is empty. */
    const forwarded = async () => {
      const outbox = postgres.open({ name: `${postgres.name}-outbox` });
      await eventually(async () => (await outbox.stats()).unfinished === 0);
    };

    /** Returns the orders of the test that were committed. */
    const committedOrders = async (): Promise<string[]> => {
      const rows = await postgres.run<{ readonly id: string }>('SELECT id FROM orders WHERE id LIKE $1 ORDER BY id', [
        `${postgres.name}-%`,
      ]);
      return rows.map(({ id }) => id);
    };

    /** Expects every committed order of the test on the broker, and no other. Returns how often each came. */
    const expectCommitted = async (): Promise<Record<string, number>> => {
      await forwarded();
      const broker = rabbit.open({ name: postgres.name });
      await broker.publish('end', {});
      const copies: Record<string, number> = {};
      for await (const { key, payload, id } of broker.deliveries()) {
        if (key === 'end') break;
        expect([key, payload]).toEqual(['order.placed', { id, item: `item of ${id}` }]);
        copies[id] = (copies[id] ?? 0) + 1;
      }
      expect(Object.keys(copies).sort()).toEqual(await committedOrders());
      return copies;
    };

    const expectOrders = async (...numbers: readonly number[]): Promise<Record<string, number>> => {
      expect(await committedOrders()).toEqual(numbers.map(order));
      return expectCommitted();
    };

    /** Starts the service again, which forwards what is left. */
    const restart = async (...numbers: readonly number[]): Promise<Record<string, number>> => {
      const service = await open();
      expect(await service.place(order(9))).toBe(201);
      const copies = await expectOrders(...numbers, 9);
      expect(await service.stop()).toBe(0);
      return copies;
    };

    it('delivers each order once when nothing fails', async () => {
      const service = await open();
      expect(await Promise.all([1, 2, 3].map((number) => service.place(order(number))))).toEqual([201, 201, 201]);
      expect(await service.place(order(2))).toBe(500); // It is there already.
      expect(Object.values(await expectOrders(1, 2, 3))).toEqual([1, 1, 1]);
      expect(await service.stop()).toBe(0);
    });

    it('loses nothing and invents nothing if the service is killed before the commit', async () => {
      const service = await open();
      expect(await service.place(order(1))).toBe(201);
      // The publish waits for the lock, after it has stored the message.
      await postgres.run(`CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(${LOCK}); RETURN NULL; END $$`);
      await postgres.run('CREATE TRIGGER wait AFTER INSERT ON sluice.unplaced FOR EACH ROW EXECUTE FUNCTION wait()');
      postgres.ending(() => postgres.run('DROP TRIGGER IF EXISTS wait ON sluice.unplaced'));
      const client = await postgres.connect();
      await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
      const placing = service.place(order(2));
      await eventually(waits);
      await service.kill();
      expect(await placing).toBeUndefined();
      await client.query('SELECT pg_advisory_unlock($1)', [LOCK]);
      await eventually(async () => !(await waits()));
      await postgres.run('DROP TRIGGER wait ON sluice.unplaced');
      await restart(1);
    });

    it('loses nothing if the service is killed after the commit, before the forwarder takes the message', async () => {
      const service = await open();
      expect(await service.place(order(1))).toBe(201);
      await forwarded();
      const resume = await stopClaims();
      expect(await service.place(order(2))).toBe(201);
      await service.kill();
      expect(await outboxRows()).toEqual([]);
      await endWaiting();
      await resume();
      expect(await restart(1, 2)).toMatchObject({ [order(2)]: 1 });
    });

    it('loses nothing if the service is killed before the broker confirms', async () => {
      const { proxy, url } = await rabbit.proxy();
      const service = await open(url);
      expect(await service.place(order(1))).toBe(201);
      await forwarded();
      proxy.stall();
      expect(await service.place(order(2))).toBe(201);
      await eventually(async () => (await outboxRows()).length > 0);
      await service.kill();
      expect(await outboxRows()).toHaveLength(1);
      await restart(1, 2);
    });

    it('delivers a copy with the same id if the service is killed after the confirm, before the ack', async () => {
      const { proxy, url } = await rabbit.proxy();
      const service = await open(url);
      expect(await service.place(order(1))).toBe(201);
      await forwarded();
      proxy.stall();
      expect(await service.place(order(2))).toBe(201);
      await eventually(async () => (await outboxRows()).length > 0);
      const resume = await stopClaims();
      proxy.resume();
      await eventually(async () => (await rabbit.length(`${postgres.name}:group:default`)) === 2);
      await eventually(waits);
      await service.kill();
      await endWaiting();
      expect(await outboxRows()).toHaveLength(1);
      await resume();
      expect(await restart(1, 2)).toMatchObject({ [order(2)]: 2 });
    });

    it('loses nothing if the service is killed during its shutdown', async () => {
      const { proxy, url } = await rabbit.proxy();
      const service = await open(url);
      expect(await service.place(order(1))).toBe(201);
      await forwarded();
      proxy.stall();
      expect([await service.place(order(2)), await service.place(order(3))]).toEqual([201, 201]);
      await eventually(async () => (await outboxRows()).length > 0);
      service.terminate();
      await eventually(async () => !(await service.listens()));
      await service.kill();
      await restart(1, 2, 3);
    });

    it('loses nothing and invents nothing if the service is killed again and again', async () => {
      const accepted: string[] = [];
      let number = 100;
      for (let round = 0; round < 8; round++) {
        const service = await open();
        const before = accepted.length;
        const placing = Array.from({ length: 20 }, async () => {
          const id = order(++number);
          if ((await service.place(id)) === 201) accepted.push(id);
        });
        await eventually(() => accepted.length - before > round * 2);
        await service.kill();
        await Promise.all(placing);
      }
      const service = await open();
      const copies = await expectCommitted();
      expect(accepted.filter((id) => copies[id] === undefined)).toEqual([]);
      expect(await service.stop()).toBe(0);
    });

    it('is the service of the guide', () => {
      const guide = readFileSync(path.join(ROOT, 'docs/guides/transactional-outbox.md'), 'utf8');
      expect(guide).toContain(`\`\`\`ts no-run\n${readFileSync(path.join(ROOT, SERVICE), 'utf8')}\`\`\`\n`);
    });
  });
});
