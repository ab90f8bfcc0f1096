import { randomBytes } from 'node:crypto';
import { KEY, QUEUE } from '../../contenders/names.mjs';
import { publisherByScript } from './node-redis-script.mjs';

/** For how long the server remembers a number, in milliseconds. */
const REMEMBERED = '90000';

/**
 * Stores a message unless the last one of its publisher had the same number. Looks for groups if
 * the stream is empty, and for delayed messages, of which there are none.
 */
const SCRIPT = `
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('XINFO', 'GROUPS', KEYS[1]) end
if redis.call('EXISTS', KEYS[2]) == 1 then return redis.error_reply('Unexpected') end
if redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2], 'GET') == ARGV[1] then return 0 end
redis.call('XADD', KEYS[1], '*', 'key', ARGV[5], 'payload', ARGV[6])
return 0`;

/**
 * Sends the script and the arguments of sluice with the client alone: a message that is sent again
 * is stored once.
 */
export function publisher(url) {
  const prefix = `${QUEUE}:{${QUEUE}}:`;
  const published = `${prefix}published:${randomBytes(8).toString('hex')}`;
  const keys = [QUEUE, `${prefix}delayed`, `${prefix}bell`, published, `${prefix}addressed`, `${prefix}id:`];
  const groups = JSON.stringify({ groups: ['default'], declared: false });
  let number = 0;
  const write = (payload) => {
    number++;
    return ['6', ...keys, String(number), REMEMBERED, groups, '', KEY, JSON.stringify(payload)];
  };
  return publisherByScript(url, { script: SCRIPT, write });
}
