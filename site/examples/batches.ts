import { concatMap } from 'rxjs';
import { inBatches, MemoryBackend } from 'sluice';

interface Events {
  row: { readonly row: number };
}

const maxSize = 4; // 1 to 8
const maxWait = 2000; // 200 to 4000, milliseconds
const prefetch = 8; // 1 to 16

const queue = new MemoryBackend<Events>({ name: 'rows' });

const inserting = queue
  .deliveries({ prefetch }) // Twice the batch: the next one fills while this one is inserted.
  .pipe(
    inBatches({ maxSize, maxWait }),
    concatMap(async (batch) => {
      await pause(1500); // One insert for all rows.
      await batch.ack();
      return batch.deliveries.map(({ payload }) => payload.row);
    }),
  )
  .forEach((rows) => {
    console.log(`inserted ${rows.join(', ')}`);
  });

for (let row = 1; row <= 14; row++) {
  await queue.publish('row', { row });
  await pause(row === 10 ? 3000 : 350); // The pause ends a batch before it is full.
}
await queue.close();
await inserting;

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
