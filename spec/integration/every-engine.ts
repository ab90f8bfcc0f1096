import { type Engine, engines } from '../support/engines.js';
import { describeWithEngine } from '../support/servers/describe-with.js';
import type { Broker } from './broker.js';

/** Describes a suite for each engine. `%s` in the name is replaced by the title of the engine. */
export function describeWithEveryEngine(name: string, body: (broker: Broker, engine: Engine) => void): void {
  for (const engine of engines) {
    const { broker } = require(`../${engine.name}/integration/broker.js`) as { readonly broker: Broker };
    describeWithEngine(engine, name.replace('%s', engine.title), () => body(broker, engine));
  }
}
