-- Creates missing groups at the beginning of the stream, and removes entries that only a deleted
-- group had not settled.
--
-- KEYS  1 stream  2 wakeStream  3 settled  4 addressed
-- ARGV  1 '1': create no group if the queue has one already; else '0'
--       then the groups
-- Returns 'OK'.
-- include: lib/ids.lua
-- include: lib/groups.lua
-- include: lib/trim.lua
local stream, wakeStream, settled, addressed = unpack(KEYS)
-- A server without memory refuses a script whose first command may need memory. Consumers must get
-- in, because their settlements free memory, so the first command is one that needs none.
redis.pcall('XACK', stream, ARGV[2], '0-0')
-- A new group must not get messages that are settled.
removeSettled(stream, settled, 0)
local existing = groupsOf(stream)
local exists = {}
for _, info in ipairs(existing) do exists[field(info, 'name')] = true end
for i = 2, #ARGV do
  local group = ARGV[i]
  if ARGV[1] == '0' or #existing == 0 or exists[group] then
    exists[group] = true
    for _, key in ipairs({ stream, wakeStream }) do
      local made = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
      if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
    end
  end
end

local groups = groupsOf(stream)
if redis.call('ZCARD', addressed) > 0 then
  -- Messages that are addressed to a deleted group.
  local from = '-'
  repeat
    local entries = redis.call('ZRANGE', addressed, from, '(d', 'BYLEX', 'LIMIT', 0, 1000)
    local ids, members = {}, {}
    for _, entry in ipairs(entries) do
      from = '(' .. entry
      if not exists[string.sub(entry, 38)] then
        members[#members + 1] = entry
        ids[#ids + 1] = idOf(string.sub(entry, 1, 37))
      end
    end
    if #ids > 0 then
      redis.call('ZREM', addressed, unpack(members))
      for name in pairs(exists) do redis.call('XACK', stream, name, unpack(ids)) end
      deleteEntries(stream, ids, groups)
    end
  until #entries < 1000
end

local least = leastUnsettled(stream, groups, {})
if least then redis.call('XTRIM', stream, 'MINID', least) end
return 'OK'
