/** The names that all contenders use, and the prefetch of their consumers. */
export const QUEUE = 'bench';
export const KEY = 'bench';
export const PREFETCH = 64;
