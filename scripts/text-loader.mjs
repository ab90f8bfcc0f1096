/**
 * Lets programs that run from the sources import Lua scripts and SQL files:
 * `npx tsx --import ./scripts/text-loader.mjs examples/any-backend.ts`.
 */
import { register } from 'node:module';

register('./text.mjs', import.meta.url);
