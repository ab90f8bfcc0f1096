import { altering } from './altering.js';
import { consumers } from './consuming.js';
import { ending } from './ending.js';
import { losing } from './losing.js';
import { ordering } from './ordering.js';
import { settling } from './settling.js';
import type { Broken } from './wrapped.js';

/** Backends that each do one thing wrong. */
export const brokenBackends: readonly Broken[] = [...losing, ...altering, ...ordering, ...settling, ...consumers, ...ending];
