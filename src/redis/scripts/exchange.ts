import { COMMON } from './common.js';

/**
 * One exchange of a consumer with its group: what it settled, for what it may have next. In one script, since a settlement and the fetch that it makes room
 * for cost one round trip (and one flush to disk) together, and since nothing can come between the question whose a message is and what follows from the
 * answer.
 *
 * KEYS: stream, bell, delayed, returned, later, aside.
 * ARGV: group, consumer, want, lease (ms), flags, then four lists, each led by its length: entries of the bell that were heard; acknowledged ids; what is
 * given back, as id, deliveries that count, delay (ms); what is no message, as id, reason. With the flag k, the rest is what the consumer holds.
 * Flags: a, this was sent before, and may have been carried out; k, the consumer may have been given what it never got; t, see to dead consumers;
 * w, the consumer will not wait for what falls due any more; l, it leaves.
 * Returns: 'NOGROUP', or whether each acknowledgement counted and whether each give-back did ('1' or '0' each), messages as id, attempt and fields, the
 * milliseconds until something falls due (-1: nothing), ids of messages that somebody else has deleted.
 */
export const EXCHANGE: string = `${COMMON}
local stream, bell, delayed, returned, later, aside = unpack(KEYS)
local group, consumer, want, lease, flags = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local again = string.find(flags, 'a', 1, true)

local at = 6
local function list(width)
  local items = {}
  for i = 1, tonumber(ARGV[at]) * width do items[i] = ARGV[at + i] end
  at = at + 1 + #items
  return items
end
local heard, acked, back, foreign = list(1), list(1), list(3), list(2)

-- To read its past from behind its end reads nothing, and tells the server that the consumer lives. (The very last id would mean: what is new.)
local touched = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '18446744073709551615-0')
if touched and touched.err then
  if string.find(touched.err, 'NOGROUP', 1, true) then return 'NOGROUP' end
  return touched
end

-- The ids among these that are lent to the consumer, as a set.
local function lent(ids)
  local set = {}
  if #ids > 8 then
    local first, last = ids[1], ids[1]
    for _, id in ipairs(ids) do
      if atMost(id, first) then first = id end
      if atMost(last, id) then last = id end
    end
    local rows = redis.call('XPENDING', stream, group, first, last, #ids * 4, consumer)
    for _, row in ipairs(rows) do set[row[1]] = true end
    if #rows < #ids * 4 then return set end
  end
  for _, id in ipairs(ids) do
    if redis.call('XPENDING', stream, group, id, id, 1, consumer)[1] then set[id] = true end
  end
  return set
end

-- Removes what this group is done with; from the stream too, once that is true of every group.
local function finish(ids)
  if #ids == 0 then return end
  redis.call('XACK', stream, group, unpack(ids))
  local groups = redis.call('XINFO', 'GROUPS', stream)
  local gone = ids
  if #groups > 1 then
    gone = {}
    for _, id in ipairs(ids) do
      local held = false
      for _, info in ipairs(groups) do
        local name = field(info, 'name')
        if name ~= group then
          held = held or not atMost(id, field(info, 'last-delivered-id')) or redis.call('XPENDING', stream, name, id, id, 1)[1] ~= nil
        end
      end
      if not held then gone[#gone + 1] = id end
    end
  end
  if #gone > 0 then redis.call('XDEL', stream, unpack(gone)) end
end

-- Whether the group has something to deliver again that it had not before.
local cameBack = false

local function giveBack(id, deliveries, delay)
  redis.call('XCLAIM', stream, group, PARKED, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
  if delay > 0 then
    redis.call('ZADD', later, now + delay, member(id))
  else
    redis.call('ZADD', returned, 0, member(id))
    cameBack = true
  end
end

if #heard > 0 then redis.call('XACK', bell, group, unpack(heard)) end

local counted, done = {}, {}
local mine = lent(acked)
for i, id in ipairs(acked) do
  -- Sent again, it may have counted before: then nobody has it.
  local counts = mine[id] or (again and not redis.call('XPENDING', stream, group, id, id, 1)[1])
  counted[i] = counts and '1' or '0'
  if mine[id] then done[#done + 1] = id end
end
for i = 1, #foreign, 2 do
  local id = foreign[i]
  if lent({ id })[id] then
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then redis.call('HSET', aside, id, cjson.encode({ reason = foreign[i + 1], fields = entry[2] })) end
    done[#done + 1] = id
  end
end
finish(done)

local earliestLater = redis.call('ZRANGE', later, 0, 0)[1]
for i = 1, #back, 3 do
  local id = back[i]
  local counts = lent({ id })[id]
  if counts then giveBack(id, back[i + 1], tonumber(back[i + 2])) end
  -- Sent again, what is not lent to the consumer any more is back already.
  counted[#counted + 1] = (counts or again) and '1' or '0'
end
local fallsDueEarlier = redis.call('ZRANGE', later, 0, 0)[1] ~= earliestLater

if string.find(flags, 'k', 1, true) then
  local known = {}
  for i = at, #ARGV do known[ARGV[i]] = true end
  for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', 100000, consumer)) do
    if not known[row[1]] then giveBack(row[1], row[4] - 1, 0) end
  end
end

local wait = -1
local function notLaterThan(ms)
  if wait < 0 or ms < wait then wait = math.max(0, math.ceil(ms)) end
end

-- A consumer says with its name how long it may be silent: after it there is a tilde and the milliseconds.
if string.find(flags, 't', 1, true) then
  for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local name, pending, idle = field(info, 'name'), field(info, 'pending'), field(info, 'idle')
    if name ~= consumer and name ~= PARKED then
      local left = (tonumber(string.match(name, '~(%d+)$')) or lease) - idle
      if left <= 0 then
        repeat
          local rows = redis.call('XPENDING', stream, group, '-', '+', 500, name)
          for _, row in ipairs(rows) do giveBack(row[1], row[4], 0) end
        until #rows < 500
        redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
        redis.pcall('XGROUP', 'DELCONSUMER', bell, group, name)
      elseif pending > 0 then
        notLaterThan(left)
      end
    end
  end
end

for _, due in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', later, due)
  redis.call('ZADD', returned, 0, due)
  cameBack = true
end
enterDue(delayed, stream)

local messages, deleted = {}, {}
while #messages < want do
  local popped = redis.call('ZPOPMIN', returned, want - #messages)
  if #popped == 0 then break end
  for i = 1, #popped, 2 do
    local id = idOf(popped[i])
    local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
    if row and row[2] == PARKED then
      local entry = redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
      if entry then
        messages[#messages + 1] = { id, row[4] + 1, entry[2] }
      else
        redis.call('XACK', stream, group, id)
        deleted[#deleted + 1] = id
      end
    end
  end
end
if #messages < want then
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', want - #messages, 'STREAMS', stream, '>')
  if read then
    for _, entry in ipairs(read[1][2]) do messages[#messages + 1] = { entry[1], 1, entry[2] } end
  end
end

for _, key in ipairs({ later, delayed }) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[2] then notLaterThan(tonumber(first[2]) - now) end
end

local leaves = string.find(flags, 'l', 1, true)
if leaves then
  if #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
    redis.pcall('XGROUP', 'DELCONSUMER', bell, group, consumer)
  end
end

-- Somebody who waits has to hear of what this one will not see to.
local stays = #messages < want
local passesOn = cameBack or leaves or string.find(flags, 'w', 1, true) or #heard > 0
if not stays and ((passesOn and redis.call('ZCARD', returned) > 0) or fallsDueEarlier or (passesOn and wait >= 0)) then
  redis.pcall('XADD', bell, 'MAXLEN', 1, '*', 'due', '1')
end

return { table.concat(counted), messages, wait, deleted }
`;
