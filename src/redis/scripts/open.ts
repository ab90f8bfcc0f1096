import { COMMON } from './common.js';

/**
 * Sees to it that the groups exist, from the beginning of the stream, and removes what every group is done with: what a group that is gone held.
 *
 * KEYS: stream, bell. ARGV: the groups.
 */
export const OPEN: string = `${COMMON}
for _, group in ipairs(ARGV) do
  for _, key in ipairs(KEYS) do
    local made = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
  end
end

-- Everything below the least id that some group has not settled.
local least
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local pending = redis.call('XPENDING', KEYS[1], field(info, 'name'))
  local first = pending[2]
  if not first then
    local ms, seq = string.match(field(info, 'last-delivered-id'), '^(%d+)-(%d+)$')
    -- The next id. Beyond 2^53 a number of Lua is not exact: then the last one stays, which is no harm.
    first = tonumber(seq) < 9007199254740991 and string.format('%s-%.0f', ms, tonumber(seq) + 1) or ms .. '-' .. seq
  end
  if not least or atMost(first, least) then least = first end
end
if least then redis.call('XTRIM', KEYS[1], 'MINID', least) end
return 'OK'
`;
