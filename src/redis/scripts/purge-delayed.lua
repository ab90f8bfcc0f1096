-- Removes delayed messages of some groups, one page at a time. Begins with the last ones: those that
-- become due between two pages leave at the other end, so that no message is skipped.
--
-- KEYS  1 stream  2 delayed  3 addressed
-- ARGV  1 offset: how many of the last delayed messages to skip
--       then the groups
-- Returns how many messages it removed, and the next offset; -1 at the end.
-- include: lib/ids.lua
-- include: lib/groups.lua
-- include: lib/delayed.lua
local PAGE = 1000

local stream, delayed, addressed = unpack(KEYS)
local offset = tonumber(ARGV[1])
local isPurged = {}
for i = 2, #ARGV do isPurged[ARGV[i]] = true end
local others = {}
for _, info in ipairs(groupsOf(stream)) do
  if not isPurged[field(info, 'name')] then others[#others + 1] = field(info, 'name') end
end

local rows = redis.call('ZRANGE', delayed, -offset - PAGE, -offset - 1, 'WITHSCORES')
local count = 0
for i = 1, #rows, 2 do
  local delayedMember, due = rows[i], rows[i + 1]
  local fields = delayedFields(delayedMember)
  local only = groupOf(fields)
  if only and not isPurged[only] then
    offset = offset + 1
  else
    redis.call('ZREM', delayed, delayedMember)
    count = count + 1
    if only then
      redis.call('ZREM', addressed, addressedMember(delayedMember, only))
    else
      -- Each other group gets the message as one that is addressed to it.
      for _, name in ipairs(others) do
        fields[#fields + 1] = 'group'
        fields[#fields + 1] = name
        redis.call('ZADD', delayed, due, string.sub(delayedMember, 1, 36) .. cmsgpack.pack(fields))
        redis.call('ZADD', addressed, 0, addressedMember(delayedMember, name))
        fields[#fields] = nil
        fields[#fields] = nil
      end
    end
  end
end
return { count, #rows == 2 * PAGE and offset or -1 }
