import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { QueueContext } from './context.js';
import type { GroupConsumer } from './group-consumer.js';
import type { QueueRequests } from './queue-requests.js';

/** The counts of a group, and of its messages that are for that group only. */
export interface GroupCounts {
  readonly all: QueueStats;
  readonly only: QueueStats;
}

export type GroupConsumers = ReadonlyMap<ConsumerGroup, GroupConsumer>;

/** Counts waiting messages, and those in flight here. AMQP hides those of other processes. */
export async function countMessages(
  requests: QueueRequests,
  { names, delayed }: QueueContext,
  groups: readonly ConsumerGroup[],
  groupConsumers: GroupConsumers,
): Promise<QueueStats> {
  // The broker does not count a message while it moves from one queue to another.
  const inTransit = (group: ConsumerGroup, consumers: number) => [
    ...(groupConsumers.get(group)?.ids ?? []),
    ...delayed.ids(group, consumers),
  ];
  const known = new Map<ConsumerGroup, { readonly consumers: number; readonly ids: Set<string> }>();
  for (const group of groups) {
    const consumers = await requests.countConsumers(names.group(group).queue);
    known.set(group, { consumers, ids: new Set(inTransit(group, consumers)) });
  }
  const each: GroupCounts[] = [];
  const unfinished = new Set<string>();
  const delayedForAll = await requests.countDelayed(names.delay);
  for (const [group, { consumers, ids }] of known) {
    const { all, only } = await countGroup(requests, { names, delayed }, group, groupConsumers.get(group));
    for (const id of inTransit(group, consumers)) ids.add(id);
    for (const id of ids) unfinished.add(id);
    each.push({ all: { ready: all.ready, unfinished: Math.max(all.unfinished + delayedForAll, ids.size) }, only });
  }
  const total = totalOf(each);
  return { ready: total.ready, unfinished: Math.max(total.unfinished, unfinished.size) };
}

/**
 * Counts the messages of a group, without those that are delayed for every group. Asks in the order
 * in which messages move: one that moves meanwhile is counted twice rather than not at all.
 */
async function countGroup(
  requests: QueueRequests,
  { names, delayed }: Pick<QueueContext, 'names' | 'delayed'>,
  group: ConsumerGroup,
  consumer: GroupConsumer | undefined,
): Promise<GroupCounts> {
  const { queue, again, delay, publishDelay } = names.group(group);
  const published = await requests.countDelayed(publishDelay);
  const retries = await requests.countDelayed(delay);
  const waiting = (await requests.countWaiting(again)) + (await requests.countWaiting(queue));
  // A message that was delivered before it could be counted arrives by then.
  await consumer?.arrived();
  const { inFlight, buffered } = consumer ?? { inFlight: 0, buffered: 0 };
  const ready = waiting + buffered;
  const unfinished = ready + inFlight + retries + delayed.countLate(group);
  const { oneGroup } = delayed;
  return {
    all: { ready, unfinished: unfinished + published },
    only: { ready: oneGroup.countAmong(group, ready), unfinished: oneGroup.countAmong(group, unfinished) + published },
  };
}

/**
 * Adds up the counts of several groups, each message once. Messages for one group only add up. Of
 * the others, every group that consumes in order has the newest ones: the group with most of them
 * has them all.
 */
export function totalOf(groups: readonly GroupCounts[]): QueueStats {
  const total = (what: keyof QueueStats) => {
    let [shared, alone] = [0, 0];
    for (const { all, only } of groups) {
      const own = Math.min(all[what], only[what]);
      shared = Math.max(shared, all[what] - own);
      alone += own;
    }
    return shared + alone;
  };
  return { ready: total('ready'), unfinished: total('unfinished') };
}
