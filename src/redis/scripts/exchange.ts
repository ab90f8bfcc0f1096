import {
  ADDRESS,
  ENTER_DUE,
  FIELD,
  IDS,
  LEAST_UNSETTLED,
  NOW,
  PARKED,
  REMOVE_ADDRESSED,
  REMOVE_SETTLED,
} from './common.js';

/** From how many on messages that were settled together, out of order, wait for the stream to be trimmed past them: to delete a few costs little. */
const MANY = 16;

/** How many such batches wait. The older ones are deleted: what is before them takes its time. */
const MOST_BATCHES = 8;

/**
 * One exchange of a consumer with its group: what it settled, for what it may have next. In one script, since a settlement and the fetch that it makes room
 * for cost one round trip (and one flush to disk) together, and since nothing can come between the question whose a message is and what follows from the
 * answer.
 *
 * KEYS: stream, bell, delayed, returned, later, aside, settled, fence, addressed.
 * ARGV: group, consumer, want, lease (ms), for how long the server has answered the consumer without a gap (ms), flags, acknowledged ids (sorted, separated by
 * commas), the most bytes of messages to read (0: any number), then three lists, each led by its length: entries of the bell that were heard; what is given back, as
 * id, deliveries that count, delay (ms); what cannot be delivered, as id, reason. With the flag k, the rest is what the consumer holds.
 * Flags: a, this was sent before, and may have been carried out; k, the consumer may have been given what it never got, or be rid of what it still has there; t, see to dead consumers;
 * e, the consumer has been in the group before; p, it reads what is new by itself, at once after this; w, the consumer will not wait for what falls due any more; l, it leaves.
 * Returns: 'NOGROUP', or whether each acknowledgement counted and whether each give-back did ('1' or '0' each), messages that were
 * delivered before as id, fields and attempt, others as id and fields, the milliseconds until something falls due (-1: nothing), ids of messages that
 * somebody else has deleted, whether there are more messages than those bytes (1 or 0), and with the flag k, of what the consumer was given and never got
 * the number, the bytes and one id.
 */
