import { administering } from './administering.js';
import { altering } from './altering.js';
import { consumers } from './consuming.js';
import { deduplicating } from './deduplicating.js';
import { ending } from './ending.js';
import { grouping } from './grouping.js';
import { losing } from './losing.js';
import { ordering } from './ordering.js';
import { peekingBackends } from './peeking.js';
import { purgingBackends } from './purging.js';
import { settling } from './settling.js';
import { reporting } from './status.js';
import type { Broken } from './wrapped.js';

/** Backends with one defect each. */
export const brokenBackends: readonly Broken[] = [
  ...losing,
  ...grouping,
  ...altering,
  ...ordering,
  ...settling,
  ...consumers,
  ...ending,
  ...deduplicating,
  ...administering,
  ...peekingBackends,
  ...purgingBackends,
  ...reporting,
];
