import assert from 'node:assert/strict';
import type { ManagedQueue, QueueStatus } from '../../backend.js';
import { type CaseContext, turns } from '../case-context.js';
import { admin, type Definition } from '../definition.js';
import { acking } from '../test-consumer.js';

const STATUSES: readonly QueueStatus[] = ['idle', 'connecting', 'connected', 'disconnected', 'closed'];

/** Subscribes to `status$` and records what it emits. */
class StatusLog {
  readonly statuses: QueueStatus[] = [];
  completed = false;

  constructor(t: CaseContext, queue: ManagedQueue) {
    const subscription = queue.status$.subscribe({
      next: (status) => this.statuses.push(status),
      complete: () => {
        this.completed = true;
      },
    });
    t.atEnd(() => subscription.unsubscribe());
  }

  get last(): QueueStatus | undefined {
    return this.statuses.at(-1);
  }

  /** Checks what holds for each sequence of statuses. */
  check(): void {
    const shown = this.statuses.join(', ');
    assert.ok(
      this.statuses.every((status) => STATUSES.includes(status)),
      `Expected only ${STATUSES.join(', ')} from \`status$\`, got ${shown}`,
    );
    const repeated = this.statuses.find((status, index) => status === this.statuses[index - 1]);
    assert.equal(repeated, undefined, `Expected no status twice in a row, got ${shown}`);
    const closed = this.statuses.indexOf('closed');
    assert.ok(closed === -1 || closed === this.statuses.length - 1, `Expected nothing after 'closed', got ${shown}`);
    assert.ok(this.statuses.lastIndexOf('idle') <= 0, `Expected 'idle' only first, got ${shown}`);
  }
}

async function becomes(t: CaseContext, log: StatusLog, status: QueueStatus): Promise<void> {
  await t.until(
    () => `\`status$\` to emit '${status}', got ${log.statuses.join(', ')}`,
    () => log.last === status,
    () => log.statuses.length,
  );
}

/** Checks what a subscriber gets that comes now. */
function expectCurrent(t: CaseContext, queue: ManagedQueue, expected: QueueStatus): void {
  const { statuses } = new StatusLog(t, queue);
  assert.deepEqual(statuses, [expected], `Expected a new subscriber of \`status$\` to get '${expected}' at once`);
}

/** Administration: the state of the connection. */
export const adminStatus: readonly Definition[] = [
  admin("`status$` is 'idle' before the first use and 'connected' after it", {}, async (t) => {
    const queue = await t.openManaged();
    const log = new StatusLog(t, queue);
    assert.deepEqual(log.statuses, ['idle'], "Expected `status$` to emit 'idle' at once, before the first use");
    // A subscriber of the status is no use of the queue.
    await turns(5);
    assert.deepEqual(log.statuses, ['idle'], "Expected `status$` to stay 'idle' before the first use");
    expectCurrent(t, queue, 'idle');
    await t.publish(queue, [1]);
    await becomes(t, log, 'connected');
    expectCurrent(t, queue, 'connected');
    await t.receivesExactly(t.addConsumer(queue, {}, acking), [1]);
    await t.counts(queue, { ready: 0, unfinished: 0 });
    assert.equal(log.last, 'connected');
    log.check();
  }),

  admin("`status$` becomes 'connected' when a consumer subscribes, or `stats()` is called", {}, async (t) => {
    for (const use of [
      (queue: ManagedQueue) => void t.addConsumer(queue),
      (queue: ManagedQueue) => void t.consume(queue).next(),
      (queue: ManagedQueue) => t.within('stats() to resolve', queue.stats()),
    ]) {
      const queue = await t.openManaged();
      const log = new StatusLog(t, queue);
      await use(queue);
      await becomes(t, log, 'connected');
      log.check();
    }
  }),

  admin("`status$` completes after 'closed', also for a subscriber that comes later", {}, async (t) => {
    const queue = await t.openManaged();
    const log = new StatusLog(t, queue);
    await t.publish(queue, [1]);
    await becomes(t, log, 'connected');
    await t.within('close() to resolve', queue.close());
    await becomes(t, log, 'closed');
    await t.until('`status$` to complete', () => log.completed);
    log.check();
    const late = new StatusLog(t, queue);
    assert.deepEqual(late.statuses, ['closed'], "Expected a late subscriber of `status$` to get 'closed'");
    assert.ok(late.completed, 'Expected `status$` of a closed queue to complete at once');
    await t.within('close() to resolve', queue.close());
    assert.equal(log.statuses.filter((status) => status === 'closed').length, 1);
  }),

  admin("`status$` of a queue that nothing has used goes from 'idle' to 'closed'", {}, async (t) => {
    const queue = await t.openManaged();
    const log = new StatusLog(t, queue);
    await t.within('close() to resolve', queue.close());
    await t.until('`status$` to complete', () => log.completed);
    assert.deepEqual(log.statuses, ['idle', 'closed']);
  }),

  admin("`status$` tells each backend's own state", {}, async (t) => {
    const [queue, other] = [await t.openManaged(), await t.openManaged()];
    const [log, untouched] = [new StatusLog(t, queue), new StatusLog(t, other)];
    await t.publish(queue, [1]);
    await becomes(t, log, 'connected');
    await t.within('close() to resolve', queue.close());
    await becomes(t, log, 'closed');
    assert.deepEqual(untouched.statuses, ['idle']);
  }),

  admin(
    "`status$` is 'disconnected' after a lost connection, and 'connected' again after it",
    { disconnect: true },
    async (t) => {
      const queue = await t.openManaged();
      const log = new StatusLog(t, queue);
      const consumer = t.addConsumer(queue, {}, acking);
      await t.publish(queue, [1]);
      await t.receivesExactly(consumer, [1]);
      await becomes(t, log, 'connected');
      const seen = log.statuses.length;
      await t.within('disconnect() to resolve', Promise.resolve(t.capabilities.disconnect?.(queue)));
      await t.until(
        () => `\`status$\` to emit 'disconnected', then 'connected', got ${log.statuses.join(', ')}`,
        () => log.statuses.slice(seen).includes('disconnected') && log.last === 'connected',
        () => log.statuses.length,
      );
      log.check();
      await t.publish(queue, [2]);
      await t.until('a message after the reconnect', () => consumer.numbers.includes(2));
      assert.equal(log.last, 'connected');
    },
  ),
];
