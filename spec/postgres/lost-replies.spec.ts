import type { PostgresBackend } from 'sluice/postgres';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

describeWithPostgres('A request to PostgreSQL whose reply is lost', () => {
  const suite = new PostgresSuite();

  /** Suspends the sessions of the queues, until the returned function is called. */
  const suspend = async () => {
    const rows = await suite.run<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'sluice' AND query NOT LIKE 'LISTEN%'",
    );
    const send = (signal: 'SIGSTOP' | 'SIGCONT') => {
      for (const { pid } of rows) process.kill(pid, signal);
    };
    send('SIGSTOP');
    let isOver = false;
    const resume = () => {
      if (!isOver) send('SIGCONT');
      isOver = true;
    };
    suite.ending(resume);
    /** Resolves when the sessions have executed what they had received, and ended. */
    const over = () =>
      eventually(async () => {
        const left = await suite.run('SELECT FROM pg_stat_activity WHERE pid = ANY ($1)', [rows.map(({ pid }) => pid)]);
        return left.length === 0;
      });
    return { resume, over };
  };

  const open = (): PostgresBackend => suite.open({ publishTimeout: 3000, lease: 60_000 });

  it('is stored once if a session executes it when later ones have been executed', async () => {
    const queue = open();
    await queue.publish('key', { n: 1 });
    const { resume, over } = await suspend();
    // The session has received this. The queue sends it again over another connection.
    await queue.publish('key', { n: 2 });
    for (const n of [3, 4, 5]) await queue.publish('key', { n });
    resume();
    await over();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 6 });
    await eventually(() => holder.numbers.includes(6));
    expect(holder.numbers).toEqual(upTo(6));
  });

  it('settles nothing else if a session executes it when later ones have been executed', async () => {
    const queue = open();
    for (const n of [1, 2, 3]) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 3 });
    await eventually(() => holder.deliveries.length === 3);
    const { resume, over } = await suspend();
    expect(await holder.of(1).nack()).toBe(true);
    await eventually(() => holder.deliveries.length === 4);
    expect(await holder.of(2).ack()).toBe(true);
    await queue.publish('key', { n: 4 });
    await eventually(() => holder.numbers.includes(4));
    resume();
    await over();
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 3 });
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true, true]);
    expect(holder.attempts).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [1, 2],
      [4, 1],
    ]);
    expect(await suite.tables()).toEqual({ messages: 0, pending: 0, unplaced: 0 });
  });
});
