import { FIELD, IDS, LEAST_UNSETTLED, REMOVE_ADDRESSED, REMOVE_SETTLED } from './common.js';

/**
 * Creates groups that are missing, from the beginning of the stream, and removes what every group is done with: what a group that is gone held.
 *
 * KEYS: stream, bell, settled, addressed. ARGV: whether to create none where the queue has another group ('1' or '0'), then the groups.
 */
export const OPEN: string = `${IDS}${FIELD}${LEAST_UNSETTLED}${REMOVE_SETTLED}${REMOVE_ADDRESSED}
local stream, bell, settled, addressed = unpack(KEYS)
-- A server without memory refuses the first command of a script that may need some, and none after one that does not: who settles has to get in.
redis.pcall('XACK', stream, ARGV[2], '0-0')
-- A group that is new gets what is in the stream.
removeSettled(stream, settled, 0)
local existing = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream) or {}
local exists = {}
for _, info in ipairs(existing) do exists[field(info, 'name')] = true end
for i = 2, #ARGV do
  local group = ARGV[i]
  if ARGV[1] == '0' or #existing == 0 or exists[group] then
    exists[group] = true
    for _, key in ipairs({ stream, bell }) do
      local made = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
      if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
    end
  end
end

local groups = redis.call('XINFO', 'GROUPS', stream)
if redis.call('ZCARD', addressed) > 0 then
  -- No group gets the messages for a group that is gone.
  local from = '-'
  repeat
    local entries = redis.call('ZRANGE', addressed, from, '(d', 'BYLEX', 'LIMIT', 0, 1000)
    local ids, members = {}, {}
    for _, entry in ipairs(entries) do
      from = '(' .. entry
      if not exists[string.sub(entry, 38)] then
        members[#members + 1] = entry
        ids[#ids + 1] = idOf(string.sub(entry, 1, 37))
      end
    end
    if #ids > 0 then
      redis.call('ZREM', addressed, unpack(members))
      for name in pairs(exists) do redis.call('XACK', stream, name, unpack(ids)) end
      removeAddressed(stream, ids, groups)
    end
  until #entries < 1000
end

local least = leastUnsettled(stream, groups, {})
if least then redis.call('XTRIM', stream, 'MINID', least) end
return 'OK'
`;
