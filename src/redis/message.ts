import type { ConsumerGroup } from '../backend.js';
import { type Message, readEnvelope } from '../core/envelope.js';
import { describe } from '../internal/describe.js';

/** An entry of the stream as the server answers it: names and values of its fields by turns. */
export type Fields = readonly string[];

/** Whether an entry is for one group alone, and for another one than this. */
export function isForAnother(fields: Fields, group: ConsumerGroup): boolean {
  for (let index = 0; index < fields.length; index += 2)
    if (fields[index] === 'group') return fields[index + 1] !== group;
  return false;
}

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
  const content = readEnvelope({ key, payload, headers });
  if (typeof content === 'string') return content;
  if (publishedAt !== undefined && !/^\d{1,16}$/.test(publishedAt))
    return `its "publishedAt" is no time but ${describe(publishedAt)}`;
  // The server's time of its publication begins the id, but where it was published with a delay.
  const time = Number(publishedAt ?? id.slice(0, id.indexOf('-')));
  return { id, ...content, attempt, publishedAt: time };
}
