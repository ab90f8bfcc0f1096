import exchange from './exchange.lua';
import open from './open.lua';
import publish from './publish.lua';
import { Script } from './script.js';
import stats from './stats.lua';

export type { Script } from './script.js';

export const exchangeScript: Script = new Script(exchange);
export const openScript: Script = new Script(open);
export const publishScript: Script = new Script(publish);
export const statsScript: Script = new Script(stats);
