-- Reads the server's clock, in ms since the epoch.
local function readClock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
