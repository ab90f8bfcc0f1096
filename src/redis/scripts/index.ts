import deleteGroup from './delete-group.lua';
import exchange from './exchange.lua';
import open from './open.lua';
import peek from './peek.lua';
import publish from './publish.lua';
import purge from './purge.lua';
import purgeDelayed from './purge-delayed.lua';
import { Script } from './script.js';
import stats from './stats.lua';

export type { Script } from './script.js';

export const deleteGroupScript: Script = new Script(deleteGroup);
export const exchangeScript: Script = new Script(exchange);
export const openScript: Script = new Script(open);
export const peekScript: Script = new Script(peek);
export const publishScript: Script = new Script(publish);
export const purgeScript: Script = new Script(purge);
export const purgeDelayedScript: Script = new Script(purgeDelayed);
export const statsScript: Script = new Script(stats);
