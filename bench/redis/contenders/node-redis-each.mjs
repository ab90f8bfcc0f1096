import { QUEUE } from '../../contenders/names.mjs';
import { GROUP, openConsumer } from './node-redis.mjs';

/** An XACK for each message, sent together. */
export const consumer = (url) =>
  openConsumer(url, (client, ids) => Promise.all(ids.map((id) => client.xAck(QUEUE, GROUP, id))));

export { publisher } from './node-redis.mjs';
