import { createHash } from 'node:crypto';
import { KEY, QUEUE } from '../../contenders/names.mjs';
import { openPublisher } from './node-redis.mjs';

/** The limit in a script, which does nothing else. */
export const publisher = (url) =>
  publisherByScript(url, {
    script: "return redis.call('XADD', KEYS[1], '*', 'key', ARGV[1], 'payload', ARGV[2])",
    write: (payload) => ['1', QUEUE, KEY, JSON.stringify(payload)],
  });

/**
 * Publishes by a script that the server knows.
 * @param write returns the number of keys, the keys and the arguments that publish a payload
 */
export function publisherByScript(url, { script, write }) {
  const hash = createHash('sha1').update(script).digest('hex');
  return openPublisher(url, async (client) => {
    await client.scriptLoad(script);
    return (payload) => client.sendCommand(['EVALSHA', hash, ...write(payload)]);
  });
}
