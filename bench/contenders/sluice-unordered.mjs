import * as sluice from './sluice.mjs';

export const handleAll = (handler, options) => sluice.handleAll(handler, { ...options, orderBy: undefined });
