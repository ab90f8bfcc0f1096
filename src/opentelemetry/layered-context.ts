import { type Context, ROOT_CONTEXT } from '@opentelemetry/api';
import { describe } from '../internal/describe.js';

/** Contexts with more layers are slower than one that is copied. */
const MOST_LAYERS = 8;

/**
 * A context that adds one value to another context. The contexts of the API copy all values into a
 * new map; a message needs four of them, and most are read once or never.
 */
export class LayeredContext implements Context {
  readonly #below: Context;
  readonly #layers: number;
  readonly #key: symbol | undefined;
  readonly #value: unknown;

  /** @param key undefined: the layer adds nothing, but the contexts that derive from it are layered */
  constructor(below: Context = ROOT_CONTEXT, key?: symbol, value?: unknown) {
    this.#below = below;
    this.#layers = below instanceof LayeredContext ? below.#layers + 1 : 1;
    this.#key = key;
    this.#value = value;
  }

  getValue(key: symbol): unknown {
    return key === this.#key ? this.#value : this.#below.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return this.#layers < MOST_LAYERS ? new LayeredContext(this, key, value) : this.#copy().setValue(key, value);
  }

  deleteValue(key: symbol): Context {
    return this.setValue(key, undefined);
  }

  /** Copies all values into one context of the API. */
  #copy(): Context {
    const below = this.#below instanceof LayeredContext ? this.#below.#copy() : this.#below;
    return this.#key === undefined ? below : below.setValue(this.#key, this.#value);
  }
}

/** Returns a context with the same values, from which layered contexts derive. */
export function layered(context: Context): Context {
  return context instanceof LayeredContext ? context : new LayeredContext(context);
}

/**
 * Returns what a propagator has extracted.
 * @throws {TypeError} if it is no context
 */
export function checkContext(extracted: Context): Context {
  const { getValue, setValue } = Object(extracted) as Partial<Context>;
  if (typeof getValue === 'function' && typeof setValue === 'function') return extracted;
  throw new TypeError(`Expected the propagator to extract a context, got ${describe(extracted)}`);
}
