import assert from 'node:assert/strict';
import type { ConsumerGroup, QueueBackend } from '../backend.js';

/** The logger of a case that checks log lines. */
export interface ContractLogger {
  debug(message: string, details?: object): void;
  warn(message: string, details?: object): void;
  error(message: string, details?: object): void;
}

/**
 * What a case needs of a backend. If `create` cannot meet a need, it ignores it, and the capability
 * is left out.
 */
export interface BackendNeeds {
  /**
   * The name of the queue, unused by earlier cases. Two calls with one name create two backends of
   * one queue, like two processes. Promised by `shared`. Default: a queue of its own.
   */
  readonly name?: string | undefined;
  /** The declared groups. Promised by `groups: 'separate'`. Default: `default` only. */
  readonly groups?: readonly ConsumerGroup[] | undefined;
  /** The duration of a lease, in milliseconds. Promised by `lease`. Default: any. */
  readonly lease?: number | undefined;
  /**
   * For how long the backend remembers the `id` of a message, in milliseconds. Promised by
   * `dedupe`. Default: any.
   */
  readonly dedupeWindow?: number | undefined;
  /** The logger of the backend. Promised by `logger`. Default: any. */
  readonly logger?: ContractLogger | undefined;
}

/** Creates a backend on an empty queue of its own. The suite closes it. */
export type CreateBackend = (needs?: BackendNeeds) => Promise<QueueBackend>;

/**
 * What a backend can do, and how it behaves where backends differ.
 *
 * A case that needs a missing capability is skipped and reports it.
 */
export interface BackendCapabilities {
  /**
   * `'separate'`: each group that `create({ groups })` declares gets every message, and other
   * groups are refused. `'ignored'`: any group is accepted, and all consumers compete.
   */
  readonly groups?: 'separate' | 'ignored' | undefined;
  /**
   * Where a group starts that a second backend adds to a running queue: with the messages that the
   * queue still holds, or with the next message.
   */
  readonly addedGroups?: 'held' | 'next' | undefined;
  /**
   * Whether `create({ name })` creates backends that share a queue, whose messages survive each
   * backend.
   */
  readonly shared?: boolean | undefined;
  /** Whether `attempt` is exact or an upper bound. Default: `'upper bound'`. */
  readonly attempt?: 'exact' | 'upper bound' | undefined;
  /** Whether `release()` counts as an attempt. */
  readonly release?: 'uncounted' | 'counted' | undefined;
  /**
   * `'json'`: the backend refuses payloads that JSON would change, and consumers get copies.
   * `'shape'`: it checks only that a payload is a plain object.
   */
  readonly validation?: 'json' | 'shape' | undefined;
  /** Whether `close()` ends streams at once or after they are drained. */
  readonly close?: 'at once' | 'drained' | undefined;
  /** Whether `create({ logger })` creates a backend with that logger. */
  readonly logger?: boolean | undefined;
  /**
   * Whether a message is not stored again if its `id` was published within `create({ dedupeWindow
   * })`. Every backend delivers the id, with this capability or without it.
   */
  readonly dedupe?: boolean | undefined;
  /**
   * With `dedupe`: whether a delayed message and one without a delay are duplicates of each other
   * if they have the same `id`.
   */
  readonly dedupeDelayed?: boolean | undefined;
  /**
   * Whether the backend is a `ManagedQueue`, with `groups`, `deleteGroup`, `peek`, `purge` and
   * `status$`.
   */
  readonly managed?: boolean | undefined;
  /**
   * For a managed queue: how `groups()` shows a group that only another process declares.
   * `'counted'`: with exact counts. `'listed'`: the messages that the other process has in flight
   * may count as ready. Absent: it does not list the group.
   */
  readonly foreignGroups?: 'counted' | 'listed' | undefined;
  /**
   * For a managed queue: whether `purge({ group })` removes messages that are delayed for every
   * group. Without it, they stay, also for that group.
   */
  readonly purgeDelayed?: boolean | undefined;
  /**
   * For a managed queue. `true`: `peek()` shows waiting messages. `false`: it rejects with
   * `UnsupportedOperationError`.
   */
  readonly peek?: boolean | undefined;
  /**
   * The shortest lease that `create({ lease })` renews reliably on a busy machine, in milliseconds,
   * such as 1,000. One case keeps a message in flight for three leases.
   */
  readonly lease?: number | undefined;
  /**
   * Lets all leases of a backend expire as if its process had stalled: the backend requeues nothing
   * and lives on. Called for a backend of `create({ name, lease })`, if `lease` is promised.
   * Resolves when the leases have expired or are about to.
   */
  readonly expire?: ((backend: QueueBackend) => Promise<void>) | undefined;
  /** Cuts the connections of a backend once. The backend must reconnect by itself. */
  readonly disconnect?: ((backend: QueueBackend) => Promise<void>) | undefined;
  /** Restarts the broker. Resolves when the broker is available again. */
  readonly restart?: (() => Promise<void>) | undefined;
  /** The reasons of missing capabilities, by name. Skipped cases print them. */
  readonly reasons?: Readonly<Partial<Record<Capability, string>>> | undefined;
  /**
   * How long a case waits for one expectation, in milliseconds, from 1 up. A whole case may take
   * six times as long. Give the test runner a longer timeout. Default: 10,000.
   */
  readonly deadline?: number | undefined;
  /** The fraction of their messages that large cases send, above 0 and up to 1. Default: 1. */
  readonly scale?: number | undefined;
}

