import { KEY } from '../../contenders/names.mjs';
import { inOneTurn } from '../turn.mjs';
import { openPublisher } from './bullmq.mjs';

/** Adds the jobs of one turn together. */
export const publisher = (url) =>
  openPublisher(url, (queue) => {
    const add = inOneTurn((jobs) => queue.addBulk(jobs));
    return (data) => add({ name: KEY, data });
  });
