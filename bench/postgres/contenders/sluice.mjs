import { PostgresBackend } from '../../../dist/postgres/index.js';
import { QUEUE } from '../../contenders/names.mjs';
import { sluiceQueue } from '../../contenders/sluice-queue.mjs';

export const { publisher, consumer } = sluiceQueue((url) => new PostgresBackend({ url, name: QUEUE }));
