/** Whom a message belongs to while it waits to be delivered again. It is no consumer: nobody reads by this name. */
export const PARKED = 'sluice:parked';

// Pieces of Lua. A script takes those that it needs, since each call of it makes all the functions that are written in it.

/** `now`: the time of the server, in milliseconds since the epoch. */
export const NOW: string = `
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
`;

/** `member`, `idOf`, `atMost`: ids of the stream, and their order. */
export const IDS: string = `
-- An id of the stream as a member of a sorted set in which all have the same score: padded, the order of text is the order of ids.
local function member(id)
  local dash = string.find(id, '-', 1, true)
  return string.rep('0', 17 - dash) .. string.sub(id, 1, dash) .. string.rep('0', 20 - (#id - dash)) .. string.sub(id, dash + 1)
end

local function idOf(member)
  local ms, seq = string.match(member, '^0*(%d+)-0*(%d+)$')
  return ms .. '-' .. seq
end

-- Whether id a is at most id b.
local function atMost(a, b)
  return member(a) <= member(b)
end
`;

/** `field`: what a reply that lists names and values says by a name. */
export const FIELD: string = `
local function field(row, name)
  for i = 1, #row, 2 do
    if row[i] == name then return row[i + 1] end
  end
end
`;

/** `leastUnsettled`: from where on the stream is needed. Takes `IDS` and `FIELD`. */
export const LEAST_UNSETTLED: string = `
-- The least id that some group has not settled: everything below it is done with. Nil where there is no group. Notes that of each group that has some out, by its name.
local function leastUnsettled(stream, groups, leastPending)
  local least
  for _, info in ipairs(groups) do
    local pending = field(info, 'pending') > 0 and redis.call('XPENDING', stream, field(info, 'name'), '-', '+', 1)[1]
    local first
    if pending then
      first = pending[1]
      leastPending[field(info, 'name')] = first
    else
      -- The id behind the last one that was read. Beyond 2^53 a number of Lua is not exact: then that one stays for now, which is no harm.
      local ms, seq = string.match(field(info, 'last-delivered-id'), '^(%d+)-(%d+)$')
      first = tonumber(seq) < 9007199254740991 and string.format('%s-%.0f', ms, tonumber(seq) + 1) or ms .. '-' .. seq
    end
    if not least or atMost(first, least) then least = first end
  end
  return least
end
`;

/** `enterDue`: from the delayed into the stream. */
export const ENTER_DUE: string = `
-- Puts the delayed messages whose time has come into the stream, some at a time, so that nobody waits long. Returns whether there are more.
local function enterDue(delayed, stream, now)
  local all = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 1000)
  for _, due in ipairs(all) do
    -- 16 digits of the batch, 4 of the place in it, 16 characters of the publisher.
    local stored = redis.pcall('XADD', stream, '*', unpack(cmsgpack.unpack(string.sub(due, 37))))
    -- Out of memory: it stays where it is.
    if stored.err then return true end
    redis.call('ZREM', delayed, due)
  end
  return #all == 1000
end
`;

/** `removeSettled`: from the stream, what was settled out of order. Takes `IDS`. */
export const REMOVE_SETTLED: string = `
-- What was settled out of order waits in batches, as lists of ids with commas between them, for the stream to be trimmed past it. Lets go of those that it was trimmed
-- past, up to the least id that is left, where that is given; of the others it deletes the oldest, until there are as many as may wait.
local function removeSettled(stream, settled, most, least)
  while true do
    local batch = redis.call('LINDEX', settled, 0)
    if not batch then return end
    local trimmed = least and not atMost(least, string.match(batch, '.*,(.*)'))
    if not trimmed and redis.call('LLEN', settled) <= most then return end
    redis.call('LPOP', settled)
    if not trimmed then
      local ids = {}
      for id in string.gmatch(batch, '[^,]+') do ids[#ids + 1] = id end
      redis.call('XDEL', stream, unpack(ids))
    end
  end
end
`;
