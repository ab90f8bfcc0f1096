import type { QueueKey, QueuePayload } from '../backend.js';
import { type InvalidMessageError, SluiceError } from '../errors.js';
import { isThenable } from '../internal/answers.js';
import { describe, isError, kindOf } from '../internal/describe.js';
import { framesOf } from '../internal/logger.js';
import { isPlainObject } from '../internal/message.js';
import { invalidPayload } from './issues.js';
import type { StandardSchemaV1 } from './standard-schema.js';

/** The output of a schema, or the error for an invalid payload. */
export type Verdict = QueuePayload | InvalidMessageError;

const ERROR_NAME = /^[$\w]{0,100}(?:Error|Exception)$/;

/** The schema of a key. */
export class KeySchema {
  readonly #key: QueueKey;
  readonly #schema: StandardSchemaV1;
  readonly #standard: StandardSchemaV1['~standard'];

  constructor(key: QueueKey, schema: StandardSchemaV1) {
    this.#key = key;
    this.#schema = schema;
    this.#standard = schema['~standard'];
  }

  /**
   * Validates a payload. Returns a promise only if the schema does.
   * @throws {SluiceError} (or a rejection) if the schema fails: it throws, or it returns no result
   */
  validate(payload: unknown): Verdict | Promise<Verdict> {
    let result: unknown;
    let isLater: boolean;
    try {
      result = this.#standard.validate(payload);
      isLater = isThenable(result);
    } catch (error) {
      throw this.#threw(error);
    }
    if (!isLater) return this.#verdict(payload, result);
    return Promise.resolve(result).then(
      (settled) => this.#verdict(payload, settled),
      (error) => {
        throw this.#threw(error);
      },
    );
  }

  #verdict(payload: unknown, result: unknown): Verdict {
    if (typeof result !== 'object' || result === null)
      throw this.#failed(`\`validate\` returned ${kindOf(result)} instead of a result`);
    let value: unknown;
    try {
      // Either may be a getter.
      const { issues } = result as { readonly issues?: unknown };
      if (issues !== undefined) return invalidPayload(this.#schema, payload, issues);
      value = (result as { readonly value?: unknown }).value;
    } catch (error) {
      throw this.#threw(error);
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
    throw this.#failed(`its output must be an object, got ${kindOf(value)}`);
  }

  #threw(error: unknown): SluiceError {
    return this.#failed('it threw an error', { cause: withoutText(error) });
  }

  #failed(problem: string, options?: { readonly cause: unknown }): SluiceError {
    return new SluiceError(`The schema of key ${JSON.stringify(this.#key)} failed: ${problem}`, options);
  }
}

/**
 * Returns an error with the name and the place of what a schema threw. Its text may quote the
 * payload, as that of `JSON.parse` does, and loggers print causes.
 */
function withoutText(error: unknown): Error {
  const text = 'the text is left out, since it may quote the payload';
  const name = nameOf(error);
  const cause = new Error(text);
  cause.name = name;
  cause.stack = [`${name}: ${text}`, ...framesOf(error)].join('\n');
  return cause;
}

/**
 * Returns the schemas by key. A map, so that no key finds what every object inherits.
 * @throws {TypeError} if one is no Standard Schema. The message names the key.
 */
export function checkSchemas(schemas: unknown): ReadonlyMap<unknown, KeySchema> {
  if (!isPlainObject(schemas))
    throw new TypeError(`Expected \`schemas\` to be a plain object with a schema per key, got ${describe(schemas)}`);
  return new Map(Object.entries(schemas).map(([key, schema]) => [key, new KeySchema(key, checkSchema(key, schema))]));
}

function checkSchema(key: QueueKey, schema: unknown): StandardSchemaV1 {
  const isReadable = (typeof schema === 'object' && schema !== null) || typeof schema === 'function';
  const standard = isReadable ? (schema as Partial<StandardSchemaV1>)['~standard'] : undefined;
  if (standard?.version === 1 && typeof standard.validate === 'function') return schema as StandardSchemaV1;
  throw new TypeError(
    `Expected \`schemas[${JSON.stringify(key)}]\` to be a Standard Schema of version 1, got ${describe(schema)}`,
  );
}

/** Returns the name of an error, unless it may be a text of the payload. */
function nameOf(error: unknown): string {
  if (!isError(error)) return kindOf(error);
  try {
    return ERROR_NAME.test(error.name) ? error.name : 'Error';
  } catch {
    return 'Error';
  }
}
