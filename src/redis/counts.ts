import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { statsScript } from './scripts/index.js';

/** Counts the messages of one group, or of all groups, where a message counts once. */
export async function countMessages(link: RedisLink, keys: QueueKeys, group?: ConsumerGroup): Promise<QueueStats> {
  const { stream, delayed, settled, addressed, groupPrefix } = keys;
  const args = group === undefined ? [groupPrefix] : [groupPrefix, group];
  const counts = await link.run(statsScript, [stream, delayed, settled, addressed], args);
  const [ready, unfinished] = counts as [ready: number, unfinished: number];
  return { ready, unfinished };
}
