import type { ConsumerGroup } from '../backend.js';
import { PARKED, type QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { isReply } from './redis-errors.js';

/** A consumer of a group, in any process. */
export interface Consumer {
  readonly name: string;
  /** The number of its messages in flight. */
  readonly pending: number;
  /** In milliseconds. */
  readonly lease: number;
  /** The rest of its lease, in milliseconds. 0 or less: the lease has expired. */
  readonly left: number;
}

export function isLive({ left }: Consumer): boolean {
  return left > 0;
}

/** Lists the groups of a queue, in no order. Resolves to undefined if the queue does not exist. */
export async function findGroups(link: RedisLink, keys: QueueKeys): Promise<ConsumerGroup[] | undefined> {
  try {
    const rows = (await link.send(['XINFO', 'GROUPS', keys.stream])) as unknown[][];
    return rows.map((row) => String(factsOf(row).get('name')));
  } catch (error) {
    if (isReply(error) && error.message.includes('no such key')) return undefined;
    throw error;
  }
}

/**
 * Lists the consumers of a group.
 * @param lease the lease of consumers whose name does not state one, in milliseconds
 */
export async function consumersOf(
  link: RedisLink,
  keys: QueueKeys,
  group: ConsumerGroup,
  lease: number,
): Promise<Consumer[]> {
  const rows = (await link.send(['XINFO', 'CONSUMERS', keys.stream, group])) as unknown[][];
  const consumers = rows.map(factsOf).map((facts): Consumer => {
    const name = String(facts.get('name'));
    const own = statedLease(name) ?? lease;
    return { name, pending: Number(facts.get('pending')), lease: own, left: own - Number(facts.get('idle')) };
  });
  return consumers.filter(({ name }) => name !== PARKED);
}

/** Reads a reply that alternates names and values. */
export function factsOf(row: readonly unknown[]): ReadonlyMap<unknown, unknown> {
  const facts = new Map<unknown, unknown>();
  for (let index = 0; index < row.length; index += 2) facts.set(row[index], row[index + 1]);
  return facts;
}

function statedLease(name: string): number | undefined {
  const stated = /~(\d+)$/.exec(name);
  return stated === null ? undefined : Number(stated[1]);
}
