-- Removes waiting messages of some groups from a range of the stream, and entries that no group
-- needs. Handles one page of entries at a time, so that other clients do not wait long.
--
-- KEYS  1 stream  2 addressed
-- ARGV  1 prefix of the keys of a group, before 'returned:' and 'later:'
--       2 first id of the range, as XRANGE takes it
--       3 last id of the range
--       then the groups; none: only the entries that no group needs
-- Returns how many messages it removed, and the next first id; '' at the end of the range.
-- include: lib/ids.lua
-- include: lib/groups.lua
-- include: lib/trim.lua
-- include: lib/delayed.lua
local PAGE = 1000

local stream, addressed = unpack(KEYS)
local prefix = ARGV[1]
local page = redis.call('XRANGE', stream, ARGV[2], ARGV[3], 'COUNT', PAGE)
local groups = groupsOf(stream)
-- Without a group, the first group would get every message.
if #page == 0 or #groups == 0 then return { 0, '' } end
local first, last = page[1][1], page[#page][1]
local isPurged = {}
for i = 4, #ARGV do isPurged[ARGV[i]] = true end
local onlyFor = {}
for _, entry in ipairs(page) do onlyFor[entry[1]] = groupOf(entry[2]) end

local removed, isNeeded = {}, {}
for _, info in ipairs(groups) do
  local name, pending, read = field(info, 'name'), field(info, 'pending'), field(info, 'last-delivered-id')
  local rows = pending > 0 and redis.call('XPENDING', stream, name, first, last, pending) or {}
  for _, row in ipairs(rows) do
    local id = row[1]
    if onlyFor[id] and onlyFor[id] ~= name then
      redis.call('XACK', stream, name, id)
    elseif isPurged[name] and row[2] == PARKED then
      redis.call('XACK', stream, name, id)
      redis.call('ZREM', prefix .. 'returned:' .. name, member(id))
      redis.call('ZREM', prefix .. 'later:' .. name, member(id))
      removed[id] = true
    else
      isNeeded[id] = true
    end
  end
  for i = #page, 1, -1 do
    local id = page[i][1]
    if atMost(id, read) then break end
    if not onlyFor[id] or onlyFor[id] == name then
      local list = isPurged[name] and removed or isNeeded
      list[id] = true
    end
  end
  if isPurged[name] and not atMost(last, read) then redis.call('XGROUP', 'SETID', stream, name, last) end
end

local count, unneeded = 0, {}
for _, entry in ipairs(page) do
  local id = entry[1]
  if removed[id] then count = count + 1 end
  if not isNeeded[id] then
    unneeded[#unneeded + 1] = id
    if onlyFor[id] then redis.call('ZREM', addressed, member(id) .. onlyFor[id]) end
  end
end
if #unneeded > 0 then deleteEntries(stream, unneeded, groupsOf(stream)) end
return { count, #page == PAGE and '(' .. last or '' }
