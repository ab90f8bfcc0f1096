import { FIELD, IDS, NOW, REMOVE_SETTLED } from './common.js';

/**
 * Counts the messages of a queue: of one group, or over all, where a message counts once.
 *
 * KEYS: stream, delayed, settled, addressed. ARGV: what the keys of a group begin with before `returned:` and `later:`, then the group, if it is for one.
 * Returns: ready, unfinished.
 */
export const STATS: string = `${NOW}${IDS}${FIELD}${REMOVE_SETTLED}
local stream, delayed, settled, addressed = unpack(KEYS)
local prefix, wanted = ARGV[1], ARGV[2]
removeSettled(stream, settled, 0)
local length = redis.call('XLEN', stream)
local delayedInAll = redis.call('ZCARD', delayed)
local due = redis.call('ZCOUNT', delayed, '-inf', now)
local groups = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream) or {}

-- The messages that are for one group alone: the group of each, by its member.
local groupOf, delayedForOthers = {}, 0
for _, entry in ipairs(redis.call('ZRANGE', addressed, 0, -1)) do
  local group = string.sub(entry, 38)
  if string.sub(entry, 1, 1) ~= 'd' then
    groupOf[string.sub(entry, 1, 37)] = group
  elseif group ~= wanted then
    delayedForOthers = delayedForOthers + 1
  end
end

-- How many entries a group has not read. The server tells, from version 7 on, unless something was deleted among them.
local function unread(info)
  -- Some versions count what was deleted unread, when nothing is left.
  if length == 0 then return 0 end
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

-- How many messages that are for other groups alone are behind a position, and whether there are any up to it.
local function forOthers(position)
  local behind, before = 0, false
  for id, group in pairs(groupOf) do
    if group ~= wanted and id > position then behind = behind + 1 end
    if group ~= wanted and id <= position then before = true end
  end
  return behind, before
end

-- How many of them the group has out: it has read them, and not settled yet.
local function pendingForOthers()
  local count, from = 0, '-'
  repeat
    local rows = redis.call('XPENDING', stream, wanted, from, '+', 1000)
    for _, row in ipairs(rows) do
      from = '(' .. row[1]
      local group = groupOf[member(row[1])]
      if group and group ~= wanted then count = count + 1 end
    end
  until #rows < 1000
  return count
end

local function dueForOthers()
  local count = 0
  if delayedForOthers == 0 then return count end
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now)) do
    local fields = cmsgpack.unpack(string.sub(entry, 37))
    if fields[#fields - 1] == 'group' and fields[#fields] ~= wanted then count = count + 1 end
  end
  return count
end

if wanted then
  local ahead, out, returned, position = length, 0, 0, ''
  for _, info in ipairs(groups) do
    if field(info, 'name') == wanted then
      ahead, out, returned = unread(info), field(info, 'pending'), #back(wanted)
      position = member(field(info, 'last-delivered-id'))
    end
  end
  local behind, before = forOthers(position)
  if before and out > 0 then out = out - pendingForOthers() end
  ahead = ahead - behind
  return { ahead + returned + due - dueForOthers(), ahead + out + delayedInAll - delayedForOthers }
end

-- No group has read anything: the one that is asked for would get all there is.
if #groups == 0 then return { length + due, length + delayedInAll } end

-- What the slowest group has not read is ready for it; of the rest, what came back to some group.
local slowest, ahead = nil, -1
local positions = {}
for _, info in ipairs(groups) do
  local count, position = unread(info), member(field(info, 'last-delivered-id'))
  positions[field(info, 'name')] = position
  if count > ahead then slowest, ahead = position, count end
end
local ready, unfinished, seen = ahead + due, length + delayedInAll, {}
for id, group in pairs(groupOf) do
  local position = positions[group]
  -- Its group has read it, or is gone.
  if id > slowest and (not position or id <= position) then ready = ready - 1 end
  if not position then unfinished = unfinished - 1 end
end
for _, info in ipairs(groups) do
  for _, id in ipairs(back(field(info, 'name'))) do
    if not seen[id] and (id <= slowest or groupOf[id]) then
      seen[id] = true
      ready = ready + 1
    end
  end
end
return { ready, unfinished }
`;
