/** Whom a message belongs to while it waits to be delivered again. It is no consumer: nobody reads by this name. */
export const PARKED = 'sluice:parked';

// Pieces of Lua. A script takes those that it needs, since each call of it makes all the functions that are written in it.

/** `now`: the time of the server, in milliseconds since the epoch. */
export const NOW: string = `
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
`;

/** `member`: an id of the stream in a sorted set. */
export const MEMBER: string = `
-- An id of the stream as a member of a sorted set in which all have the same score: padded, the order of text is the order of ids.
local function member(id)
  local dash = string.find(id, '-', 1, true)
  return string.rep('0', 17 - dash) .. string.sub(id, 1, dash) .. string.rep('0', 20 - (#id - dash)) .. string.sub(id, dash + 1)
end
`;

/** `member`, `idOf`, `atMost`: ids of the stream, and their order. */
export const IDS: string = `${MEMBER}
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

/**
 * `address`, `addressAfterDelay` and `enterAddressed` list messages for one group alone; `groupOf` reads the group from the list.
 * The list has the id of a message, or a letter and what tells a delayed message from others: 37 characters either way, then the group. Takes `MEMBER`.
 */
export const ADDRESS: string = `
local function address(addressed, id, group)
  redis.call('ZADD', addressed, 0, member(id) .. group)
end

local function addressAfterDelay(addressed, delayedMember, group)
  redis.call('ZADD', addressed, 0, 'd' .. string.sub(delayedMember, 1, 36) .. group)
end

local function enterAddressed(addressed, delayedMember, id, group)
  redis.call('ZREM', addressed, 'd' .. string.sub(delayedMember, 1, 36) .. group)
  address(addressed, id, group)
end

local function groupOf(fields)
  if fields[#fields - 1] == 'group' then return fields[#fields] end
end
`;

/** `removeAddressed`: messages for one group alone, from the stream. Takes `IDS` and `FIELD`. */
export const REMOVE_ADDRESSED: string = `
-- Deletes messages, as a sorted list, though some groups may not have read them. No group has them out.
local function removeAddressed(stream, ids, groups)
  for _, info in ipairs(groups) do
    local read = field(info, 'last-delivered-id')
    -- From a deletion that a group has not read yet, the server would count a message too many for ever. A position that is set anew has no count, and the server
    -- counts again when it can. A user without the right to set it gets a wrong count, not an error.
    if field(info, 'entries-read') and not atMost(ids[#ids], read) then redis.pcall('XGROUP', 'SETID', stream, field(info, 'name'), read) end
  end
  redis.call('XDEL', stream, unpack(ids))
end
`;

/** `enterDue`: from the delayed into the stream. Takes `ADDRESS`. */
export const ENTER_DUE: string = `
-- Puts the delayed messages whose time has come into the stream, some at a time, so that nobody waits long. Returns whether there are more.
local function enterDue(delayed, addressed, stream, now)
  local all = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 1000)
  for _, due in ipairs(all) do
    -- 16 digits of the batch, 4 of the place in it, 16 characters of the publisher.
    local fields = cmsgpack.unpack(string.sub(due, 37))
    local stored = redis.pcall('XADD', stream, '*', unpack(fields))
    -- Out of memory: it stays where it is.
    if stored.err then return true end
    redis.call('ZREM', delayed, due)
    local group = groupOf(fields)
    if group then enterAddressed(addressed, due, stored, group) end
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
