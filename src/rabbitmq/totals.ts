import type { QueueStats } from '../backend.js';

/** The counts of a group, and how many of these messages are for that group only. */
export interface GroupCounts {
  readonly all: QueueStats;
  readonly only: QueueStats;
}

/**
 * Counts the messages of several groups, each message once. What is for one group only adds up. Of the rest, every group has the newest ones, as long as it
 * consumes in order: so the group that has most of these has them all.
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
