/**
 * Inserts the readings of a sensor into a database in batches.
 *
 * `publishTo` publishes the readings and waits while the queue is full. `inBatches` collects
 * deliveries into batches. A batch is settled as a whole, when its insert succeeds or fails.
 *
 *     npx tsx examples/batch-inserts.ts
 */
import { concatMap, count, lastValueFrom, map, range } from 'rxjs';
import { type Delivery, type DeliveryBatch, inBatches, MemoryBackend, publishTo } from 'sluice';

interface SensorEvents {
  reading: { readonly id: number; readonly celsius: number };
}

/** A simulated table. Its second insert fails, as after a lost connection. */
class Table {
  readonly rows = new Map<number, number>();
  #inserts = 0;

  /** Inserts all rows or none. Replaces existing rows, since a message may be delivered twice. */
  async upsert(rows: readonly SensorEvents['reading'][]): Promise<void> {
    if (++this.#inserts === 2) throw new Error('The connection is lost');
    for (const { id, celsius } of rows) this.rows.set(id, celsius);
  }
}

const table = new Table();
const queue = new MemoryBackend<SensorEvents>({ name: 'readings', capacity: 16 });

async function insert(batch: DeliveryBatch<Delivery<SensorEvents>>): Promise<void> {
  const rows = batch.deliveries.map(({ payload }) => payload);
  const ids = rows.map(({ id }) => id).join(' ');
  try {
    await table.upsert(rows);
    await batch.ack();
    console.log(`inserted ${ids}`);
  } catch (error) {
    console.log(`failed   ${ids}: ${(error as Error).message}`);
    // Redelivers the batch. There is no limit: check `attempt`.
    await batch.nack({ delay: 100 });
  }
}

const inserting = lastValueFrom(
  queue.deliveries({ prefetch: 10 }).pipe(
    // `prefetch` must be at least `maxSize`. Otherwise, no batch becomes full.
    inBatches({ maxSize: 5, maxWait: 10 }),
    concatMap(insert),
  ),
);

// The source: `publishTo` emits a value when the queue has taken its message.
const readings = range(1, 30).pipe(map((id) => ({ id, celsius: 20 + (id % 7) })));
const published = await lastValueFrom(
  readings.pipe(
    publishTo(queue, (reading) => ['reading', reading]),
    count(),
  ),
);
await queue.close(); // The stream completes when everything is settled.
await inserting;

console.log(`${published} readings published, ${table.rows.size} rows in the table, ${queue.unfinished} unfinished`);
