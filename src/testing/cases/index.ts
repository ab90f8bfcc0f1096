import type { Definition } from '../definition.js';
import { aborting } from './aborting.js';
import { adminGroups } from './admin-groups.js';
import { adminStatus } from './admin-status.js';
import { closing } from './closing.js';
import { declaredGroups } from './declared-groups.js';
import { deduplication } from './deduplication.js';
import { endings } from './endings.js';
import { eventLoop } from './event-loop.js';
import { failures } from './failures.js';
import { groups } from './groups.js';
import { iteration } from './iteration.js';
import { keeping } from './keeping.js';
import { laziness } from './laziness.js';
import { leaving } from './leaving.js';
import { order } from './order.js';
import { peeking } from './peeking.js';
import { prefetch } from './prefetch.js';
import { publishing } from './publishing.js';
import { purging } from './purging.js';
import { settling } from './settling.js';
import { sharingOut } from './sharing-out.js';
import { validation } from './validation.js';

/** All cases, in the order of their rules. The cases of the administration come last. */
export const definitions: readonly Definition[] = [
  ...sharingOut,
  ...groups,
  ...declaredGroups,
  ...keeping,
  ...order,
  ...publishing,
  ...validation,
  ...settling,
  ...prefetch,
  ...aborting,
  ...leaving,
  ...laziness,
  ...iteration,
  ...closing,
  ...endings,
  ...eventLoop,
  ...failures,
  ...deduplication,
  ...adminGroups,
  ...peeking,
  ...purging,
  ...adminStatus,
].toSorted((a, b) => orderOf(a) - orderOf(b));

function orderOf({ rule }: Definition): number {
  return rule === 0 ? Number.MAX_SAFE_INTEGER : rule;
}
