import type { PostgresBackend } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';
import { PostgresServer } from '../support/servers/postgres-server.js';

describeWithPostgres('A queue in PostgreSQL whose primary fails', () => {
  retryOnce();
  const suite = new PostgresSuite({ config: { synchronous_standby_names: '*', synchronous_commit: 'local' } });

  it('loses no confirmed message if the standby is synchronous, and goes on when it is promoted', async () => {
    const standby = await PostgresServer.start({ standbyOf: suite.server });
    suite.ending(() => standby.stop());
    await eventually(async () => {
      const rows = await suite.run("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'");
      return rows.length === 1;
    });
    await suite.run("ALTER SYSTEM SET synchronous_commit = 'remote_apply'");
    await suite.run("ALTER DATABASE postgres SET synchronous_commit = 'remote_apply'");
    const { proxy, url } = await suite.proxy();
    const logger = recordingLogger();
    const open = (): PostgresBackend => suite.open({ url, logger, lease: 3000, publishTimeout: 60_000 });
    const got: number[] = [];
    const holder = new Holder(open(), { prefetch: 20 }, async (delivery) => {
      const { n } = delivery.payload as { n: number };
      await delivery.ack();
      got.push(n);
    });
    const publisher = open();
    const confirmed: number[] = [];
    const publish = async (n: number) => {
      await publisher.publish('key', { n });
      confirmed.push(n);
    };
    const published: Promise<void>[] = [];
    let isOver = false;
    const load = (async () => {
      for (let n = 1; !isOver; n++) {
        published.push(publish(n));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    await eventually(() => confirmed.length > 100 && got.length > 50);
    await suite.server.kill();
    await suite.closeOwn();
    const before = confirmed.length;
    // The address now leads to the standby, which refuses writes.
    proxy.retarget(standby.port);
    proxy.cut();
    await eventually(() => logger.warnings.some((line) => /read-only/.test(line)));
    expect(holder.error).toBeUndefined();
    await standby.promote();
    await standby.run('ALTER SYSTEM RESET ALL');
    await standby.run("ALTER DATABASE postgres SET synchronous_commit = 'local'");
    await eventually(() => confirmed.length > before + 100);
    isOver = true;
    await load;
    await Promise.all(published);
    await eventually(() => new Set([...got, ...holder.numbers]).size === confirmed.length);
    // Each message was stored once.
    const attempts = new Map<string, number>();
    for (const { id, attempt } of holder.deliveries) attempts.set(id, Math.max(attempt, attempts.get(id) ?? 0));
    expect(attempts.size).toBe(confirmed.length);
    await eventually(async () => (await publisher.stats()).unfinished === 0);
    expect(logger.errors).toEqual([]);
    expect(holder.numbers.filter((n, index) => holder.numbers.indexOf(n) === index)).toEqual(upTo(confirmed.length));
  });
});
