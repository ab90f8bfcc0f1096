import type { QueueStats } from '../backend.js';

/** The counts of a group, and of its messages that are for that group only. */
export interface GroupCounts {
  readonly all: QueueStats;
  readonly only: QueueStats;
}

/**
 * Counts the messages of several groups, each message once. Messages for one group only add up. Of
 * the others, every group has the newest ones if it consumes in order, so the group with most of
 * these has them all.
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