/** The capabilities that a case may require. */
export type Capability = Exclude<keyof BackendCapabilities, 'reasons' | 'deadline' | 'scale'>;

/** The capabilities that a case requires. `true`: any value but `false`. */
export type Requirements = {
  readonly [Name in Capability]?: Extract<BackendCapabilities[Name], string | boolean> | true;
};

/** Returns why a case is skipped. Undefined if the backend has all required capabilities. */
export function whySkipped(requirements: Requirements, capabilities: BackendCapabilities): string | undefined {
  for (const [name, wanted] of Object.entries(requirements) as [Capability, boolean | string][]) {
    const has = capabilities[name];
    if (wanted === false && has === false) continue;
    if (wanted === false) return `it needs \`${name}: false\``;
    if (has === undefined || has === false)
      return capabilities.reasons?.[name] ?? `the backend does not promise \`${name}\``;
    if (wanted !== true && has !== wanted) {
      return capabilities.reasons?.[name] ?? `it needs \`${name}: '${wanted}'\`, and the backend has '${String(has)}'`;
    }
  }
  return undefined;
}

const CHOICES = {
  groups: ['separate', 'ignored'],
  addedGroups: ['held', 'next'],
  attempt: ['exact', 'upper bound'],
  release: ['uncounted', 'counted'],
  validation: ['json', 'shape'],
  close: ['at once', 'drained'],
  shared: [true, false],
  logger: [true, false],
  dedupe: [true, false],
  dedupeDelayed: [true, false],
  managed: [true, false],
  foreignGroups: ['counted', 'listed'],
  purgeDelayed: [true, false],
  peek: [true, false],
} as const;

const FUNCTIONS = ['expire', 'disconnect', 'restart'] as const;
const OTHERS = ['reasons', 'deadline', 'scale'];

/** @throws {TypeError} if a capability is unknown or has an invalid value */
export function checkCapabilities(capabilities: BackendCapabilities): BackendCapabilities {
  if (typeof capabilities !== 'object' || capabilities === null)
    throw invalid('capabilities', 'an object', capabilities);
  for (const name of Object.keys(capabilities)) {
    if (!isCapability(name) && !OTHERS.includes(name)) {
      throw invalid(
        `capabilities.${name}`,
        'absent: unknown capability',
        capabilities[name as keyof BackendCapabilities],
      );
    }
  }
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = capabilities[name as keyof typeof CHOICES];
    if (value !== undefined && !choices.some((choice) => choice === value))
      throw invalid(`capabilities.${name}`, choices.join(' or '), value);
  }
  for (const name of FUNCTIONS) {
    const value = capabilities[name];
    if (value !== undefined && typeof value !== 'function') throw invalid(`capabilities.${name}`, 'a function', value);
  }
  for (const name of ['lease', 'deadline', 'scale'] as const) {
    const value = capabilities[name];
    const most = name === 'scale' ? 1 : 2 ** 31 - 1;
    if (value === undefined || (typeof value === 'number' && value > 0 && value <= most)) continue;
    throw invalid(`capabilities.${name}`, `a number above 0, at most ${most}`, value);
  }
  checkReasons(capabilities.reasons);
  return capabilities;
}

function checkReasons(reasons: unknown): void {
  if (reasons === undefined) return;
  if (typeof reasons !== 'object' || reasons === null || Array.isArray(reasons))
    throw invalid('capabilities.reasons', 'an object', reasons);
  for (const [name, reason] of Object.entries(reasons)) {
    if (!isCapability(name)) throw invalid(`capabilities.reasons.${name}`, 'absent: unknown capability', reason);
    if (reason === undefined || (typeof reason === 'string' && reason !== '')) continue;
    throw invalid(`capabilities.reasons.${name}`, 'a non-empty string', reason);
  }
}

function isCapability(name: string): name is Capability {
  return Object.hasOwn(CHOICES, name) || FUNCTIONS.some((known) => known === name) || name === 'lease';
}

function invalid(name: string, expected: string, value: unknown): TypeError {
  return new TypeError(
    `Expected \`${name}\` to be ${expected}, got ${typeof value === 'string' ? `'${value}'` : String(value)}`,
  );
}

/** Creates an AssertionError. */
export function failure(message: string): Error {
  return new assert.AssertionError({ message, operator: 'fail' });
}
