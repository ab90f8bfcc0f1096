import { ADDRESS, ENTER_DUE, FIELD, MEMBER } from './common.js';

/**
 * Stores a batch of messages, in order; a batch that was stored already is not stored again.
 *
 * KEYS: stream, delayed, bell, published, addressed. ARGV: the number of the batch, how long to remember it (ms), the name of the publisher (16 characters), the
 * groups to create where the database was flushed (JSON of a `GroupRule`), from when on delays count (ms since the epoch, by the server's clock; '' for now), the
 * groups of the messages that are for one alone (JSON: by their places in the batch, from 1 up; '' for none), then key, payload, headers ('' for none) and delay (ms) of each message. Returns: the server's time (ms), or 0 where nobody asked for it.
 */
export const PUBLISH: string = `${FIELD}${MEMBER}${ADDRESS}${ENTER_DUE}
local stream, delayed, bell, published, addressed = unpack(KEYS)
local number = ARGV[1]

local groupAt = ARGV[6] ~= '' and cjson.decode(ARGV[6])

-- After the database was flushed, other processes may have created groups that are not declared here. A message for a missing group would be lost.
if groupAt or redis.call('XLEN', stream) == 0 then
  local missing = {}
  local groups = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream) or {}
  local rule = cjson.decode(ARGV[4])
  if rule.declared or #groups == 0 then
    for _, group in ipairs(rule.groups) do missing[group] = true end
  end
  for _, group in pairs(groupAt or {}) do missing[group] = true end
  for _, info in ipairs(groups) do missing[field(info, 'name')] = nil end
  for group in pairs(missing) do redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM') end
end

-- What refuses a message refuses this too, so nothing is remembered that is not stored.
if redis.call('SET', published, number, 'PX', ARGV[2], 'GET') == number then return 0 end

local now, afterOthers, earliest
local function lookAtDelayed()
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  afterOthers = enterDue(delayed, addressed, stream, now)
  earliest = redis.call('ZRANGE', delayed, 0, 0)[1]
end
-- What has fallen due by now stands before what is published now, which has to wait where that is too much for one call.
if redis.call('EXISTS', delayed) == 1 then lookAtDelayed() end

local delays = false
for i = 7, #ARGV, 4 do
  local place = (i - 3) / 4
  local group = groupAt and groupAt[tostring(place)]
  local key, payload, headers, delay = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if delay == '0' and headers == '' and not group and not afterOthers then
    redis.call('XADD', stream, '*', 'key', key, 'payload', payload)
  else
    local fields = { 'key', key, 'payload', payload }
    if headers ~= '' then
      fields[5] = 'headers'
      fields[6] = headers
    end
    if delay == '0' and not afterOthers then
      if group then
        fields[#fields + 1] = 'group'
        fields[#fields + 1] = group
      end
      local id = redis.call('XADD', stream, '*', unpack(fields))
      if group then address(addressed, id, group) end
    else
      if not now then lookAtDelayed() end
      fields[#fields + 1] = 'publishedAt'
      fields[#fields + 1] = string.format('%.0f', now)
      if group then
        fields[#fields + 1] = 'group'
        fields[#fields + 1] = group
      end
      -- What falls due together goes in the order in which it was published: members of one score are in the order of their text.
      local delayedMember = string.format('%016d%04d', number, place) .. ARGV[3] .. cmsgpack.pack(fields)
      -- What has no delay, and has to wait for what fell due before it, is published now, whenever its batch follows another.
      local from = delay ~= '0' and tonumber(ARGV[5]) or now
      redis.call('ZADD', delayed, from + tonumber(delay), delayedMember)
      if group then addressAfterDelay(addressed, delayedMember, group) end
      delays = true
    end
  end
end
if delays and redis.call('ZRANGE', delayed, 0, 0)[1] ~= earliest then redis.pcall('XADD', bell, 'MAXLEN', 1, '*', 'due', '1') end
return now or 0
`;
