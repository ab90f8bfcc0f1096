import type { ConsumeOptions, ConsumerGroup, MessageHeaders, NackOptions, QueueKey, QueuePayload } from '../backend.js';

const NAME = 'a string of 1 to 255 bytes';
const MAX_NAME_BYTES = 255;

/** What was published to a fake. */
export interface FakePublish {
  readonly key: QueueKey;
  /** A copy: what was published then, whatever its publisher does with it afterwards. */
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  /** In milliseconds. */
  readonly delay: number;
  /** The only group that was to get it. Absent for all groups. */
  readonly group?: ConsumerGroup;
}

export interface FakeBackendOptions {
  /** The name of the queue. Default: `fake`. */
  readonly name?: string | undefined;
  /** Called for each `publish` before it is recorded; where it throws or rejects, so does the publish, and nothing is recorded. */
  readonly onPublish?: ((message: FakePublish) => unknown) | undefined;
}

/** @throws {TypeError | RangeError} for a name or a callback without sense */
export function checkFakeOptions(options: FakeBackendOptions | undefined): {
  readonly name: string;
  readonly onPublish: FakeBackendOptions['onPublish'];
} {
  const { name = 'fake', onPublish } = checkObject(options);
  if (onPublish !== undefined && typeof onPublish !== 'function')
    throw invalid('onPublish', 'a function', onPublish, false);
  return { name: checkName('name', name), onPublish };
}

/** What a consumer asked for, checked. */
export interface FakeIntake {
  readonly group: ConsumerGroup;
  /** As it was given: its default depends on the way of consuming. */
  readonly prefetch: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @throws {TypeError | RangeError} for a group, prefetch or signal without sense, as from any backend */
export function checkFakeIntake(options: ConsumeOptions | undefined): FakeIntake {
  const { group = 'default', prefetch, signal } = checkObject(options);
  if (prefetch !== undefined && (!Number.isSafeInteger(prefetch) || prefetch < 1)) {
    throw invalid('prefetch', 'a positive integer', prefetch, typeof prefetch === 'number');
  }
  if (signal !== undefined && typeof signal?.aborted !== 'boolean')
    throw invalid('signal', 'an AbortSignal', signal, false);
  return { group: checkName('group', group), prefetch, signal };
}

/** @throws {TypeError | RangeError} for a delay without sense, as from any backend */
export function checkFakeDelay(options: NackOptions | undefined): number {
  const { delay = 0 } = checkObject(options);
  if (typeof delay === 'number' && delay >= 0 && delay <= Number.MAX_SAFE_INTEGER) return delay;
  throw invalid('delay', 'a finite number of milliseconds, at least 0', delay, typeof delay === 'number');
}

/** @throws {TypeError | RangeError} if the group is invalid, like any backend */
export function checkFakeGroup(group: ConsumerGroup | undefined): ConsumerGroup | undefined {
  return group === undefined ? undefined : checkName('group', group);
}

function checkName(name: string, value: unknown): string {
  const isName = typeof value === 'string' && value !== '' && new TextEncoder().encode(value).length <= MAX_NAME_BYTES;
  if (isName) return value;
  throw invalid(name, NAME, value, typeof value === 'string');
}

function checkObject<Options extends object>(value: Options | undefined): Partial<Options> {
  if (value === undefined) return {};
  if (typeof value === 'object' && value !== null) return value;
  throw invalid('options', 'an object', value, false);
}

function invalid(name: string, expected: string, value: unknown, typeIsRight: boolean): Error {
  const message = `Expected \`${name}\` to be ${expected}, got ${typeof value === 'string' ? JSON.stringify(value) : String(value)}`;
  return typeIsRight ? new RangeError(message) : new TypeError(message);
}
