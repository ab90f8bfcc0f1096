import { Channel } from 'queueable';
import { promiseQueue } from '../lib/loops.mjs';

/**
 * A push resolves when its value is taken, so a publisher that awaits it never has more than one
 * value in the queue. The limit of a channel does not make publishers wait: it drops the oldest
 * value.
 */
export function open() {
  const channel = new Channel();
  return promiseQueue((payload) => channel.push(payload), channel);
}
