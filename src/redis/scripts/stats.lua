-- Counts the messages of one group, or of all groups, where a message counts once.
--
-- KEYS  1 stream  2 delayed  3 settled  4 addressed
-- ARGV  1 prefix of the keys of a group, before 'returned:' and 'later:'
--       2 the group (optional)
-- Returns { ready, unfinished }.
-- include: lib/ids.lua
-- include: lib/clock.lua
-- include: lib/groups.lua
-- include: lib/trim.lua
-- include: lib/delayed.lua
local stream, delayed, settled, addressed = unpack(KEYS)
local prefix, wanted = ARGV[1], ARGV[2]
local now = readClock()
removeSettled(stream, settled, 0)
local length = redis.call('XLEN', stream)
local delayedCount = redis.call('ZCARD', delayed)
local dueCount = redis.call('ZCOUNT', delayed, '-inf', now)
local groups = groupsOf(stream)

-- The groups of messages that are addressed to one group, by the member of the message.
local groupOfMember, delayedForOthers = {}, 0
for _, entry in ipairs(redis.call('ZRANGE', addressed, 0, -1)) do
  local group = string.sub(entry, 38)
  if string.sub(entry, 1, 1) ~= 'd' then
    groupOfMember[string.sub(entry, 1, 37)] = group
  elseif group ~= wanted then
    delayedForOthers = delayedForOthers + 1
  end
end

-- Counts the entries that a group has not read.
local function unread(info)
  -- If the stream is empty, some versions count entries that were deleted unread.
  if length == 0 then return 0 end
  -- From version 7 on, the server knows, unless one of them was deleted.
  local lag = field(info, 'lag')
  if lag then return lag end
  -- Entries that the only group has settled are not in the stream.
  if #groups == 1 then return length - field(info, 'pending') end
  local count, from = 0, '(' .. field(info, 'last-delivered-id')
  repeat
    local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 1000)
    count = count + #page
    if #page > 0 then from = '(' .. page[#page][1] end
  until #page < 1000
  return count
end

local function requeuedOf(group)
  local members = redis.call('ZRANGE', prefix .. 'returned:' .. group, 0, -1)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'later:' .. group, '-inf', now)) do members[#members + 1] = member end
  return members
end

-- Counts the messages to other groups after a position. Returns also whether any are before it.
local function forOthers(position)
  local after, before = 0, false
  for id, group in pairs(groupOfMember) do
    if group ~= wanted and id > position then after = after + 1 end
    if group ~= wanted and id <= position then before = true end
  end
  return after, before
end

-- Counts the messages to other groups that the group has read and not settled.
local function pendingForOthers()
  local count, from = 0, '-'
  repeat
    local rows = redis.call('XPENDING', stream, wanted, from, '+', 1000)
    for _, row in ipairs(rows) do
      from = '(' .. row[1]
      local group = groupOfMember[member(row[1])]
      if group and group ~= wanted then count = count + 1 end
    end
  until #rows < 1000
  return count
end

local function dueForOthers()
  local count = 0
  if delayedForOthers == 0 then return count end
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now)) do
    local group = groupOf(delayedFields(entry))
    if group and group ~= wanted then count = count + 1 end
  end
  return count
end

if wanted then
  local ahead, pending, requeued, position = length, 0, 0, ''
  for _, info in ipairs(groups) do
    if field(info, 'name') == wanted then
      ahead, pending, requeued = unread(info), field(info, 'pending'), #requeuedOf(wanted)
      position = member(field(info, 'last-delivered-id'))
    end
  end
  local after, before = forOthers(position)
  if before and pending > 0 then pending = pending - pendingForOthers() end
  ahead = ahead - after
  return { ahead + requeued + dueCount - dueForOthers(), ahead + pending + delayedCount - delayedForOthers }
end

-- Without a group, the first group would get every message.
if #groups == 0 then return { length + dueCount, length + delayedCount } end

-- Ready are messages that the slowest group has not read, and others that some group requeued.
local slowest, ahead = nil, -1
local positions = {}
for _, info in ipairs(groups) do
  local count, position = unread(info), member(field(info, 'last-delivered-id'))
  positions[field(info, 'name')] = position
  if count > ahead then slowest, ahead = position, count end
end
local ready, unfinished, seen = ahead + dueCount, length + delayedCount, {}
for id, group in pairs(groupOfMember) do
  local position = positions[group]
  -- The group of the message has read it, or was deleted.
  if id > slowest and (not position or id <= position) then ready = ready - 1 end
  if not position then unfinished = unfinished - 1 end
end
for _, info in ipairs(groups) do
  for _, id in ipairs(requeuedOf(field(info, 'name'))) do
    if not seen[id] and (id <= slowest or groupOfMember[id]) then
      seen[id] = true
      ready = ready + 1
    end
  end
end
return { ready, unfinished }
