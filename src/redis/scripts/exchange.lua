-- Settles messages of one consumer and fetches its next ones, in one round trip and one flush to
-- disk. No other command runs between the check who owns a message and its settlement.
--
-- KEYS  1 stream  2 wakeStream  3 delayed  4 requeued  5 retries  6 quarantine  7 settled
--       8 fence: prefix of the keys of fenced consumers  9 addressed
-- ARGV  1 group
--       2 consumer
--       3 want: how many messages to return at most
--       4 lease, in ms
--       5 steady: for how long the server has answered the consumer without a gap, in ms
--       6 ids of acknowledged messages, ascending, separated by commas. Most settlements are acks,
--         and splitting one string takes less time than receiving many arguments.
--       7 JSON object. Each field is optional, and a flag is true or absent:
--         resent         flag: the settlements were sent before, and may have been carried out
--         joined         flag: the consumer has been in the group before
--         reclaim        flag: look for expired consumers
--         stopsWatching  flag: the consumer no longer waits for the next due message
--         leave          flag: the consumer leaves the group
--         maxBytes       how many bytes of messages to return at most, but at least one message
--         wakeUps        ids of the entries of wakeStream that the consumer has received
--         requeue        list of { id, deliveries that count, delay in ms }
--         quarantine     list of { id, reason }
--         held           ids in flight at the consumer: its other messages were lost on the way,
--                        and are requeued
-- Returns 'NOGROUP' if the group is missing, else:
--       1 whether each settlement counted, '1' or '0': the acknowledged ids, then `requeue`
--       2 redelivered messages as { id, fields, attempt }
--       3 new messages as { id, fields }
--       4 in how many ms a message becomes due or a lease may expire; -1: never
--       5 ids of messages that another program has deleted
--       6 1 if there are more messages than `maxBytes` allows, else 0
--       7 with `held`: how many messages were lost on the way, their bytes, and one id
-- include: lib/ids.lua
-- include: lib/clock.lua
-- include: lib/groups.lua
-- include: lib/trim.lua
-- include: lib/delayed.lua

-- Batches of at least this many out-of-order acks wait for XTRIM instead of using XDEL: deleting a
-- few entries is cheap, deleting many is not.
local LEAST_BATCH = 16

-- How many batches wait at most. The entries before older batches take long to be settled.
local MOST_BATCHES = 8

-- For how long a consumer stays fenced, in ms.
local FENCE_PERIOD = 86400000

local stream, wakeStream, delayed, requeued, retries, quarantine, settled, fence, addressed = unpack(KEYS)
local group, consumer, want, lease, steady = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local request = cjson.decode(ARGV[7])
local now = readClock()
local acked = {}
for id in string.gmatch(ARGV[6], '[^,]+') do acked[#acked + 1] = id end

-- A server without memory refuses a script whose first command may need memory. Settlements must
-- get in, because they free memory, so the first command is one that needs none.
redis.pcall('XACK', stream, group, '0-0')
local made = redis.pcall('XGROUP', 'CREATECONSUMER', stream, group, consumer)
if type(made) == 'table' then
  if string.find(made.err, 'NOGROUP', 1, true) or string.find(made.err, 'requires the key to exist', 1, true) then return 'NOGROUP' end
  return made
end
local consumers = request.reclaim and redis.call('XINFO', 'CONSUMERS', stream, group)
-- Reading pending messages after the last possible id returns none, and tells the server that the
-- consumer lives. (The very last id would mean: new messages.)
redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '18446744073709551615-0')

-- The consumer expired, or its group was deleted and created again: others may own its messages.
if made == 1 and request.joined then redis.call('SET', fence .. consumer, '1', 'PX', FENCE_PERIOD) end
local isFenced = redis.call('EXISTS', fence .. consumer) == 1
local resent = request.resent and not isFenced

local function holds(id)
  return redis.call('XPENDING', stream, group, id, id, 1, consumer)[1] ~= nil
end

-- Finds the first place in an ascending list whose id is at least `least`.
local function firstFrom(least, ids)
  local from, to = 1, #ids + 1
  while from < to do
    local middle = math.floor((from + to) / 2)
    if atMost(least, ids[middle]) then to = middle else from = middle + 1 end
  end
  return from
