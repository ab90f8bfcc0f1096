/**
 * The build that the contenders of sluice load: `dist`, or the folder that the variable BENCH_DIST
 * names.
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';

export const folder = process.env.BENCH_DIST ?? path.join(import.meta.dirname, '../../dist');

/** Imports an entry of the build, such as `index`. What an older build lacks is undefined. */
export const load = (entry) => import(pathToFileURL(path.join(folder, `${entry}.js`)).href);
