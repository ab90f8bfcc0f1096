import type { MessageHeaders } from '../backend.js';
import { InvalidMessageError } from '../errors.js';
import { describe, kindOf } from './describe.js';
import { isPlainObject, propertyPath } from './message.js';
import { isWellFormed } from './options.js';

/**
 * What a message carries from its publisher to its consumers, besides its key and payload. Queues
 * and engines pass it on as a whole. A new field changes this file, `checkPublishOptions`, the
 * public types in `backend.ts`, and the getters of `BaseDelivery`.
 */
export interface Metadata {
  /** Default: none. */
  readonly headers: MessageHeaders;
}

/** Metadata as a publisher gives it. */
export type GivenMetadata = { readonly [Field in keyof Metadata]?: Metadata[Field] | undefined };

const NO_HEADERS: MessageHeaders = Object.freeze({});

/** The metadata of a message that was published without any. */
export const NO_METADATA: Metadata = Object.freeze({ headers: NO_HEADERS });

/**
 * Returns a copy of the metadata that a publisher gave.
 * @throws {InvalidMessageError} if it is invalid. The message names the path.
 */
export function checkMetadata({ headers }: GivenMetadata): Metadata {
  return headers === undefined ? NO_METADATA : { headers: copyHeaders(headers) };
}

/** Returns the metadata of a message, without its other fields. */
export function metadataOf({ headers }: Metadata): Metadata {
  return headers === NO_HEADERS ? NO_METADATA : { headers };
}

/** Returns a copy of metadata that a test gave, unchecked. */
export function copyMetadata({ headers }: GivenMetadata): Metadata {
  return { headers: { ...headers } };
}

/**
 * Writes metadata as JSON. Undefined: there is none. The JSON is the object of the headers. A
 * second field must be stored under the empty name, which no header has.
 */
export function writeMetadata({ headers }: Metadata): string | undefined {
  return Object.keys(headers).length === 0 ? undefined : JSON.stringify(headers);
}

/**
 * Reads metadata that `writeMetadata` or another program has written. If it is invalid, returns the
 * reason, such as `its "headers" is not JSON`.
 */
export function readMetadata(json: string | undefined): Metadata | string {
  if (json === undefined) return NO_METADATA;
  const headers = readObject('headers', json);
  if (typeof headers === 'string') return headers;
  const wrong = Object.keys(headers).find((name) => typeof headers[name as keyof typeof headers] !== 'string');
  return wrong === undefined ? { headers: headers as MessageHeaders } : `its header ${describe(wrong)} is not a string`;
}

/** Reads a JSON object. If the text is not one, returns the reason. */
export function readObject(part: string, json: string | undefined): object | string {
  let value: unknown;
  try {
    value = JSON.parse(json ?? '');
  } catch {
    // The error quotes the text, which must not be logged.
    return json === undefined ? `it has no "${part}"` : `its "${part}" is not JSON`;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  return `its "${part}" is not a JSON object but ${kindOf(value)}`;
}

/**
 * Returns a frozen copy of the headers.
 * @throws {InvalidMessageError} unless all names and values are strings of well-formed UTF-8, and
 * no name is empty
 */
function copyHeaders(headers: unknown): MessageHeaders {
  if (!isPlainObject(headers)) throw new InvalidMessageError('headers', 'a plain object of strings', describe(headers));
  const given = headers as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (name === '' || !isWellFormed(name))
      throw new InvalidMessageError('headers', 'a plain object with names of well-formed UTF-8', describe(name));
    if (typeof value !== 'string' || !isWellFormed(value)) {
      throw new InvalidMessageError(propertyPath('headers', name), 'a string of well-formed UTF-8', describe(value));
    }
  }
  return Object.freeze({ ...given }) as MessageHeaders;
}
