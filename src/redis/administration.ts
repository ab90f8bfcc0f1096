import type { ConsumerGroup, GroupInfo, MessageView, QueueStats } from '../backend.js';
import { consumersOf, findGroups, isLive } from './consumers.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { type Fields, readMessage } from './message.js';
import { isReply } from './redis-errors.js';
import { deleteGroupScript, peekScript, purgeDelayedScript, purgeScript, statsScript } from './scripts/index.js';

type GroupCounts = Omit<GroupInfo, 'declared'>;

type Row = readonly [id: string, fields: Fields, attempt: number, due: string];

/** Counts the messages of one group, or of all groups, where a message counts once. */
export async function countMessages(link: RedisLink, keys: QueueKeys, group?: ConsumerGroup): Promise<QueueStats> {
  const { stream, delayed, settled, addressed, groupPrefix } = keys;
  const args = group === undefined ? [groupPrefix] : [groupPrefix, group];
  const counts = await link.run(statsScript, [stream, delayed, settled, addressed], args);
  const [ready, unfinished] = counts as [ready: number, unfinished: number];
  return { ready, unfinished };
}

/**
 * Lists the groups of a queue, in no order.
 * @param lease the lease of consumers whose name does not state one, in milliseconds
 */
export async function listGroups(link: RedisLink, keys: QueueKeys, lease: number): Promise<GroupCounts[]> {
  const infos: GroupCounts[] = [];
  // One at a time: the last of many answers would be late, and the connection would count as lost.
  for (const name of await groupNames(link, keys)) {
    const info = await describeGroup(link, keys, lease, name);
    if (info !== undefined) infos.push(info);
  }
  return infos;
}

/** Deletes a group, with its messages. Resolves to whether it existed. */
export async function deleteGroup(link: RedisLink, keys: QueueKeys, group: ConsumerGroup): Promise<boolean> {
  const { stream, wakeStream, delayed, addressed } = keys;
  const ofGroup = [keys.requeued(group), keys.retries(group), keys.fence(group)];
  const deleted = await link.run(deleteGroupScript, [stream, wakeStream, delayed, ...ofGroup, addressed], [group]);
  await purgeStream(link, keys, []);
  return deleted === 1;
}

/** Shows waiting messages of a group, in order, without taking them. */
export async function peek(
  link: RedisLink,
  keys: QueueKeys,
  group: ConsumerGroup,
  limit: number,
): Promise<MessageView[]> {
  const { stream, delayed, addressed } = keys;
  const names = [stream, delayed, keys.requeued(group), keys.retries(group), addressed];
  const rows = (await link.run(peekScript, names, [group, String(limit)])) as Row[];
  return rows.flatMap(([id, fields, attempt, due]): MessageView[] => {
    const message = readMessage(id, attempt, fields);
    // A consumer moves an invalid entry to quarantine.
    if (typeof message === 'string') return [];
    const { token: _, ...view } = message;
    return [due === '' ? view : { ...view, due: Number(due) }];
  });
}

/**
 * Removes waiting and delayed messages of one group, or of all groups. Resolves to how many it
 * removed. Messages that are published meanwhile may stay.
 */
export async function purge(link: RedisLink, keys: QueueKeys, group: ConsumerGroup | undefined): Promise<number> {
  const { stream, delayed, addressed } = keys;
  const groups = group === undefined ? await groupNames(link, keys) : [group];
  let removed = 0;
  // Delayed messages first: those that become due meanwhile are then in the stream.
  for (let offset = 0; offset >= 0; ) {
    const reply = await link.run(purgeDelayedScript, [stream, delayed, addressed], [String(offset), ...groups]);
    const [count, next] = reply as [count: number, next: number];
    removed += count;
    offset = next;
  }
  return removed + (await purgeStream(link, keys, groups));
}

/** Removes waiting messages of groups from the stream, and the entries that no group needs. */
async function purgeStream(link: RedisLink, keys: QueueKeys, groups: readonly ConsumerGroup[]): Promise<number> {
  const { stream, addressed, groupPrefix } = keys;
  // A busy publisher must not keep this going for ever.
  const [newest] = (await link.send(['XREVRANGE', stream, '+', '-', 'COUNT', '1'])) as [id: string][];
  if (newest === undefined) return 0;
  let removed = 0;
  for (let from = '-'; from !== ''; ) {
    const reply = await link.run(purgeScript, [stream, addressed], [groupPrefix, from, newest[0], ...groups]);
    const [count, next] = reply as [count: number, next: string];
    removed += count;
    from = next;
  }
  return removed;
}

async function groupNames(link: RedisLink, keys: QueueKeys): Promise<ConsumerGroup[]> {
  return (await findGroups(link, keys)) ?? [];
}

/** Resolves to undefined if the group was deleted meanwhile. */
async function describeGroup(
  link: RedisLink,
  keys: QueueKeys,
  lease: number,
  name: ConsumerGroup,
): Promise<GroupCounts | undefined> {
  try {
    const [counts, consumers] = await Promise.all([
      countMessages(link, keys, name),
      consumersOf(link, keys, name, lease),
    ]);
    return { name, ...counts, consumers: consumers.filter(isLive).length };
  } catch (error) {
    if (isReply(error) && error.message.startsWith('NOGROUP')) return undefined;
    throw error;
  }
}
