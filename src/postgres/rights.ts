const ALL = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];

/** The rights on the tables that the role of the application needs. The guide lists them, too. */
export const RIGHTS: Readonly<Record<string, readonly string[]>> = {
  version: ['SELECT'],
  queues: ['SELECT', 'INSERT', 'UPDATE'],
  cursors: ['SELECT', 'INSERT', 'DELETE'],
  batches: ['SELECT', 'INSERT', 'DELETE'],
  groups: ALL,
  messages: ALL,
  unplaced: ALL,
  claims: ALL,
  requeued: ALL,
  consumers: ALL,
  ids: ALL,
  quarantine: ['INSERT'],
};
