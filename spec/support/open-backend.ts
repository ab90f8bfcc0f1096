import type { QueueBackend } from 'sluice';
import { engines } from './engines.js';

/** Opens a backend by the name of its engine, in a program that `programOf` builds. */
export async function openBackend(backend: string, options: object): Promise<QueueBackend> {
  const engine = engines.find(({ name }) => name === backend);
  const module = await import(`../../src/${backend}/index.ts`);
  return new module[String(engine?.class)](options);
}
