import type { MessageHeaders, QueueKey, QueuePayload } from '../backend.js';
import { describe, describeError } from '../internal/describe.js';
import { NO_HEADERS } from '../internal/message.js';
import { isName } from '../internal/options.js';

/** A message as it comes from the stream. */
export interface Message {
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  readonly attempt: number;
  readonly publishedAt: number;
}

/** An entry of the stream as the server answers it: names and values of its fields by turns. */
export type Fields = readonly string[];

/**
 * An entry as a message, or why it is none.
 * @param attempt which delivery of it this is
 */
export function readMessage(id: string, attempt: number, fields: Fields): Message | string {
  let key: string | undefined;
  let payload: string | undefined;
  let headers: string | undefined;
  let publishedAt: string | undefined;
  for (let index = 0; index < fields.length; index += 2) {
    const value = fields[index + 1] as string;
    switch (fields[index]) {
      case 'key':
        key = value;
        break;
      case 'payload':
        payload = value;
        break;
      case 'headers':
        headers = value;
        break;
      case 'publishedAt':
        publishedAt = value;
        break;
      default:
    }
  }
  if (!isName(key)) return `its field "key" is ${describe(key)}`;
  const body = readObject('payload', payload);
  if (typeof body === 'string') return body;
  const facts = headers === undefined ? NO_HEADERS : readObject('headers', headers);
  if (typeof facts === 'string') return facts;
  const wrong = Object.keys(facts).find((name) => typeof facts[name as keyof typeof facts] !== 'string');
  if (wrong !== undefined) return `its field "headers" has something else than a string under ${describe(wrong)}`;
  if (publishedAt !== undefined && !/^\d{1,16}$/.test(publishedAt)) return `its field "publishedAt" is no time but ${describe(publishedAt)}`;
  // The server's time of its publication begins the id, but where it was published with a delay.
  const time = Number(publishedAt ?? id.slice(0, id.indexOf('-')));
  return { id, key, payload: body, headers: facts as MessageHeaders, attempt, publishedAt: time };
}

function readObject(field: string, json: string | undefined): object | string {
  let value: unknown;
  try {
    value = JSON.parse(json ?? '');
  } catch (error) {
    return json === undefined ? `it has no field "${field}"` : `its field "${field}" is not JSON (${describeError(error)})`;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  return `its field "${field}" is no JSON object but ${describe(value)}`;
}
