import type { Definition } from '../definition.js';
import { aborting } from './aborting.js';
import { closing } from './closing.js';
import { declaredGroups } from './declared-groups.js';
import { endings } from './endings.js';
import { eventLoop } from './event-loop.js';
import { failures } from './failures.js';
import { groups } from './groups.js';
import { iteration } from './iteration.js';
import { keeping } from './keeping.js';
import { laziness } from './laziness.js';
import { leaving } from './leaving.js';
import { order } from './order.js';
import { prefetch } from './prefetch.js';
import { publishing } from './publishing.js';
import { settling } from './settling.js';
import { sharingOut } from './sharing-out.js';
import { validation } from './validation.js';

/** All cases, by the rule that they check. */
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
].toSorted((a, b) => a.rule - b.rule);
