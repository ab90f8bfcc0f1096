-- Removes entries from the stream. Needs ids.lua and groups.lua.

-- Finds the least id that a group has not settled: the stream is not needed below it. Nil without a
-- group. Notes the least pending id of each group in `leastPending`, by the name of the group.
local function leastUnsettled(stream, groups, leastPending)
  local least
  for _, info in ipairs(groups) do
    local pending = field(info, 'pending') > 0 and redis.call('XPENDING', stream, field(info, 'name'), '-', '+', 1)[1]
    local first
    if pending then
      first = pending[1]
      leastPending[field(info, 'name')] = first
    else
      -- The id after the last read one. Above 2^53, Lua numbers are inexact, and the entry stays.
      local ms, seq = string.match(field(info, 'last-delivered-id'), '^(%d+)-(%d+)$')
      first = tonumber(seq) < 9007199254740991 and string.format('%s-%.0f', ms, tonumber(seq) + 1) or ms .. '-' .. seq
    end
    if not least or atMost(first, least) then least = first end
  end
  return least
end

-- Deletes entries, as an ascending list. No group has them in flight, but some groups may not have
-- read entries that are addressed to another group.
local function deleteEntries(stream, ids, groups)
  for _, info in ipairs(groups) do
    local read = field(info, 'last-delivered-id')
    -- If an unread entry of a group is deleted, the server's lag stays too high. Setting the
    -- position again makes the server count again when it can. A user without this permission gets
    -- a wrong count, not an error.
    if field(info, 'entries-read') and not atMost(ids[#ids], read) then redis.pcall('XGROUP', 'SETID', stream, field(info, 'name'), read) end
  end
  redis.call('XDEL', stream, unpack(ids))
end

-- Removes entries that were settled out of order. They wait in batches, as lists of ids separated
-- by commas, until XTRIM reaches them. Forgets the batches below `least` (optional), which are
-- trimmed already. Deletes the oldest others until at most `most` batches wait.
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
