-- Messages that are delayed or addressed to one group. Needs ids.lua.
--
-- A member of `delayed` is 16 digits of the batch, 4 digits of the place in the batch, 16
-- characters of the publisher, then the fields as MessagePack. Its score is its due time.
-- A member of `addressed` has 37 characters, then the group. The 37 characters are the id of an
-- entry, or a 'd' and the first 36 characters of a delayed message.

-- Lists an entry of the stream as addressed to one group.
local function address(addressed, id, group)
  redis.call('ZADD', addressed, 0, member(id) .. group)
end

local function addressedMember(delayedMember, group)
  return 'd' .. string.sub(delayedMember, 1, 36) .. group
end

-- Reads the group that a message is addressed to. Nil for a message to all groups.
local function groupOf(fields)
  if fields[#fields - 1] == 'group' then return fields[#fields] end
end

local function delayedFields(delayedMember)
  return cmsgpack.unpack(string.sub(delayedMember, 37))
end

-- Moves due messages into the stream: at most 1,000, so that other clients do not wait long.
-- Returns whether there are more.
local function enterDue(delayed, addressed, stream, now)
  local all = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 1000)
  for _, due in ipairs(all) do
    local fields = delayedFields(due)
    local stored = redis.pcall('XADD', stream, '*', unpack(fields))
    -- Without memory for it, the message stays where it is.
    if stored.err then return true end
    redis.call('ZREM', delayed, due)
    local group = groupOf(fields)
    if group then
      redis.call('ZREM', addressed, addressedMember(due, group))
      address(addressed, stored, group)
    end
  end
  return #all == 1000
end
