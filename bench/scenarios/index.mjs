/**
 * All scenarios, in the order of the tables. One has a `title`, a `text`, the `unit` of its figure, the ids of its `contenders`, and its `goals`;
 * `fewer` are the contenders whose time grows with the square of the backlog: they get fewer messages. `run` returns the `seconds` that it took for a
 * given number of messages, and the figure as `value` if it is not messages a second, in millions, or in thousands where the unit is `k/s`.
 * `messages` is the most that it takes, where that is less than `--messages`, and `rounds` the most rounds; `warmUps` and `warmUpMessages` are what
 * comes before each run, where that is not the usual; `timeout` is how many seconds a run may take, where that is more than `--timeout`. Scenarios
 * with the same `table` share a table of figures. A scenario with a `server` is given its `url` and a function `empty(url)`, and its contenders are in the folder of that
 * name; it is left out where there is no such server. Those of a server come one after the other: it runs as long as they do.
 */
import { awaited, bounded } from './awaited.mjs';
import { backlog } from './backlog.mjs';
import { batches, bridge } from './bridge.mjs';
import { burst } from './burst.mjs';
import { deliveries } from './deliveries.mjs';
import { handle1, handle8, handle64, ordered } from './handle.mjs';
import { many } from './many.mjs';
import { memory } from './memory.mjs';
import { natsConsume } from './nats/consume.mjs';
import { natsIdle } from './nats/idle.mjs';
import { natsPublish64 } from './nats/publish.mjs';
import { rabbitMqConsume } from './rabbitmq/consume.mjs';
import { rabbitMqPublish64 } from './rabbitmq/publish.mjs';
import { redisBacklog } from './redis/backlog.mjs';
import { redisConsume, redisConsume4 } from './redis/consume.mjs';
import { redisIdle } from './redis/idle.mjs';
import { redisPublish1, redisPublish64 } from './redis/publish.mjs';

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
  'redis-publish-1': redisPublish1,
  'redis-publish-64': redisPublish64,
  'redis-consume': redisConsume,
  'redis-consume-4': redisConsume4,
  'redis-backlog': redisBacklog,
  'redis-idle': redisIdle,
  'nats-publish-64': natsPublish64,
  'nats-consume': natsConsume,
  'nats-idle': natsIdle,
  'rabbitmq-publish-64': rabbitMqPublish64,
  'rabbitmq-consume': rabbitMqConsume,
};
