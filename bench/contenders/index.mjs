import { benches } from '../lib/engines.mjs';

/**
 * All contenders: their names for the tables, and their roles. Their modules are not loaded here: a
 * process loads only its own.
 *
 * A module exports `open({ capacity })` for a queue, `bridge(source)` and `bridgeBatches(source)`
 * for a way out of an Observable; see the scenarios for what they use of it; `handleAll(handler, {
 * messages, concurrency })` sends that many messages through a handler, and resolves when all have
 * ended. A `batches` contender hands over arrays where the others hand over one value after the
 * other: it is shown, and is no peer.
 *
 * The contenders of an engine are in its own folder. They export `publisher(url)`, with
 * `publish(payload)`, which resolves when the server has confirmed it, `unfinished()` and
 * `close()`; and `consumer(url)`, connected, with `start(take, acked)` and `close()`: it calls
 * `take` with the number of each message, and `acked` with how many more acknowledgements the
 * server has confirmed; or has been sent, if there is a `flush()`, which resolves when it has taken
 * them.
 */
export const contenders = {
  sluice: { name: 'sluice', role: 'own' },
  'sluice-iterated': { name: 'sluice, iterated', role: 'own' },
  'sluice-unordered': { name: 'sluice, in no order', role: 'own' },
  limit: { name: 'ring buffer by hand', role: 'limit' },
  pool: { name: 'workers by hand', role: 'limit' },
  'rxjs-for-await': { name: 'rxjs-for-await', role: 'peer', version: 'rxjs-for-await' },
  ix: { name: 'ix', role: 'peer', version: 'ix' },
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
