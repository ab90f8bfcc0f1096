import assert from 'node:assert/strict';
import type { ManagedQueue, QueueStatus } from '../../backend.js';
import { admin, type Definition } from '../definition.js';
import { type Scene, turns } from '../scene.js';
import { acking } from '../taker.js';

const STATUSES: readonly QueueStatus[] = ['idle', 'connecting', 'connected', 'disconnected', 'closed'];

/** Subscribes to `status$` and records what it emits. */
class StatusLog {
  readonly statuses: QueueStatus[] = [];
  completed = false;

  constructor(scene: Scene, queue: ManagedQueue) {
    const subscription = queue.status$.subscribe({
      next: (status) => this.statuses.push(status),
      complete: () => {
        this.completed = true;
      },
    });
    scene.atEnd(() => subscription.unsubscribe());
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

async function becomes(scene: Scene, log: StatusLog, status: QueueStatus): Promise<void> {
  await scene.until(
    () => `\`status$\` to emit '${status}', got ${log.statuses.join(', ')}`,
    () => log.last === status,
    () => log.statuses.length,
  );
}

/** Checks what a subscriber gets that comes now. */
function expectCurrent(scene: Scene, queue: ManagedQueue, expected: QueueStatus): void {
  const { statuses } = new StatusLog(scene, queue);
  assert.deepEqual(statuses, [expected], `Expected a new subscriber of \`status$\` to get '${expected}' at once`);
}

/** Administration: the state of the connection. */
export const adminStatus: readonly Definition[] = [
  admin("`status$` is 'idle' before the first use and 'connected' after it", {}, async (scene) => {
    const queue = await scene.openManaged();
    const log = new StatusLog(scene, queue);
    assert.deepEqual(log.statuses, ['idle'], "Expected `status$` to emit 'idle' at once, before the first use");
    // A subscriber of the status is no use of the queue.
    await turns(5);
    assert.deepEqual(log.statuses, ['idle'], "Expected `status$` to stay 'idle' before the first use");
    expectCurrent(scene, queue, 'idle');
    await scene.publish(queue, [1]);
    await becomes(scene, log, 'connected');
    expectCurrent(scene, queue, 'connected');
    await scene.gets(scene.take(queue, {}, acking), [1]);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
    assert.equal(log.last, 'connected');
    log.check();
  }),

  admin("`status$` becomes 'connected' when a consumer subscribes, or `stats()` is called", {}, async (scene) => {
    for (const use of [
      (queue: ManagedQueue) => void scene.take(queue),
      (queue: ManagedQueue) => void scene.consume(queue).next(),
      (queue: ManagedQueue) => scene.within('stats() to resolve', queue.stats()),
    ]) {
      const queue = await scene.openManaged();
      const log = new StatusLog(scene, queue);
      await use(queue);
      await becomes(scene, log, 'connected');
      log.check();
    }
  }),

  admin("`status$` completes after 'closed', also for a subscriber that comes later", {}, async (scene) => {
    const queue = await scene.openManaged();
    const log = new StatusLog(scene, queue);
    await scene.publish(queue, [1]);
    await becomes(scene, log, 'connected');
    await scene.within('close() to resolve', queue.close());
    await becomes(scene, log, 'closed');
    await scene.until('`status$` to complete', () => log.completed);
    log.check();
    const late = new StatusLog(scene, queue);
    assert.deepEqual(late.statuses, ['closed'], "Expected a late subscriber of `status$` to get 'closed'");
    assert.ok(late.completed, 'Expected `status$` of a closed queue to complete at once');
    await scene.within('close() to resolve', queue.close());
    assert.equal(log.statuses.filter((status) => status === 'closed').length, 1);
  }),

  admin("`status$` of a queue that nothing has used goes from 'idle' to 'closed'", {}, async (scene) => {
    const queue = await scene.openManaged();
    const log = new StatusLog(scene, queue);
    await scene.within('close() to resolve', queue.close());
    await scene.until('`status$` to complete', () => log.completed);
    assert.deepEqual(log.statuses, ['idle', 'closed']);
  }),

  admin("`status$` tells each backend's own state", {}, async (scene) => {
    const [queue, other] = [await scene.openManaged(), await scene.openManaged()];
    const [log, untouched] = [new StatusLog(scene, queue), new StatusLog(scene, other)];
    await scene.publish(queue, [1]);
    await becomes(scene, log, 'connected');
    await scene.within('close() to resolve', queue.close());
    await becomes(scene, log, 'closed');
    assert.deepEqual(untouched.statuses, ['idle']);
  }),

  admin(
    "`status$` is 'disconnected' after a lost connection, and 'connected' again after it",
    { disconnect: true },
    async (scene) => {
      const queue = await scene.openManaged();
      const log = new StatusLog(scene, queue);
      const taker = scene.take(queue, {}, acking);
      await scene.publish(queue, [1]);
      await scene.gets(taker, [1]);
      await becomes(scene, log, 'connected');
      const seen = log.statuses.length;
      await scene.within('disconnect() to resolve', Promise.resolve(scene.capabilities.disconnect?.(queue)));
      await scene.until(
        () => `\`status$\` to emit 'disconnected', then 'connected', got ${log.statuses.join(', ')}`,
        () => log.statuses.slice(seen).includes('disconnected') && log.last === 'connected',
        () => log.statuses.length,
      );
      log.check();
      await scene.publish(queue, [2]);
      await scene.until('a message after the connection has healed', () => taker.numbers.includes(2));
      assert.equal(log.last, 'connected');
    },
  ),
];
