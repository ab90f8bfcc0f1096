import { openIntercepted } from './sluice.mjs';

export const intercepted = (kind) => openIntercepted(kind, 'byHand');
