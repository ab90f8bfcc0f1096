-- Deletes a group with its keys. Entries that only this group had not settled stay in the stream
-- until purge.lua removes them.
--
-- KEYS  1 stream  2 wakeStream  3 delayed  4 requeued  5 retries
--       6 fence: prefix of the keys of fenced consumers  7 addressed
-- ARGV  1 group
-- Returns 1, or 0 if there was no such group.
-- include: lib/ids.lua
-- include: lib/groups.lua
-- include: lib/delayed.lua
local stream, wakeStream, delayed, requeued, retries, fence, addressed = unpack(KEYS)
local group = ARGV[1]

local exists = false
for _, info in ipairs(groupsOf(stream)) do exists = exists or field(info, 'name') == group end
if not exists then return 0 end

for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do redis.call('DEL', fence .. field(info, 'name')) end
redis.call('XGROUP', 'DESTROY', stream, group)
redis.pcall('XGROUP', 'DESTROY', wakeStream, group)
redis.call('DEL', requeued, retries)

local anyDelayed = false
for _, entry in ipairs(redis.call('ZRANGE', addressed, '[d', '+', 'BYLEX')) do
  if string.sub(entry, 38) == group then
    redis.call('ZREM', addressed, entry)
    anyDelayed = true
  end
end
if anyDelayed then
  for _, delayedMember in ipairs(redis.call('ZRANGE', delayed, 0, -1)) do
    if groupOf(delayedFields(delayedMember)) == group then redis.call('ZREM', delayed, delayedMember) end
  end
end
return 1
