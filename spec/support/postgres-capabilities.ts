import type { BackendCapabilities } from 'sluice/testing';

/** What every PostgreSQL does, a server and an embedded one. */
export const POSTGRES_CAPABILITIES: BackendCapabilities = {
  groups: 'separate',
  addedGroups: 'held',
  shared: true,
  attempt: 'exact',
  release: 'uncounted',
  validation: 'json',
  close: 'at once',
  logger: true,
  dedupe: true,
  dedupeDelayed: true,
  managed: true,
  foreignGroups: 'counted',
  peek: true,
  purgeDelayed: true,
  lease: 1000,
};
