/**
 * The scenarios, in the order of the tables. A scenario has:
 *
 * - `title`, `text`, the `unit` of its figure, the ids of its `contenders`, and its `goals`;
 * - `fewer`: the contenders whose time grows with the square of the backlog. They receive fewer
 *   messages;
 * - `run`: resolves to the `seconds` for a number of messages, and to `value`, the figure. Default:
 *   messages a second, in millions, or in thousands with the unit `k/s`;
 * - `messages` and `rounds`: their default, if it differs from the usual one. The options of the
 *   command can only lower it;
 * - `details`: the heads of the columns of further figures, by their names in the `details` that
 *   `run` resolves to;
 * - `warmUps` and `warmUpMessages`: the runs before each run, if they differ from the default;
 * - `timeout`: the maximum of a run in seconds, if it is more than `--timeout`;
 * - `section`: the part of docs/benchmarks.md, and of results.json. Default: the one without a name;
 * - `table`: scenarios with the same table share a table of figures.
 *
 * The scenarios of an engine are in its own folder. Each receives the `url` of the server and a
 * function `empty(url)`. They run one after another and are skipped if the server is not installed.
 */
import { benches } from '../lib/engines.mjs';
import { awaited, bounded } from './awaited.mjs';
import { backlog } from './backlog.mjs';
import { batches, bridge } from './bridge.mjs';
import { bundleHandle, bundleMemory } from './bundle.mjs';
import { burst } from './burst.mjs';
import { crowded } from './crowded.mjs';
import { deliveries } from './deliveries.mjs';
import { handle1, handle8, handle64, ordered } from './handle.mjs';
import { passedConsume, passedHandle, traced, validated } from './intercepted.mjs';
import { latency50, latency99 } from './latency.mjs';
import { many } from './many.mjs';
import { memory } from './memory.mjs';
import { soak } from './soak.mjs';
import { waiting } from './waiting.mjs';

/** The scenarios of an engine need its server and share a table. */
const scenariosOf = ([server, bench]) =>
  Object.fromEntries(
    Object.entries(bench.scenarios).map(([id, scenario]) => [id, { ...scenario, table: server, server }]),
  );

export const scenarios = {
  burst,
  awaited,
  bounded,
  crowded,
  many,
  bridge,
  batches,
  deliveries,
  backlog,
  memory,
  waiting,
  latency50,
  latency99,
  handle1,
  handle8,
  handle64,
  ordered,
  bundleMemory,
  bundleHandle,
  passedConsume,
  passedHandle,
  traced,
  validated,
  soak,
  ...Object.assign({}, ...Object.entries(benches).map(scenariosOf)),
};
