import type { Connection } from './connection.js';
import type { Asker } from './exchange.js';
import { PARKED } from './scripts/common.js';

/** How long until a consumer of the group that holds messages may count as dead, in milliseconds; Infinity where no other holds any. */
export async function soonestDeath(connection: Connection, { keys, group, consumer, lease }: Asker): Promise<number> {
  const rows = (await connection.send(['XINFO', 'CONSUMERS', keys.stream, group])) as (string | number)[][];
  let soonest = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    const facts = new Map<unknown, unknown>();
    for (let index = 0; index < row.length; index += 2) facts.set(row[index], row[index + 1]);
    const name = String(facts.get('name'));
    if (name === consumer || name === PARKED || facts.get('pending') === 0) continue;
    soonest = Math.min(soonest, (statedLease(name) ?? lease) - Number(facts.get('idle')));
  }
  return soonest;
}

/** How long a consumer may be silent, in milliseconds, where its name says so. */
function statedLease(name: string): number | undefined {
  const stated = /~(\d+)$/.exec(name);
  return stated === null ? undefined : Number(stated[1]);
}
