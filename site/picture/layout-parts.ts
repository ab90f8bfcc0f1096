import {
  type Box,
  type Canvas,
  type CountLabel,
  type GroupPlace,
  laneHeight,
  type QueuePlace,
  rowsWithin,
} from './canvas.js';

/** The height of the header of a queue in one line. */
const HEADER = 34;

const COUNT_GAP = 16;
/** About the width of a digit, in pixels. */
const DIGIT = 7.6;
const GROUP_TITLE = 22;
const BETWEEN_LANES = 8;

/** Places the name and the counts of a queue. Returns how high the header is. */
export function queueHeader(canvas: Canvas, { queue, id, top }: QueuePlace, width: number): number {
  const notes = [
    ...(queue.capacity === undefined ? [] : [`${queue.size} of ${queue.capacity} places`]),
    ...(queue.closed ? ['closed'] : []),
  ];
  const name = queue.name.length > 22 ? `${queue.name.slice(0, 21)}…` : queue.name;
  canvas.label({ id: `${id}.name`, kind: 'queue', text: name, x: 0, y: top + 16 });
  const counts = [
    ['ready', 'ready', queue.ready, 34],
    ['in-flight', 'in flight', queue.inFlight, 46],
    ['unfinished', 'unfinished', queue.unfinished, 62],
  ] as const;
  const isNarrow = !canvas.wide;
  const y = top + (isNarrow ? 38 : 16);
  const digits = Math.max(2, ...counts.map(([, , value]) => String(value).length));
  let x = isNarrow ? 0 : width - counts.reduce((sum, [, , , text]) => sum + countWidth(text, digits), 0) + COUNT_GAP;
  for (const [count, text, value, textWidth] of counts) {
    const end = x + (isNarrow ? String(value).length : digits) * DIGIT;
    const name = { id: `${id}.${count}`, queue: queue.name, group: undefined };
    canvas.count({ ...name, count, text, value, x: end + 5, y, end });
    x = isNarrow ? x + width / 3 : x + countWidth(textWidth, digits);
  }
  if (notes.length > 0) {
    const x = isNarrow ? width : 12 + name.length * 9;
    const anchor = isNarrow ? 'end' : 'start';
    canvas.label({ id: `${id}.notes`, kind: 'note', text: notes.join(' · '), x, y: top + 16, anchor });
  }
  return isNarrow ? HEADER + 20 : HEADER;
}

/** The width of a number with its name, and the gap before it. */
function countWidth(text: number, digits: number): number {
  return COUNT_GAP + digits * DIGIT + 5 + text;
}

/** Places the name of a group, if there are several. Returns how high it is. */
export function groupTitle(canvas: Canvas, { queue, group, id, top }: GroupPlace, x: number): number {
  if (queue.groups.length === 1 && group.name === 'default') return 0;
  canvas.label({ id: `${id}.name`, kind: 'title', text: `group ${group.name}`, x, y: top + 13 });
  return GROUP_TITLE;
}

/**
 * Places what waits in a group: ready messages, and delayed ones once there were any. Returns where
 * it ends.
 * @param frame where, and how high it is at least
 * @param fromEnd whether the first dot is at the end of its row
 */
export function lanes(
  canvas: Canvas,
  { id, queue, group, now, from }: GroupPlace,
  frame: Pick<Box, 'x' | 'y' | 'width' | 'height'>,
  fromEnd: boolean,
): number {
  const { x, y, width } = frame;
  const delayedHeight = laneHeight('delayed', 1);
  const rest = group.hasDelays ? delayedHeight + BETWEEN_LANES : 0;
  const height = Math.max(laneHeight('waiting', canvas.wide ? 2 : 1), frame.height - rest);
  const ready = canvas.box({ id: `${id}.ready`, kind: 'ready', x, y, width, height });
  canvas.title(ready, 'ready');
  const end = x + width - 8;
  const count = { queue: queue.name, group: group.name, count: 'ready', text: '', value: group.ready };
  canvas.count({ id: `${id}.ready.count`, ...count, x: end, y: y + 16, end });
  const shared = { now, from, fromEnd };
  const rows = rowsWithin(height);
  canvas.lane({ box: ready, kind: 'waiting', dots: group.waiting, count: group.ready, rows, ...shared });
  if (!group.hasDelays) return y + height;
  const box = { x, y: y + height + BETWEEN_LANES, width, height: delayedHeight };
  const delayed = canvas.box({ id: `${id}.delayed`, kind: 'delayed', ...box });
  canvas.title(delayed, 'delayed', String(group.delayedCount));
  const { delayedCount } = group;
  canvas.lane({ box: delayed, kind: 'delayed', dots: group.delayed, count: delayedCount, rows: 1, ...shared });
  return delayed.y + delayed.height;
}

/**
 * Places the counts of how the deliveries of a group were settled, and the exits of its dots.
 * @param placeOf gets the width of the number
 */
export function settledCounts(
  canvas: Canvas,
  { queue, group, id }: GroupPlace,
  placeOf: (index: number, width: number) => Pick<CountLabel, 'x' | 'y' | 'end'> & { readonly mark: number },
): void {
  const counts = [
    ['acked', 'acked', group.acked],
    ['retried', 'retried', group.retried],
    ['released', 'released', group.released],
    ['rejected', 'rejected', group.rejected],
    ['dead-lettered', 'dead letters', group.deadLettered],
  ] as const;
  const places = counts.map(([, , value], index) => placeOf(index, String(value).length * DIGIT));
  for (const [index, [count, text, value]] of counts.entries()) {
    const name = { id: `${id}.${count}`, queue: queue.name, group: group.name };
    const place = places[index] as ReturnType<typeof placeOf>;
    canvas.count({ ...name, count, text, value, ...place });
  }
  canvas.exits(group, (how) => {
    const { mark, y } = places[counts.findIndex(([count]) => count === how)] as ReturnType<typeof placeOf>;
    return { x: mark, y: y - 4 };
  });
}
