import type { Definition } from '../definition.js';
import { aborting } from './aborting.js';
import { adminGroups } from './admin-groups.js';
import { adminStatus } from './admin-status.js';
import { cleanup } from './cleanup.js';
import { closing } from './closing.js';
import { competingConsumers } from './competing-consumers.js';
import { declaredGroups } from './declared-groups.js';
import { deduplication } from './deduplication.js';
import { durability } from './durability.js';
import { eventLoop } from './event-loop.js';
import { groups } from './groups.js';
import { iteration } from './iteration.js';
import { laziness } from './laziness.js';
import { order } from './order.js';
import { outages } from './outages.js';
import { peeking } from './peeking.js';
import { prefetch } from './prefetch.js';
import { publishing } from './publishing.js';
import { purging } from './purging.js';
import { settling } from './settling.js';
import { unsubscribing } from './unsubscribing.js';
import { validation } from './validation.js';

/** All cases, in the order of their rules. The cases of the administration come last. */
export const definitions: readonly Definition[] = [
  ...competingConsumers,
  ...groups,
  ...declaredGroups,
  ...durability,
  ...order,
  ...publishing,
  ...validation,
  ...settling,
  ...prefetch,
  ...aborting,
  ...unsubscribing,
  ...laziness,
  ...iteration,
  ...closing,
  ...cleanup,
  ...eventLoop,
  ...outages,
  ...deduplication,
  ...adminGroups,
  ...peeking,
  ...purging,
  ...adminStatus,
].toSorted((a, b) => orderOf(a) - orderOf(b));

function orderOf({ rule }: Definition): number {
  return rule === 0 ? Number.MAX_SAFE_INTEGER : rule;
}
