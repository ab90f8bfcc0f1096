import type { Delivery, MessageView } from 'sluice';
import { timeOf } from './text.js';

/** The fields of a message that a command writes as JSON. */
export function jsonOf(message: Delivery | MessageView): object {
  const { id, key, payload, headers, attempt, publishedAt } = message;
  const due = 'due' in message && message.due !== undefined ? { due: message.due } : {};
  return { id, key, payload, headers, attempt, publishedAt, ...due };
}

/** A message in one line, for people. */
export function lineOf({ key, payload, headers, attempt, publishedAt }: Delivery | MessageView): string {
  const others = Object.keys(headers).length === 0 ? '' : `  ${JSON.stringify(headers)}`;
  const again = attempt === 1 ? '' : `  (attempt ${attempt})`;
  return `${timeOf(publishedAt)}  ${key}  ${JSON.stringify(payload)}${others}${again}`;
}
