-- Converts a stream id to a member of a sorted set. Ids are padded, so that members with equal
-- scores are in the order of the stream.
local function member(id)
  local dash = string.find(id, '-', 1, true)
  return string.rep('0', 17 - dash) .. string.sub(id, 1, dash) .. string.rep('0', 20 - (#id - dash)) .. string.sub(id, dash + 1)
end

local function idOf(member)
  local ms, seq = string.match(member, '^0*(%d+)-0*(%d+)$')
  return ms .. '-' .. seq
end

-- Whether the id a is at most the id b.
local function atMost(a, b)
  return member(a) <= member(b)
end
