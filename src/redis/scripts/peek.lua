-- Lists waiting messages of a group, without taking them: ready ones in the order of delivery, then
-- delayed ones in the order in which they become due.
--
-- KEYS  1 stream  2 delayed  3 requeued  4 retries  5 addressed
-- ARGV  1 group
--       2 limit: how many messages to return at most
-- Returns a list of { id, fields, attempt of the next delivery, due time in ms since the epoch }.
--       The due time of a ready message is ''.
-- include: lib/ids.lua
-- include: lib/clock.lua
-- include: lib/groups.lua
-- include: lib/delayed.lua
local stream, delayed, requeued, retries, addressed = unpack(KEYS)
local group, limit = ARGV[1], tonumber(ARGV[2])
local now = readClock()
local views = {}

local position
for _, info in ipairs(groupsOf(stream)) do
  if field(info, 'name') == group then position = field(info, 'last-delivered-id') end
end
if not position then return views end

-- Due messages get their ids and their places in the stream.
enterDue(delayed, addressed, stream, now)

local function isForThis(fields)
  local only = groupOf(fields)
  return only == nil or only == group
end

-- Adds a message that the group redelivers, unless it was settled or deleted meanwhile.
local function addPending(views, member, due)
  local id = idOf(member)
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local entry = row and row[2] == PARKED and redis.call('XRANGE', stream, id, id)[1]
  if entry then views[#views + 1] = { id, entry[2], row[4] + 1, due } end
end

local members = redis.call('ZRANGE', requeued, 0, limit - 1)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', retries, '-inf', now, 'LIMIT', 0, limit)) do members[#members + 1] = member end
table.sort(members)
for _, member in ipairs(members) do addPending(views, member, '') end

local from = '(' .. position
repeat
  local page = redis.call('XRANGE', stream, from, '+', 'COUNT', limit)
  for _, entry in ipairs(page) do
    from = '(' .. entry[1]
    if isForThis(entry[2]) then views[#views + 1] = { entry[1], entry[2], 1, '' } end
  end
until #page < limit or #views >= limit

local waiting = {}
if #views < limit then
  local rows = redis.call('ZRANGEBYSCORE', retries, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for i = 1, #rows, 2 do addPending(waiting, rows[i], rows[i + 1]) end
  local offset, found = 0, 0
  repeat
    rows = redis.call('ZRANGE', delayed, offset, offset + limit - 1, 'WITHSCORES')
    for i = 1, #rows, 2 do
      local fields = delayedFields(rows[i])
      if isForThis(fields) then
        waiting[#waiting + 1] = { string.sub(rows[i], 1, 36), fields, 1, rows[i + 1] }
        found = found + 1
      end
    end
    offset = offset + limit
  until #rows < 2 * limit or found >= limit
  -- Messages with equal times become due in the order of their ids.
  table.sort(waiting, function(a, b)
    local dueOfA, dueOfB = tonumber(a[4]), tonumber(b[4])
    return dueOfA < dueOfB or (dueOfA == dueOfB and a[1] < b[1])
  end)
end
for _, view in ipairs(waiting) do views[#views + 1] = view end
while #views > limit do table.remove(views) end
return views
