import deleteGroup from './delete-group.lua';
import exchange from './exchange.lua';
import clock from './lib/clock.lua';
import delayed from './lib/delayed.lua';
import groups from './lib/groups.lua';
import ids from './lib/ids.lua';
import trim from './lib/trim.lua';
import open from './open.lua';
import peek from './peek.lua';
import publish from './publish.lua';
import purge from './purge.lua';
import purgeDelayed from './purge-delayed.lua';
import { Script } from './script.js';
import stats from './stats.lua';

export type { Script } from './script.js';

/** What a line `-- include: FILE` stands for. */
const INCLUDES: Readonly<Record<string, string>> = {
  'lib/clock.lua': clock,
  'lib/delayed.lua': delayed,
  'lib/groups.lua': groups,
  'lib/ids.lua': ids,
  'lib/trim.lua': trim,
};

function script(text: string): Script {
  return new Script(text.replace(/^-- include: (\S+)$/gm, (_, file: string) => String(INCLUDES[file]).trimEnd()));
}

export const deleteGroupScript: Script = script(deleteGroup);
export const exchangeScript: Script = script(exchange);
export const openScript: Script = script(open);
export const peekScript: Script = script(peek);
export const publishScript: Script = script(publish);
export const purgeScript: Script = script(purge);
export const purgeDelayedScript: Script = script(purgeDelayed);
export const statsScript: Script = script(stats);
