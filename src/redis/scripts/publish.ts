import { COMMON } from './common.js';

/**
 * Stores a batch of messages, in order; a batch that was stored already is not stored again.
 *
 * KEYS: stream, delayed, bell, published. ARGV: the number of the batch, how long to remember it (ms), the name of the publisher (16 characters), the groups
 * that were declared (JSON), then key, payload, headers ('' for none) and delay (ms) of each message.
 */
export const PUBLISH: string = `${COMMON}
local number = tonumber(ARGV[1])
if (tonumber(redis.call('GET', KEYS[4]) or '-1')) >= number then return 'OK' end

-- After the database was flushed, somebody may have made other groups than those that were declared here.
local missing = {}
for _, group in ipairs(cjson.decode(ARGV[4])) do missing[group] = true end
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if not groups.err then
  for _, info in ipairs(groups) do missing[field(info, 'name')] = nil end
end
for group in pairs(missing) do redis.call('XGROUP', 'CREATE', KEYS[1], group, '0', 'MKSTREAM') end

-- What has fallen due by now stands before what is published now, which has to wait where that is too much for one call.
local afterOthers = enterDue(KEYS[2], KEYS[1])
local earliest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
local delays = false
for i = 5, #ARGV, 4 do
  local fields = { 'key', ARGV[i], 'payload', ARGV[i + 1] }
  if ARGV[i + 2] ~= '' then
    fields[5] = 'headers'
    fields[6] = ARGV[i + 2]
  end
  local delay = tonumber(ARGV[i + 3])
  if delay == 0 and not afterOthers then
    redis.call('XADD', KEYS[1], '*', unpack(fields))
  else
    fields[#fields + 1] = 'publishedAt'
    fields[#fields + 1] = string.format('%.0f', now)
    -- What falls due together goes in the order in which it was published: members of one score are in the order of their text.
    redis.call('ZADD', KEYS[2], now + delay, string.format('%016.0f%04d', number, (i - 1) / 4) .. ARGV[3] .. cmsgpack.pack(fields))
    delays = true
  end
end
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
if delays and redis.call('ZRANGE', KEYS[2], 0, 0)[1] ~= earliest then redis.call('XADD', KEYS[3], 'MAXLEN', 1, '*', 'due', '1') end
return 'OK'
`;
