/**
 * Lets programs that run from the sources import Lua scripts:
 * `npx tsx --import ./scripts/lua-loader.mjs examples/any-backend.ts`.
 */
import { register } from 'node:module';

register('./lua.mjs', import.meta.url);