export const EXCHANGE: string = `${NOW}${IDS}${FIELD}${LEAST_UNSETTLED}${REMOVE_SETTLED}${REMOVE_ADDRESSED}${ADDRESS}${ENTER_DUE}
local PARKED = '${PARKED}'
local stream, bell, delayed, returned, later, aside, settled, fence, addressed = unpack(KEYS)
local group, consumer, want, lease, steady, flags = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local again = string.find(flags, 'a', 1, true)
local bytes = tonumber(ARGV[8])
local at = 9
local function list(width)
  local items = {}
  for i = 1, tonumber(ARGV[at]) * width do items[i] = ARGV[at + i] end
  at = at + 1 + #items
  return items
end
local heard, back, foreign = list(1), list(3), list(2)
-- By far the most, and in one argument: to take it apart here costs less than to send each alone.
local acked = {}
for id in string.gmatch(ARGV[7], '[^,]+') do acked[#acked + 1] = id end

-- A server without memory refuses the first command of a script that may need some, and none after one that does not: to settle is what makes room.
redis.pcall('XACK', stream, group, '0-0')
local made = redis.pcall('XGROUP', 'CREATECONSUMER', stream, group, consumer)
if type(made) == 'table' then
  if string.find(made.err, 'NOGROUP', 1, true) or string.find(made.err, 'requires the key to exist', 1, true) then return 'NOGROUP' end
  return made
end
local consumers = string.find(flags, 't', 1, true) and redis.call('XINFO', 'CONSUMERS', stream, group)
-- To read its past from behind its end reads nothing, and tells the server that the consumer lives. (The very last id would mean: what is new.)
redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '18446744073709551615-0')

-- Somebody took it for dead, or its group is another than it was: what it settles may not be lent to it any more.
if made == 1 and string.find(flags, 'e', 1, true) then redis.call('SET', fence .. consumer, '1', 'PX', 86400000) end
local fenced = redis.call('EXISTS', fence .. consumer) == 1
again = again and not fenced

-- Whether a message is lent to the consumer.
local function lent(id)
  return redis.call('XPENDING', stream, group, id, id, 1, consumer)[1] ~= nil
end

-- Where in a sorted list of ids those begin that are not below one.
local function firstFrom(least, ids)
  local from, to = 1, #ids + 1
  while from < to do
    local middle = math.floor((from + to) / 2)
    if atMost(least, ids[middle]) then to = middle else from = middle + 1 end
  end
  return from
end

-- Those of a sorted list of ids that a group has not out.
local function notPending(name, ids)
  local rows = redis.call('XPENDING', stream, name, ids[1], ids[#ids], #ids)
  local pending = {}
  for _, row in ipairs(rows) do pending[row[1]] = true end
  -- It has more out than that, between them: then the rest is asked for one by one.
  local last = #rows == #ids and rows[#rows][1]
  local others = {}
  for _, id in ipairs(ids) do
    local isPending = pending[id] or last and not atMost(id, last) and redis.call('XPENDING', stream, name, id, id, 1)[1] ~= nil
    if not isPending then others[#others + 1] = id end
  end
  return others
end

-- Those of a sorted list of ids, from a place in it on, that every other group is done with.
local function doneWith(all, from, groups, leastPending)
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

-- Whether there are messages for one group alone. Where there are none, they cost nothing more than this question.
local anyAddressed = redis.call('ZCARD', addressed) > 0

-- Whether a message is for another group alone.
local function isForAnother(id)
  if not anyAddressed then return false end
  local least = member(id)
  local entry = redis.call('ZRANGE', addressed, '[' .. least, '[' .. least .. '\\255', 'BYLEX', 'LIMIT', 0, 1)[1]
  return entry and string.sub(entry, 38) ~= group
end

-- Takes those that are for this group alone from the list of such messages, and from the groups that have read them. Returns them, and the others.
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

-- Removes what this group is done with, as a sorted list; from the stream too, once that is true of every group. Returns how many of them it was not done with before.
local function finish(ids)
  if #ids == 0 then return 0 end
  local removed = redis.call('XACK', stream, group, unpack(ids))
  if removed == 0 then return 0 end
  local groups = redis.call('XINFO', 'GROUPS', stream)
  local count, own = #ids, {}
  if anyAddressed then own, ids = takeOwn(ids, groups) end
  -- Nearly always these are the oldest there are. To trim is several times as fast as to delete.
  local leastPending = {}
  local least = leastUnsettled(stream, groups, leastPending)
  local trimmed = redis.call('XTRIM', stream, 'MINID', least)
  if #own > 0 and atMost(least, own[#own]) then removeAddressed(stream, own, groups) end
  if anyAddressed then
    -- What was trimmed and still is in the list was for a group that is gone.
    local gone = redis.call('ZRANGE', addressed, '-', '(' .. member(least), 'BYLEX', 'LIMIT', 0, 1000)
    if #gone > 0 then redis.call('ZREM', addressed, unpack(gone)) end
  end
  local waiting = redis.call('LLEN', settled)
  if trimmed < count or waiting > 0 then
    local gone = doneWith(ids, firstFrom(least, ids), groups, leastPending)
    -- Where many consumers share a queue, what is before them will be settled soon, and they are trimmed with it.
    if #gone >= ${MANY} then
      redis.call('RPUSH', settled, table.concat(gone, ','))
    elseif #gone > 0 then
      redis.call('XDEL', stream, unpack(gone))
    end
    removeSettled(stream, settled, ${MOST_BATCHES}, least)
  end
  return removed
end

-- Whether the group has something to deliver again that it had not before.
local cameBack = false

-- What somebody else has deleted from the stream.
local deleted = {}

local function giveBack(id, deliveries, delay)
  if isForAnother(id) then
    redis.call('XACK', stream, group, id)
    return
  end
  local kept = redis.call('XCLAIM', stream, group, PARKED, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
  -- A server before version 7, which tells scripts no version, also claims what is not in the stream any more.
  if #kept == 0 or not (redis.REDIS_VERSION or redis.call('XRANGE', stream, id, id)[1]) then
    redis.call('XACK', stream, group, id)
    deleted[#deleted + 1] = id
  elseif delay > 0 then
    redis.call('ZADD', later, now + delay, member(id))
  else
    redis.call('ZADD', returned, 0, member(id))
    cameBack = true
  end
end

-- Where a key is of another type, nothing is to be done of what is answered with that error.
for _, key in ipairs({ returned, delayed }) do redis.call('ZCARD', key) end
redis.call('LLEN', settled)
local earliestLater = redis.call('ZRANGE', later, 0, 0)[1]
if #heard > 0 then redis.call('XACK', bell, group, unpack(heard)) end
for i = 1, #foreign, 2 do
  local id = foreign[i]
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if row and (row[2] == consumer or row[2] == PARKED) then
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then redis.call('HSET', aside, id, cjson.encode({ reason = foreign[i + 1], fields = entry[2] })) end
    redis.call('ZREM', returned, member(id))
    finish({ id })
  end
end

-- Nearly always all that it acknowledges is lent to it: nothing is taken from a consumer but by fencing it off.
local counted = {}
if again or fenced then
  local mine = {}
  for i, id in ipairs(acked) do
    if lent(id) then
      mine[#mine + 1] = id
      counted[i] = '1'
    else
      -- Sent again, it may have counted before: then nobody has it.
      counted[i] = again and not redis.call('XPENDING', stream, group, id, id, 1)[1] and '1' or '0'
    end
  end
  finish(mine)
elseif #acked > 0 then
  -- None, where the database was flushed.
  counted[1] = string.rep(finish(acked) > 0 and '1' or '0', #acked)
end
for i = 1, #back, 3 do
  local id = back[i]
  local counts = lent(id)
  if counts then giveBack(id, back[i + 1], tonumber(back[i + 2])) end
  -- Sent again, what is not lent to the consumer any more is back already.
  counted[#counted + 1] = (counts or again) and '1' or '0'
end
local fallsDueEarlier = redis.call('ZRANGE', later, 0, 0)[1] ~= earliestLater

local function sizeOf(entry)
  local size = 0
  for _, text in ipairs(entry[2]) do size = size + #text end
  return size
end

local lost
if string.find(flags, 'k', 1, true) then
  lost = { 0, 0, '' }
  local known = {}
  for i = at, #ARGV do known[ARGV[i]] = true end
  local from = '-'
  repeat
    local rows = redis.call('XPENDING', stream, group, from, '+', 1000, consumer)
    for _, row in ipairs(rows) do
      if not known[row[1]] then
        local entry = redis.call('XRANGE', stream, row[1], row[1])[1]
        if entry then lost = { lost[1] + 1, lost[2] + sizeOf(entry), row[1] } end
        giveBack(row[1], row[4] - 1, 0)
      end
      from = '(' .. row[1]
    end
  until #rows < 1000
end

local wait = -1
local function notLaterThan(ms)
  if wait < 0 or ms < wait then wait = math.max(0, math.ceil(ms)) end
end

if consumers then
  removeSettled(stream, settled, 0)
  -- To read tells this server alone that the consumer lives. To claim a message that it has is a write: replicas and the append-only file get it, too. (To claim
  -- one that somebody else has deleted from the stream would take it from the consumer.)
  local held = redis.call('XPENDING', stream, group, '-', '+', 1, consumer)[1]
  if held and redis.call('XRANGE', stream, held[1], held[1])[1] then
    redis.call('XCLAIM', stream, group, consumer, 0, held[1], 'IDLE', held[3], 'RETRYCOUNT', held[4], 'JUSTID')
  end
  -- After a long silence it cannot know whether the server stood still, and refused the others, too.
  local wasSilent
  for _, info in ipairs(consumers) do
    if field(info, 'name') == consumer then wasSilent = field(info, 'idle') > lease * 2 / 3 end
  end
  for _, info in ipairs(consumers) do
    local name, pending, idle = field(info, 'name'), field(info, 'pending'), field(info, 'idle')
    if name ~= consumer and name ~= PARKED then
      -- A consumer says with its name how long it may be silent: after it there is a tilde and the milliseconds.
      local left = (tonumber(string.match(name, '~(%d+)$')) or lease) - math.min(idle, steady)
      -- By the next look, those that live have renewed their leases.
      if left <= 0 and pending > 0 and wasSilent then left = lease / 3 end
      if left <= 0 then
        -- It may live after all: from now on what it says is looked at twice.
        if pending > 0 then redis.call('SET', fence .. name, '1', 'PX', 86400000) end
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

repeat
  local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, 1000)
  for _, id in ipairs(due) do
    redis.call('ZREM', later, id)
    redis.call('ZADD', returned, 0, id)
    cameBack = true
  end
until #due < 1000
enterDue(delayed, addressed, stream, now)

local redelivered, fresh = {}, {}
local read, isFull = 0, false

-- Whether one more entry is within the bytes to read. The first one is, however large.
local function fits(entry)
  local sum = read + sizeOf(entry)
  isFull = read > 0 and sum > bytes
  if not isFull then read = sum end
  return not isFull
end

while #redelivered < want and not isFull do
  local popped = redis.call('ZPOPMIN', returned, bytes > 0 and 1 or want - #redelivered)
  if #popped == 0 then break end
  for i = 1, #popped, 2 do
    local id = idOf(popped[i])
    local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
    if row and row[2] == PARKED then
      local ahead = bytes > 0 and redis.call('XRANGE', stream, id, id)[1]
      local entry = not (ahead and not fits(ahead)) and redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
      if isFull then
        redis.call('ZADD', returned, 0, popped[i])
      elseif entry then
        redelivered[#redelivered + 1] = { id, entry[2], row[4] + 1 }
      else
        redis.call('XACK', stream, group, id)
        deleted[#deleted + 1] = id
      end
    end
  end
end
if bytes > 0 and #redelivered < want and not isFull then
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
  local news = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', want - #redelivered, 'STREAMS', stream, '>')
  if news then fresh = news[1][2] end
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
    redis.call('DEL', fence .. consumer)
  end
end

-- Somebody who waits has to hear of what this one will not see to.
local stays = #redelivered + #fresh < want and not isFull
local passesOn = cameBack or leaves or string.find(flags, 'w', 1, true) or #heard > 0
local waiting = redis.call('ZCARD', returned) > 0
if not stays and (fallsDueEarlier or (passesOn and (waiting or wait >= 0))) then redis.pcall('XADD', bell, 'MAXLEN', 1, '*', 'due', '1') end
-- To get it the consumer has to ask again: what it reads by itself is new.
if waiting then wait = 0 end

return { table.concat(counted), redelivered, fresh, wait, deleted, isFull and 1 or 0, lost }
`;
