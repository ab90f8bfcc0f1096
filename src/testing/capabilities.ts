import assert from 'node:assert/strict';
import type { ConsumerGroup, QueueBackend } from '../backend.js';

/** Where a backend under test logs to, when a case listens. */
export interface ContractLogger {
  debug(message: string, details?: object): void;
  warn(message: string, details?: object): void;
  error(message: string, details?: object): void;
}

/**
 * What a case needs of the backend that it asks for. A `create` that cannot honour a field ignores it, and its capabilities do not promise it.
 */
export interface BackendNeeds {
  /**
   * The name of the queue, which no earlier case has used. Asked for twice, it means two backends on one queue, as two processes have them.
   * Promised by `shared`. Default: a queue of its own.
   */
  readonly name?: string | undefined;
  /** The only groups that there are, from the first publish on. Promised by `groups: 'separate'`. Default: `default` is the only one. */
  readonly groups?: readonly ConsumerGroup[] | undefined;
  /** How long a lease may be, in milliseconds. Promised by `lease`. Default: whatever suits. */
  readonly lease?: number | undefined;
  /** For how long the backend remembers the `id` of a message, in milliseconds. Promised by `dedupe`. Default: any. */
  readonly dedupeWindow?: number | undefined;
  /** Where the backend has to log. Promised by `logger`. Default: whatever suits. */
  readonly logger?: ContractLogger | undefined;
}

/** Makes a backend on a fresh, empty queue that nobody else uses. The suite closes it. */
export type CreateBackend = (needs?: BackendNeeds) => Promise<QueueBackend>;

/**
 * What a backend can do, and how it behaves where backends may differ. A case that needs what is left out here is skipped, and says so.
 */
export interface BackendCapabilities {
  /**
   * `'separate'`: each group that `create({ groups })` declares gets every message, and another one is refused. `'ignored'`: groups mean nothing, all
   * consumers compete.
   */
  readonly groups?: 'separate' | 'ignored' | undefined;
  /** Where a group starts that a second backend on a running queue declares: with what the queue still holds, or with what is published next. */
  readonly addedGroups?: 'held' | 'next' | undefined;
  /** `create({ name })` makes backends that share a queue, and its messages outlive each of them. */
  readonly shared?: boolean | undefined;
  /** Whether `attempt` counts deliveries exactly, or may be too high. Default: `'upper bound'`. */
  readonly attempt?: 'exact' | 'upper bound' | undefined;
  /** Whether `release()` leaves `attempt` as it was. */
  readonly release?: 'uncounted' | 'counted' | undefined;
  /** `'json'`: a payload that JSON would change is refused, and consumers get a copy. `'shape'`: only that it is a plain object is checked. */
  readonly validation?: 'json' | 'shape' | undefined;
  /** How `close()` ends the streams: at once, or when they are drained. */
  readonly close?: 'at once' | 'drained' | undefined;
  /** `create({ logger })` makes a backend that logs there. */
  readonly logger?: boolean | undefined;
  /** Whether a message whose `id` was published within `create({ dedupeWindow })` is not stored again. Every backend delivers the id. */
  readonly dedupe?: boolean | undefined;
  /** Whether the backend is a `ManagedQueue`: `groups`, `deleteGroup`, `peek`, `purge` and `status$`. */
  readonly managed?: boolean | undefined;
  /** For a managed queue: `peek()` shows the waiting messages. `false`: it rejects with an `UnsupportedOperationError`. */
  readonly peek?: boolean | undefined;
  /**
   * The shortest lease that `create({ lease })` keeps reliably on a busy machine, in milliseconds, such as 1,000. One case holds a message for three times
   * as long.
   */
  readonly lease?: number | undefined;
  /**
   * Lets the leases of everything that a backend holds run out, as if its process hung: it gives nothing back, and goes on living. Called for a backend
   * that was made with `create({ name, lease })`, if `lease` is promised. Resolves when the leases are over, or about to be.
   */
  readonly expire?: ((backend: QueueBackend) => Promise<void>) | undefined;
  /** Cuts the connections of a backend once. It has to heal by itself. */
  readonly disconnect?: ((backend: QueueBackend) => Promise<void>) | undefined;
  /** Restarts the broker. Resolves when it is up again. */
  readonly restart?: (() => Promise<void>) | undefined;
  /** Why a capability is left out, by its name: printed with the cases that are skipped for it. */
  readonly reasons?: Readonly<Partial<Record<Capability, string>>> | undefined;
  /**
   * How long a case waits for what has to happen before it fails, in milliseconds, from 1 up; a case as a whole may take six times as long. The timeout of
   * the test runner should be longer. Default: 10,000.
   */
  readonly deadline?: number | undefined;
  /** The share of their messages that the large cases send, above 0 and up to 1. Default: 1. */
  readonly scale?: number | undefined;
}

