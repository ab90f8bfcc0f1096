import { QUEUE } from '../../contenders/names.mjs';
import { GROUP, openConsumer } from './node-redis.mjs';

/** Sends an XACK for each message, in one pipeline. */
export const consumer = (url) =>
  openConsumer(url, (client, ids) => Promise.all(ids.map((id) => client.xAck(QUEUE, GROUP, id))));

export { publisher } from './node-redis.mjs';
