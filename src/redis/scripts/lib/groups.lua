-- The consumer that owns a pending message while the message waits for its redelivery. No process
-- reads by this name. The same as `PARKED` in keys.ts.
local PARKED = 'sluice:parked'

-- Reads one field of a reply that lists names and values by turns.
local function field(row, name)
  for i = 1, #row, 2 do
    if row[i] == name then return row[i + 1] end
  end
end

-- Lists the groups of a stream, which may not exist.
local function groupsOf(stream)
  return redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream) or {}
end