/** What a case may require. */
export type Capability = Exclude<keyof BackendCapabilities, 'reasons' | 'deadline' | 'scale'>;

/** The capabilities that a case cannot do without: that there is one, or which value it has. */
export type Requirements = {
  readonly [Name in Capability]?: Extract<BackendCapabilities[Name], string | boolean> | true;
};

/** Why a case has to be skipped, or undefined if the backend can do all that it requires. */
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
  managed: [true, false],
  peek: [true, false],
} as const;

const FUNCTIONS = ['expire', 'disconnect', 'restart'] as const;
const OTHERS = ['reasons', 'deadline', 'scale'];

/** @throws {TypeError} for a capability that there is not, or of a value that it cannot have */
export function checkCapabilities(capabilities: BackendCapabilities): BackendCapabilities {
  if (typeof capabilities !== 'object' || capabilities === null) throw wrong('capabilities', 'an object', capabilities);
  for (const name of Object.keys(capabilities)) {
    if (!isCapability(name) && !OTHERS.includes(name)) {
      throw wrong(
        `capabilities.${name}`,
        'absent: there is no such capability',
        capabilities[name as keyof BackendCapabilities],
      );
    }
  }
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = capabilities[name as keyof typeof CHOICES];
    if (value !== undefined && !choices.some((choice) => choice === value))
      throw wrong(`capabilities.${name}`, choices.join(' or '), value);
  }
  for (const name of FUNCTIONS) {
    const value = capabilities[name];
    if (value !== undefined && typeof value !== 'function') throw wrong(`capabilities.${name}`, 'a function', value);
  }
  for (const name of ['lease', 'deadline', 'scale'] as const) {
    const value = capabilities[name];
    const most = name === 'scale' ? 1 : 2 ** 31 - 1;
    if (value === undefined || (typeof value === 'number' && value > 0 && value <= most)) continue;
    throw wrong(`capabilities.${name}`, `a number above 0, at most ${most}`, value);
  }
  checkReasons(capabilities.reasons);
  return capabilities;
}

function checkReasons(reasons: unknown): void {
  if (reasons === undefined) return;
  if (typeof reasons !== 'object' || reasons === null || Array.isArray(reasons))
    throw wrong('capabilities.reasons', 'an object', reasons);
  for (const [name, reason] of Object.entries(reasons)) {
    if (!isCapability(name)) throw wrong(`capabilities.reasons.${name}`, 'absent: there is no such capability', reason);
    if (reason === undefined || (typeof reason === 'string' && reason !== '')) continue;
    throw wrong(`capabilities.reasons.${name}`, 'a string that is not empty', reason);
  }
}

function isCapability(name: string): name is Capability {
  return Object.hasOwn(CHOICES, name) || FUNCTIONS.some((known) => known === name) || name === 'lease';
}

function wrong(name: string, expected: string, value: unknown): TypeError {
  return new TypeError(
    `Expected \`${name}\` to be ${expected}, got ${typeof value === 'string' ? `'${value}'` : String(value)}`,
  );
}

/** What an assertion of the suite throws, with the suite's own words. */
export function failure(message: string): Error {
  return new assert.AssertionError({ message, operator: 'fail' });
}
