import type { ConsumerGroup } from '../backend.js';
import type { Connection } from './connection.js';
import type { Asker } from './exchange.js';
import { PARKED, type QueueKeys } from './keys.js';

/** How long until a consumer of the group that holds messages may count as dead, in milliseconds; Infinity where no other holds any. */
export async function soonestDeath(connection: Connection, { keys, group, consumer, lease }: Asker): Promise<number> {
  let soonest = Number.POSITIVE_INFINITY;
  for (const { name, pending, left } of await consumersOf(connection, keys, group, lease)) {
    if (name !== consumer && pending > 0) soonest = Math.min(soonest, left);
  }
  return soonest;
}

/** Whether a group has a consumer that does not count as dead. */
export async function hasLiveConsumer(
  connection: Connection,
  keys: QueueKeys,
  group: ConsumerGroup,
  lease: number,
): Promise<boolean> {
  return (await consumersOf(connection, keys, group, lease)).some(({ left }) => left > 0);
}

/** Names and values by turns, as the server answers them, by name. */
export function factsOf(row: readonly unknown[]): ReadonlyMap<unknown, unknown> {
  const facts = new Map<unknown, unknown>();
  for (let index = 0; index < row.length; index += 2) facts.set(row[index], row[index + 1]);
  return facts;
}

interface Consumer {
  readonly name: string;
  readonly pending: number;
  /** How long until it may count as dead, in milliseconds. */
  readonly left: number;
}

async function consumersOf(
  connection: Connection,
  keys: QueueKeys,
  group: ConsumerGroup,
  lease: number,
): Promise<Consumer[]> {
  const rows = (await connection.send(['XINFO', 'CONSUMERS', keys.stream, group])) as unknown[][];
  const consumers = rows.map(factsOf).map((facts): Consumer => {
    const name = String(facts.get('name'));
    return {
      name,
      pending: Number(facts.get('pending')),
      left: (statedLease(name) ?? lease) - Number(facts.get('idle')),
    };
  });
  return consumers.filter(({ name }) => name !== PARKED);
}

/** How long a consumer may be silent, in milliseconds, where its name says so. */
function statedLease(name: string): number | undefined {
  const stated = /~(\d+)$/.exec(name);
  return stated === null ? undefined : Number(stated[1]);
}
