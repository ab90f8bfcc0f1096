import type { FromEnvOptions, LoadBackendOptions, MemoryBackend, MemoryBackendOptions } from 'sluice';
import type { Observer } from '../picture/observe.js';
import { moduleUrl } from './modules.js';

type Sluice = typeof import('sluice');
type Queue = MemoryBackend;
type Env = NonNullable<LoadBackendOptions['env']>;

/** Where the module below finds its replacements while it is loaded. */
const PLACE = '__sluicePlayground';

/**
 * Returns the URL of a module like `sluice`, whose queues in memory are observed. All else is the
 * real thing.
 */
export async function observedModule(url: string, sluice: Sluice, observer: Observer): Promise<string> {
  const replaced = replacements(sluice, observer);
  const global = globalThis as unknown as Record<string, unknown>;
  global[PLACE] = replaced;
  // What a module exports itself has precedence over a star.
  const code = `export * from ${JSON.stringify(url)};\nexport const { ${Object.keys(replaced).join(', ')} } = globalThis.${PLACE};`;
  const observed = moduleUrl(code, 'node_modules/sluice-observed.js');
  try {
    await import(/* @vite-ignore */ observed);
  } finally {
    delete global[PLACE];
  }
  return observed;
}

/** Returns what replaces exports of `sluice`. */
export function replacements(sluice: Sluice, observer: Observer): Pick<Sluice, 'MemoryBackend' | 'loadBackend'> {
  const Real = sluice.MemoryBackend;
  // `fromEnv` returns the same queue to all callers of a name.
  const known = new WeakMap<Queue, Queue>();
  const observe = (queue: Queue, options?: MemoryBackendOptions): Queue => {
    const observed = known.get(queue) ?? observer.observe(queue, options);
    known.set(queue, observed);
    // Whoever has the observed queue gets it again.
    known.set(observed, observed);
    return observed;
  };
  const fromEnv = (env?: Env, options?: FromEnvOptions): Queue => observe(Real.fromEnv(env, options), optionsOf(env));
  // A proxy, so that it has the name, the statics and the prototype of the real class: `instanceof`
  // holds for every queue.
  const Observed: typeof Real = new Proxy(Real, {
    construct: (target, given, newTarget) =>
      observe(
        Reflect.construct(target, given, newTarget === Observed ? target : newTarget) as Queue,
        given[0] as MemoryBackendOptions | undefined,
      ),
    get: (target, name) => (name === 'fromEnv' ? fromEnv : Reflect.get(target, name, target)),
  });
  const loadBackend = async (options?: LoadBackendOptions): Promise<unknown> => {
    const queue = await sluice.loadBackend(options);
    if (!(queue instanceof Real)) return queue;
    const { name, groups, env } = options ?? {};
    // With a name, the variable is about another queue.
    const declared = groups ?? (name === undefined ? optionsOf(env).groups : undefined);
    return observe(queue as Queue, { ...optionsOf(env), groups: declared });
  };
  return { MemoryBackend: Observed, loadBackend: loadBackend as Sluice['loadBackend'] };
}

/** Reads what the picture must know of a queue. Only after the library has accepted the variables. */
function optionsOf(env: Env = {}): Pick<MemoryBackendOptions, 'capacity' | 'groups'> {
  const { QUEUE_CAPACITY: capacity, QUEUE_GROUPS: groups } = env;
  return {
    capacity: capacity === undefined || capacity === '' ? undefined : Number(capacity),
    groups: groups === undefined || groups === '' ? undefined : groups.split(',').map((group) => group.trim()),
  };
}
