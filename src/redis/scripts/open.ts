import { FIELD, IDS, LEAST_UNSETTLED, REMOVE_SETTLED } from './common.js';

/**
 * Sees to it that the groups exist, from the beginning of the stream, and removes what every group is done with: what a group that is gone held.
 *
 * KEYS: stream, bell, settled. ARGV: the groups.
 */
export const OPEN: string = `${IDS}${FIELD}${LEAST_UNSETTLED}${REMOVE_SETTLED}
-- A server without memory refuses the first command of a script that may need some, and none after one that does not: who settles has to get in.
redis.pcall('XACK', KEYS[1], ARGV[1], '0-0')
-- A group that is new gets what is in the stream.
removeSettled(KEYS[1], KEYS[3], 0)
for _, group in ipairs(ARGV) do
  for _, key in ipairs({ KEYS[1], KEYS[2] }) do
    local made = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
  end
end

local least = leastUnsettled(KEYS[1], redis.call('XINFO', 'GROUPS', KEYS[1]), {})
if least then redis.call('XTRIM', KEYS[1], 'MINID', least) end
return 'OK'
`;
