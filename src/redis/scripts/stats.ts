import { FIELD, IDS, NOW, REMOVE_SETTLED } from './common.js';

/**
 * Counts the messages of a queue: of one group, or over all, where a message counts once.
 *
 * KEYS: stream, delayed, settled. ARGV: what the keys of a group begin with before `returned:` and `later:`, then the group, if it is for one.
 * Returns: ready, unfinished.
 */
export const STATS: string = `${NOW}${IDS}${FIELD}${REMOVE_SETTLED}
local stream, delayed, prefix, wanted = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
removeSettled(stream, KEYS[3], 0)
local length = redis.call('XLEN', stream)
local delayedInAll = redis.call('ZCARD', delayed)
local due = redis.call('ZCOUNT', delayed, '-inf', now)
local groups = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream) or {}

-- How many entries a group has not read. The server tells, from version 7 on, unless something was deleted among them.
local function unread(info)
  local lag = field(info, 'lag')
  if lag then return lag end
  -- What the one group there is has settled is gone.
  if #groups == 1 then return length - field(info, 'pending') end
  local count, from = 0, '(' .. field(info, 'last-delivered-id')
  repeat
    local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 1000)
    count = count + #page
    if #page > 0 then from = '(' .. page[#page][1] end
  until #page < 1000
  return count
end

-- What a group could have again now, as members of its sorted sets.
local function back(group)
  local members = redis.call('ZRANGE', prefix .. 'returned:' .. group, 0, -1)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'later:' .. group, '-inf', now)) do members[#members + 1] = member end
  return members
end

if wanted then
  for _, info in ipairs(groups) do
    if field(info, 'name') == wanted then
      local ahead = unread(info)
      return { ahead + #back(wanted) + due, ahead + field(info, 'pending') + delayedInAll }
    end
  end
elseif #groups > 0 then
  -- What the slowest group has not read is ready for it; of the rest, what came back to some group.
  local slowest, ahead = nil, -1
  for _, info in ipairs(groups) do
    local count = unread(info)
    if count > ahead then slowest, ahead = info, count end
  end
  local ready, seen = ahead + due, {}
  for _, info in ipairs(groups) do
    for _, id in ipairs(back(field(info, 'name'))) do
      if not seen[id] and id <= member(field(slowest, 'last-delivered-id')) then
        seen[id] = true
        ready = ready + 1
      end
    end
  end
  return { ready, length + delayedInAll }
end
-- No group has read anything: the one that is asked for would get all there is.
return { length + due, length + delayedInAll }
`;
