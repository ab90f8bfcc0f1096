import { EXCHANGE } from './exchange.js';
import { OPEN } from './open.js';
import { PUBLISH } from './publish.js';
import { Script } from './script.js';
import { STATS } from './stats.js';

export type { Script } from './script.js';

export const exchangeScript: Script = new Script(EXCHANGE);
export const openScript: Script = new Script(OPEN);
export const publishScript: Script = new Script(PUBLISH);
export const statsScript: Script = new Script(STATS);