end

-- Selects from an ascending list the ids that are not pending in a group.
local function notPending(name, ids)
  local rows = redis.call('XPENDING', stream, name, ids[1], ids[#ids], #ids)
  local pending = {}
  for _, row in ipairs(rows) do pending[row[1]] = true end
  -- If the group has more pending messages in this range, the rest is asked for one by one.
  local last = #rows == #ids and rows[#rows][1]
  local others = {}
  for _, id in ipairs(ids) do
    local isPending = pending[id] or last and not atMost(id, last) and redis.call('XPENDING', stream, name, id, id, 1)[1] ~= nil
    if not isPending then others[#others + 1] = id end
  end
  return others
end

-- Selects from an ascending list, from a place on, the ids that every other group has settled.
local function settledByOthers(all, from, groups, leastPending)
  local to = #all
  for _, info in ipairs(groups) do
    if field(info, 'name') ~= group then
      local read = field(info, 'last-delivered-id')
      while to >= from and not atMost(all[to], read) do to = to - 1 end
    end
  end
  local ids = {}
  for i = from, to do ids[#ids + 1] = all[i] end
  for _, info in ipairs(groups) do
    local name = field(info, 'name')
    if #ids > 0 and name ~= group and leastPending[name] and atMost(leastPending[name], ids[#ids]) then ids = notPending(name, ids) end
  end
  return ids
end

-- If no message is addressed to one group, this is the only cost of such messages.
local anyAddressed = redis.call('ZCARD', addressed) > 0

local function isForAnother(id)
  if not anyAddressed then return false end
  local least = member(id)
  local entry = redis.call('ZRANGE', addressed, '[' .. least, '[' .. least .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
  return entry and string.sub(entry, 38) ~= group
end

-- Removes messages that are addressed to this group from `addressed`, and from the groups that have
-- read them. Returns these messages, and the others.
local function takeOwn(ids, groups)
  local own, others = {}, {}
  for _, id in ipairs(ids) do
    local list = redis.call('ZREM', addressed, member(id) .. group) == 1 and own or others
    list[#list + 1] = id
  end
  if #own > 0 then
    for _, info in ipairs(groups) do redis.call('XACK', stream, field(info, 'name'), unpack(own)) end
  end
  return own, others
end

-- Settles messages, as an ascending list, for this group. Removes those that every group has
-- settled from the stream. Returns how many this group had not settled before.
local function finish(ids)
  if #ids == 0 then return 0 end
  local removed = redis.call('XACK', stream, group, unpack(ids))
  if removed == 0 then return 0 end
  local groups = redis.call('XINFO', 'GROUPS', stream)
  local count, own = #ids, {}
  if anyAddressed then own, ids = takeOwn(ids, groups) end
  -- Nearly always these are the oldest entries. Trimming is several times as fast as deleting.
  local leastPending = {}
  local least = leastUnsettled(stream, groups, leastPending)
  local trimmed = redis.call('XTRIM', stream, 'MINID', least)
  if #own > 0 and atMost(least, own[#own]) then deleteEntries(stream, own, groups) end
  if anyAddressed then
    -- Trimmed messages that are still listed were addressed to a deleted group.
    local gone = redis.call('ZRANGE', addressed, '-', '(' .. member(least), 'BYLEX', 'LIMIT', 0, 1000)
    if #gone > 0 then redis.call('ZREM', addressed, unpack(gone)) end
  end
  local waiting = redis.call('LLEN', settled)
  if trimmed < count or waiting > 0 then
    local gone = settledByOthers(ids, firstFrom(least, ids), groups, leastPending)
    -- If many consumers share a queue, earlier entries are settled soon, and XTRIM reaches these.
    if #gone >= LEAST_BATCH then
      redis.call('RPUSH', settled, table.concat(gone, ','))
    elseif #gone > 0 then
      redis.call('XDEL', stream, unpack(gone))
    end
    removeSettled(stream, settled, MOST_BATCHES, least)
  end
  return removed
end

-- Whether other consumers must learn of a requeued message.
local anyRequeued = false

-- Ids that another program has deleted from the stream.
local deleted = {}

local function requeue(id, deliveries, delay)
  if isForAnother(id) then
    redis.call('XACK', stream, group, id)
    return
  end
  local kept = redis.call('XCLAIM', stream, group, PARKED, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
  -- A server before version 7, which gives scripts no version, also claims deleted entries.
  if #kept == 0 or not (redis.REDIS_VERSION or redis.call('XRANGE', stream, id, id)[1]) then
    redis.call('XACK', stream, group, id)
    deleted[#deleted + 1] = id
  elseif delay > 0 then
    redis.call('ZADD', retries, now + delay, member(id))
  else
    redis.call('ZADD', requeued, 0, member(id))
    anyRequeued = true
  end
end

-- If a key has another type, this fails before anything is settled.
for _, key in ipairs({ requeued, delayed }) do redis.call('ZCARD', key) end
redis.call('LLEN', settled)
local earliestRetry = redis.call('ZRANGE', retries, 0, 0)[1]
if request.wakeUps then redis.call('XACK', wakeStream, group, unpack(request.wakeUps)) end
for _, item in ipairs(request.quarantine or {}) do
  local id, reason = unpack(item)
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if row and (row[2] == consumer or row[2] == PARKED) then
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then redis.call('HSET', quarantine, id, cjson.encode({ reason = reason, fields = entry[2] })) end
    redis.call('ZREM', requeued, member(id))
    finish({ id })
  end
end

-- Nearly always the consumer owns the messages that it acknowledges: only fencing changes that.
local counted = {}
if resent or isFenced then
  local mine = {}
  for i, id in ipairs(acked) do
    if holds(id) then
      mine[#mine + 1] = id
      counted[i] = '1'
    else
      -- If it was sent before and no consumer owns the message, it counted then.
      counted[i] = resent and not redis.call('XPENDING', stream, group, id, id, 1)[1] and '1' or '0'
    end
  end
  finish(mine)
elseif #acked > 0 then
  -- None counts if the database was flushed.
  counted[1] = string.rep(finish(acked) > 0 and '1' or '0', #acked)
end
for _, item in ipairs(request.requeue or {}) do
  local id, deliveries, delay = unpack(item)
  local counts = holds(id)
  if counts then requeue(id, deliveries, delay) end
  -- If it was sent before and the consumer does not own the message, it was requeued then.
  counted[#counted + 1] = (counts or resent) and '1' or '0'
end
local isDueEarlier = redis.call('ZRANGE', retries, 0, 0)[1] ~= earliestRetry

local function sizeOf(entry)
  local size = 0
  for _, text in ipairs(entry[2]) do size = size + #text end
  return size
end

local lost
if request.held then
  lost = { 0, 0, '' }
  local held = {}
  for _, id in ipairs(request.held) do held[id] = true end
  local from = '-'
  repeat
    local rows = redis.call('XPENDING', stream, group, from, '+', 1000, consumer)
    for _, row in ipairs(rows) do
      if not held[row[1]] then
        local entry = redis.call('XRANGE', stream, row[1], row[1])[1]
        if entry then lost = { lost[1] + 1, lost[2] + sizeOf(entry), row[1] } end
        requeue(row[1], row[4] - 1, 0)
      end
      from = '(' .. row[1]
    end
  until #rows < 1000
end

local wait = -1
local function waitAtMost(ms)
  if wait < 0 or ms < wait then wait = math.max(0, math.ceil(ms)) end
end

-- Requeues the messages of expired consumers, and removes these consumers.
if consumers then
  removeSettled(stream, settled, 0)
  -- Only this server learns from a read that the consumer lives. Claiming one of its messages is a
  -- write, which replicas and the append-only file get, too. (Claiming a message that another
  -- program has deleted would take it from the consumer.)
  local own = redis.call('XPENDING', stream, group, '-', '+', 1, consumer)[1]
  if own and redis.call('XRANGE', stream, own[1], own[1])[1] then
    redis.call('XCLAIM', stream, group, consumer, 0, own[1], 'IDLE', own[3], 'RETRYCOUNT', own[4], 'JUSTID')
  end
  -- After a long gap, the consumer cannot know whether the server was there for the others.
  local wasSilent
  for _, info in ipairs(consumers) do
    if field(info, 'name') == consumer then wasSilent = field(info, 'idle') > lease * 2 / 3 end
  end
  for _, info in ipairs(consumers) do
    local name, pending, idle = field(info, 'name'), field(info, 'pending'), field(info, 'idle')
    if name ~= consumer and name ~= PARKED then
      -- The name of a consumer ends with a tilde and its lease in ms.
      local left = (tonumber(string.match(name, '~(%d+)$')) or lease) - math.min(idle, steady)
      -- Live consumers have renewed their leases by the next look.
      if left <= 0 and pending > 0 and wasSilent then left = lease / 3 end
      if left <= 0 then
        -- The consumer may still live. From now on its settlements are checked.
        if pending > 0 then redis.call('SET', fence .. name, '1', 'PX', FENCE_PERIOD) end
        repeat
          local rows = redis.call('XPENDING', stream, group, '-', '+', 500, name)
          for _, row in ipairs(rows) do requeue(row[1], row[4], 0) end
        until #rows < 500
        redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
        redis.pcall('XGROUP', 'DELCONSUMER', wakeStream, group, name)
      elseif pending > 0 then
        waitAtMost(left)
      end
    end
  end
end

repeat
  local due = redis.call('ZRANGEBYSCORE', retries, '-inf', now, 'LIMIT', 0, 1000)
  for _, id in ipairs(due) do
    redis.call('ZREM', retries, id)
    redis.call('ZADD', requeued, 0, id)
    anyRequeued = true
  end
until #due < 1000
enterDue(delayed, addressed, stream, now)

local redelivered, fresh = {}, {}
local maxBytes = request.maxBytes
local bytes, isFull = 0, false

-- Counts one more entry, if it is within `maxBytes`. The first one is, however large.
local function fits(entry)
  local sum = bytes + sizeOf(entry)
  isFull = bytes > 0 and sum > maxBytes
  if not isFull then bytes = sum end
  return not isFull
end

while #redelivered < want and not isFull do
  local popped = redis.call('ZPOPMIN', requeued, maxBytes and 1 or want - #redelivered)
  if #popped == 0 then break end
  for i = 1, #popped, 2 do
    local id = idOf(popped[i])
    local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
    if row and row[2] == PARKED then
      local ahead = maxBytes and redis.call('XRANGE', stream, id, id)[1]
      local entry = not (ahead and not fits(ahead)) and redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
      if isFull then
        redis.call('ZADD', requeued, 0, popped[i])
      elseif entry then
        redelivered[#redelivered + 1] = { id, entry[2], row[4] + 1 }
      else
        redis.call('XACK', stream, group, id)
        deleted[#deleted + 1] = id
      end
    end
  end
end
if maxBytes and #redelivered < want and not isFull then
  local last
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if field(info, 'name') == group then last = field(info, 'last-delivered-id') end
  end
  while #redelivered + #fresh < want do
    local ahead = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
    if not ahead or not fits(ahead) then break end
    last = ahead[1]
    fresh[#fresh + 1] = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '>')[1][2][1]
  end
elseif #redelivered < want and not isFull then
  local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', want - #redelivered, 'STREAMS', stream, '>')
  if reply then fresh = reply[1][2] end
end

for _, key in ipairs({ retries, delayed }) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[2] then waitAtMost(tonumber(first[2]) - now) end
end

if request.leave and #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
  redis.pcall('XGROUP', 'DELCONSUMER', wakeStream, group, consumer)
  redis.call('DEL', fence .. consumer)
end

-- Wakes another consumer to continue.
local staysAwake = #redelivered + #fresh < want and not isFull
local handsOver = anyRequeued or request.leave or request.stopsWatching or request.wakeUps
local anyWaiting = redis.call('ZCARD', requeued) > 0
if not staysAwake and (isDueEarlier or (handsOver and (anyWaiting or wait >= 0))) then
  redis.pcall('XADD', wakeStream, 'MAXLEN', 1, '*', 'due', '1')
end
-- XREADGROUP by the consumer returns only new messages. For requeued ones, it must call this again.
if anyWaiting then wait = 0 end

return { table.concat(counted), redelivered, fresh, wait, deleted, isFull and 1 or 0, lost }
