/**
 * Readings of a sensor go into a database, many at a time.
 *
 * `publishTo` publishes them as fast as the queue has room. `inBatches` collects deliveries into batches. A batch is
 * settled as one, when its insert is done or has failed.
 *
 *     npx tsx examples/batch-inserts.ts
 */
import { concatMap, count, lastValueFrom, map, range } from 'rxjs';
import { type Delivery, type DeliveryBatch, inBatches, MemoryBackend, publishTo } from 'sluice';

interface SensorEvents {
  reading: { readonly id: number; readonly celsius: number };
}

/** Stands for a table. Its second insert fails, as after a lost connection. */
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
    await batch.nack({ delay: 100 }); // All of them are redelivered, without a limit: look at `attempt`.
  }
}

const inserting = lastValueFrom(
  queue.deliveries({ prefetch: 10 }).pipe(
    inBatches({ maxSize: 5, maxWait: 10 }), // `prefetch` is at least `maxSize`, or no batch is ever full.
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
