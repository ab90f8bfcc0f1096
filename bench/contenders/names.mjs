/** What all of them call what they use, and how many messages a consumer holds at most. */
export const QUEUE = 'bench';
export const KEY = 'bench';
export const PREFETCH = 64;
