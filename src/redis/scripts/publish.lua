-- Stores a batch of messages, in order. A batch that is sent again is stored once.
--
-- KEYS  1 stream  2 delayed  3 wakeStream
--       4 published: the last batch of the publisher; ends in the 16 characters of its name
--       5 addressed  6 ids: prefix of the keys that remember published ids
-- ARGV  1 number of the batch
--       2 for how long to remember the batch, in ms
--       3 JSON: which groups to create if the database was flushed
--         groups      names
--         declared    false: create them only if the queue has no group
--         mustExist   true: create neither the queue nor a group
--       4 JSON of rare fields, or '': each message has only a key and a payload
--         from          when the delays begin, in ms of the server's clock; absent: now
--         groupAt       the only group of a message, by the place of the message in the batch
--         idAt          the publisher's own id of a message, by its place
--         dedupeWindow  for how long to remember these ids, in ms
--       then for each message: key, payload
--       and if there are rare fields, also: headers ('' for none), delay in ms
-- Returns the server's time in ms, or 0 if the script did not need it. With mustExist, returns the
-- name of a group that is missing, or '' if the queue is, and stores nothing.
local stream, delayed, wakeStream, published, addressed, ids = unpack(KEYS)
local number = ARGV[1]

-- A server without memory refuses this command, too, so it remembers only batches that it stores.
local function isAgain()
  return redis.call('SET', published, number, 'PX', ARGV[2], 'GET') == number
end

local FIRST_ROW = 5
local isPlain = ARGV[4] == ''

-- Most batches need none of the functions below, and creating these costs as much as storing a
-- message.
if isPlain and redis.call('XLEN', stream) > 0 and redis.call('EXISTS', delayed) == 0 then
  if isAgain() then return 0 end
  for i = FIRST_ROW, #ARGV, 2 do redis.call('XADD', stream, '*', 'key', ARGV[i], 'payload', ARGV[i + 1]) end
  return 0
end

-- include: lib/ids.lua
-- include: lib/clock.lua
-- include: lib/groups.lua
-- include: lib/delayed.lua
local rare = isPlain and {} or cjson.decode(ARGV[4])
local groupAt, idAt = rare.groupAt or {}, rare.idAt or {}
local ROW = isPlain and 2 or 4

-- After the database was flushed, other processes may have created groups that are not declared
-- here. A message for a missing group would be lost.
if next(groupAt) or redis.call('XLEN', stream) == 0 then
  local missing = {}
  local groups = groupsOf(stream)
  local rule = cjson.decode(ARGV[3])
  if rule.mustExist and redis.call('EXISTS', stream) == 0 then return '' end
  if rule.declared or (#groups == 0 and not rule.mustExist) then
    for _, group in ipairs(rule.groups) do missing[group] = true end
  end
  for _, group in pairs(groupAt) do missing[group] = true end
  for _, info in ipairs(groups) do missing[field(info, 'name')] = nil end
  if rule.mustExist and next(missing) then return next(missing) end
  for group in pairs(missing) do redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM') end
end

if isAgain() then return 0 end

local now, hasMoreDue, earliest
local function enterDelayed()
  now = readClock()
  hasMoreDue = enterDue(delayed, addressed, stream, now)
  earliest = redis.call('ZRANGE', delayed, 0, 0)[1]
end
-- Messages that are due already precede the messages of this batch.
if redis.call('EXISTS', delayed) == 1 then enterDelayed() end

local function isDuplicate(id)
  return id and redis.call('EXISTS', ids .. id) == 1
end

-- Only after the message is stored: if that fails, its publisher tries again with the same id.
local function remember(id)
  if id then redis.call('SET', ids .. id, '1', 'PX', rare.dedupeWindow) end
end

local function store(place, key, payload, headers, delay)
  local group, id = groupAt[tostring(place)], idAt[tostring(place)]
  if isDuplicate(id) then return false end
  local fields = { 'key', key, 'payload', payload }
  local function add(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if headers ~= '' then add('headers', headers) end
  if id then add('id', id) end
  if delay == '0' and not hasMoreDue then
    if group then add('group', group) end
    local entry = redis.call('XADD', stream, '*', unpack(fields))
    if group then address(addressed, entry, group) end
    remember(id)
    return false
  end
  if not now then enterDelayed() end
  add('publishedAt', string.format('%.0f', now))
  if group then add('group', group) end
  -- Members with equal scores are in the order of their text: the order of publication.
  local delayedMember = string.format('%016d%04d', number, place) .. string.sub(published, -16) .. cmsgpack.pack(fields)
  -- If a message without a delay waits behind due ones, it becomes due now, not at `from`.
  local from = delay ~= '0' and rare.from or now
  redis.call('ZADD', delayed, from + tonumber(delay), delayedMember)
  if group then redis.call('ZADD', addressed, 0, addressedMember(delayedMember, group)) end
  remember(id)
  return true
end

-- No message is for one group or has an id of its publisher.
local areUsual = not next(groupAt) and not next(idAt)
local anyDelayed = false
for i = FIRST_ROW, #ARGV, ROW do
  local key, payload, headers, delay = ARGV[i], ARGV[i + 1], '', '0'
  if not isPlain then headers, delay = ARGV[i + 2], ARGV[i + 3] end
  if delay == '0' and headers == '' and areUsual and not hasMoreDue then
    redis.call('XADD', stream, '*', 'key', key, 'payload', payload)
  elseif store((i - FIRST_ROW) / ROW + 1, key, payload, headers, delay) then
    anyDelayed = true
  end
end
-- Consumers wait for the first due message that they know of.
if anyDelayed and redis.call('ZRANGE', delayed, 0, 0)[1] ~= earliest then redis.pcall('XADD', wakeStream, 'MAXLEN', 1, '*', 'due', '1') end
return now or 0
