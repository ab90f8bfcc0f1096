import { benches } from '../lib/engines.mjs';

/**
 * The names and the roles of the contenders. A process loads only the module of its own contender.
 *
 * A module exports what its scenarios use:
 *
 * - `open({ capacity })` returns a queue;
 * - `bridge(source)` and `bridgeBatches(source)` turn an Observable into an async iterable;
 * - `handleAll(handler, { messages, concurrency })` sends messages through a handler, and resolves
 *   when all handlers have ended.
 *
 * The `floor` is the limit with the least that every queue of this library owes.
 * A `batches` contender passes arrays where the others pass values, so it is shown, but is no peer.
 *
 * The contenders of an engine are in its own folder, and export two functions:
 *
 * - `publisher(url)` returns `publish(payload)`, which resolves when the server has confirmed the
 *   message, `unfinished()` and `close()`;
 * - `consumer(url)` returns `start(take, acked)` and `close()`. It calls `take` with the number of
 *   each message, and `acked` with the number of acks that the server has confirmed since. With a
 *   `flush()`, which resolves when the server has confirmed all acks, it counts the sent ones.
 */
export const contenders = {
  sluice: { name: 'sluice', role: 'own' },
  'sluice-iterated': { name: 'sluice, iterated', role: 'own' },
  'sluice-unordered': { name: 'sluice, in no order', role: 'own' },
  'sluice-bare': { name: 'sluice, no interceptor', role: 'own' },
  'sluice-by-hand': { name: 'sluice, traced by hand', role: 'own' },
  limit: { name: 'ring buffer by hand', role: 'limit' },
  checked: { name: 'ring buffer, checked', role: 'floor' },
  pool: { name: 'workers by hand', role: 'limit' },
  'rxjs-for-await': { name: 'rxjs-for-await', role: 'peer', version: 'rxjs-for-await' },
  ix: { name: 'ix', role: 'peer', version: 'ix' },
  queueable: { name: 'queueable', role: 'peer', version: 'queueable' },
  'it-pushable': { name: 'it-pushable', role: 'peer', version: 'it-pushable' },
  'event-iterator': { name: 'event-iterator', role: 'peer', version: 'event-iterator' },
  'events-on': { name: 'events.on', role: 'peer' },
  'pass-through': { name: 'PassThrough', role: 'peer' },
  effect: { name: 'effect Queue.take', role: 'peer', version: 'effect' },
  'effect-take-all': { name: 'effect Queue.takeAll', role: 'batches', version: 'effect' },
  'fastq-promise': { name: 'fastq.promise', role: 'peer', version: 'fastq' },
  fastq: { name: 'fastq, callbacks', role: 'peer', version: 'fastq' },
  'p-queue': { name: 'p-queue', role: 'peer', version: 'p-queue' },
  async: { name: 'async.queue', role: 'peer', version: 'async' },
  'rxjs-merge-map': { name: 'RxJS mergeMap', role: 'peer', version: 'rxjs' },
  'effect-for-each': { name: 'Effect.forEach', role: 'peer', version: 'effect' },
  ...Object.assign({}, ...Object.values(benches).map((bench) => bench.contenders)),
};
