/**
 * All scenarios, in the order of the tables. One has a `title`, a `text`, the `unit` of its figure,
 * the ids of its `contenders`, and its `goals`; `fewer` are the contenders whose time grows with
 * the square of the backlog: they get fewer messages. `run` returns the `seconds` that it took for
 * a given number of messages, and the figure as `value` if it is not messages a second, in
 * millions, or in thousands where the unit is `k/s`. `messages` is the most that it takes, where
 * that is less than `--messages`, and `rounds` the most rounds; `warmUps` and `warmUpMessages` are
 * what comes before each run, where that is not the usual; `timeout` is how many seconds a run may
 * take, where that is more than `--timeout`. Scenarios with the same `table` share a table of
 * figures. The scenarios of an engine are in its own folder. Each gets the `url` of the server and
 * a function `empty(url)`. They run one after the other, while the server runs, and are skipped if
 * the server is not installed.
 */
import { benches } from '../lib/engines.mjs';
import { awaited, bounded } from './awaited.mjs';
import { backlog } from './backlog.mjs';
import { batches, bridge } from './bridge.mjs';
import { burst } from './burst.mjs';
import { deliveries } from './deliveries.mjs';
import { handle1, handle8, handle64, ordered } from './handle.mjs';
import { many } from './many.mjs';
import { memory } from './memory.mjs';

/** The scenarios of an engine need its server and share a table. */
const scenariosOf = ([server, bench]) =>
  Object.fromEntries(
    Object.entries(bench.scenarios).map(([id, scenario]) => [id, { ...scenario, table: server, server }]),
  );

export const scenarios = {
  burst,
  awaited,
  bounded,
  many,
  bridge,
  batches,
  deliveries,
  backlog,
  memory,
  handle1,
  handle8,
  handle64,
  ordered,
  ...Object.assign({}, ...Object.entries(benches).map(scenariosOf)),
};
