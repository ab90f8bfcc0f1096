/**
 * All scenarios, in the order of the tables. One has a `title`, a `text`, the `unit` of its figure, the ids of its `contenders`, and its `goals`; `fewer` are
 * the contenders whose time grows with the square of the backlog: they get fewer messages. `run` returns the `seconds` that it took for a given number of
 * messages, and the figure as `value` if it is not millions of messages a second. `messages` is the most that it takes, where that is less than
 * `--messages`; scenarios with the same `table` share a table of figures.
 */
import { awaited, bounded } from './awaited.mjs';
import { backlog } from './backlog.mjs';
import { batches, bridge } from './bridge.mjs';
import { burst } from './burst.mjs';
import { deliveries } from './deliveries.mjs';
import { handle1, handle8, handle64, ordered } from './handle.mjs';
import { many } from './many.mjs';
import { memory } from './memory.mjs';

export const scenarios = { burst, awaited, bounded, many, bridge, batches, deliveries, backlog, memory, handle1, handle8, handle64, ordered };
