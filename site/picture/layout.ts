import { Canvas, type Layout } from './canvas.js';
import { narrowQueue } from './layout-narrow.js';
import { wideQueue } from './layout-wide.js';
import type { QueueView, Snapshot } from './snapshot.js';

export type { Box, Layout, PlacedDot } from './canvas.js';

/** The widest picture that is drawn from top to bottom. */
export const NARROW = 520;

const BETWEEN_QUEUES = 28;

/**
 * Places everything of a snapshot on a picture of a width, in pixels: from left to right, or from
 * top to bottom if it is narrow.
 */
export function layOut(snapshot: Snapshot, width: number): Layout {
  const isWide = width > NARROW;
  const canvas = new Canvas(width, isWide);
  let top = 0;
  for (const [index, queue] of snapshot.queues.entries()) {
    if (index > 0) top += BETWEEN_QUEUES;
    const place = isWide ? wideQueue : narrowQueue;
    top = place(canvas, { queue, id: `queue-${index}`, now: snapshot.now, top });
  }
  return canvas.finish(top);
}

/** Says in words what the picture shows. */
export function describeSnapshot({ queues }: Snapshot): string {
  if (queues.length === 0) return 'No queue yet.';
  return queues.map(describeQueue).join(' ');
}

function describeQueue({ name, published, ready, inFlight, unfinished, publishingCount, groups }: QueueView): string {
  const counts = [
    `${published} published`,
    ...(publishingCount > 0 ? [`${publishingCount} publishes wait for room`] : []),
    `${ready} ready`,
    `${inFlight} in flight`,
    `${unfinished} unfinished`,
  ];
  const outcomes = groups.map((group) => {
    const settled = [
      `${group.acked} acked`,
      `${group.retried} retried`,
      `${group.released} released`,
      `${group.rejected} rejected`,
      `${group.deadLettered} dead-lettered`,
    ].filter((text) => !text.startsWith('0 '));
    const delayed = group.delayedCount > 0 ? [`${group.delayedCount} delayed`] : [];
    const active = group.consumers.filter((consumer) => consumer.active).length + group.otherConsumers;
    const parts = [`${active} ${active === 1 ? 'consumer' : 'consumers'}`, ...delayed, ...settled];
    return `${groups.length > 1 ? `Group ${group.name}` : 'So far'}: ${parts.join(', ')}.`;
  });
  return `Queue ${name}: ${counts.join(', ')}. ${outcomes.join(' ')}`;
}
