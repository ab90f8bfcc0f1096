import {
  type Box,
  type Canvas,
  consumerHeight,
  type GroupPlace,
  laneHeight,
  PITCH,
  type QueuePlace,
} from './canvas.js';
import { groupTitle, lanes, queueHeader, settledCounts } from './layout-parts.js';

const PUBLISHERS = 98;
const SETTLED = 124;
const GAP = 30;
const ARROW = 5;
const BETWEEN_BOXES = 8;
const BETWEEN_GROUPS = 18;
const SETTLED_LINE = 19;
const SETTLED_HEIGHT = 5 * SETTLED_LINE + 14;
/** Where the arrow of a publish is if there is no consumer, from the top of the group. */
const FIRST_MIDDLE = 30;

interface Columns {
  readonly publishers: Span;
  readonly queue: Span;
  readonly consumers: Span;
  readonly settled: Span;
}

interface Span {
  readonly x: number;
  readonly width: number;
}

/** Places a queue from left to right. Returns where it ends. */
export function wideQueue(canvas: Canvas, place: QueuePlace): number {
  const { queue, id, top } = place;
  const columns = columnsOf(canvas.width);
  const start = top + queueHeader(canvas, place, canvas.width);
  const { publishers } = columns;
  const from = { x: publishers.x + publishers.width / 2, y: start + 44 };
  let bottom = start;
  for (const [index, group] of queue.groups.entries()) {
    if (index > 0) bottom += BETWEEN_GROUPS;
    bottom = wideGroup(canvas, { ...place, id: `${id}.${index}`, group, from, top: bottom }, columns);
  }
  const box = canvas.box({
    id: `${id}.publishers`,
    kind: 'publishers',
    ...publishers,
    y: start,
    height: bottom - start,
  });
  canvas.title(box, 'publishers');
  canvas.count({
    id: `${id}.published`,
    queue: queue.name,
    group: undefined,
    count: 'published',
    text: 'published',
    value: queue.published,
    x: box.x + 8,
    y: start + 36,
    end: box.x + box.width - 8,
  });
  if (queue.capacity !== undefined) wideWaitingPublishes(canvas, place, box);
  return bottom;
}

function wideWaitingPublishes(canvas: Canvas, { queue, now }: QueuePlace, box: Box): void {
  const area = { ...box, y: box.y + 46 };
  canvas.label({ id: `${box.id}.wait`, kind: 'note', text: 'wait for room', x: box.x + 8, y: area.y + 16 });
  const rows = Math.max(1, Math.floor((box.height - 46 - 22) / PITCH));
  canvas.lane({
    box: area,
    kind: 'publishing',
    dots: queue.publishing,
    count: queue.publishingCount,
    rows,
    now,
    from: { x: box.x + box.width / 2, y: box.y + box.height },
    fromEnd: false,
  });
}

function wideGroup(canvas: Canvas, place: GroupPlace, columns: Columns): number {
  const { id } = place;
  const top = place.top + groupTitle(canvas, place, columns.queue.x);
  const consumers = wideConsumers(canvas, place, columns.consumers, top);
  const least = Math.max(SETTLED_HEIGHT, consumers.bottom - top);
  const bottom = lanes(canvas, place, { ...columns.queue, y: top, height: least }, true);
  const frame = { ...columns.settled, y: top, height: bottom - top };
  const settled = canvas.box({ id: `${id}.settled`, kind: 'settled', ...frame });
  settledCounts(canvas, place, (index) => ({
    mark: settled.x + 14,
    x: settled.x + 26,
    end: settled.x + settled.width - 9,
    y: settled.y + 21 + index * SETTLED_LINE,
  }));

  const arrow = (name: string, left: Span, right: Span, y: number) =>
    canvas.arrow({ id: `${id}.${name}`, x1: left.x + left.width + ARROW, y1: y, x2: right.x - ARROW, y2: y });
  arrow('publish', columns.publishers, columns.queue, consumers.middles[0] ?? top + FIRST_MIDDLE);
  for (const [index, y] of consumers.middles.entries()) {
    arrow(`deliver-${index}`, columns.queue, columns.consumers, y);
    arrow(`settle-${index}`, columns.consumers, columns.settled, y);
  }
  return bottom;
}

/** Places the consumers below one another. */
function wideConsumers(
  canvas: Canvas,
  place: GroupPlace,
  span: Span,
  top: number,
): { readonly bottom: number; readonly middles: readonly number[] } {
  const { id, group } = place;
  if (group.consumers.length === 0) {
    const height = laneHeight('waiting', 1);
    const box = canvas.box({ id: `${id}.none`, kind: 'none', ...span, y: top, height });
    canvas.title(box, 'no consumer');
    return { bottom: top + height, middles: [] };
  }
  const middles: number[] = [];
  let y = top;
  for (const consumer of group.consumers) {
    const height = consumerHeight(consumer, span.width);
    canvas.consumer(place, consumer, { ...span, y });
    if (consumer.active) middles.push(y + height / 2);
    y += height + BETWEEN_BOXES;
  }
  if (group.otherConsumers > 0) {
    canvas.label({
      id: `${id}.others`,
      kind: 'note',
      text: `and ${group.otherConsumers} more`,
      x: span.x + 8,
      y: y + 10,
    });
    y += 20;
  }
  return { bottom: y - BETWEEN_BOXES, middles };
}

function columnsOf(width: number): Columns {
  const rest = width - PUBLISHERS - SETTLED - 3 * GAP;
  const lane = Math.floor(rest / 2);
  return {
    publishers: { x: 0, width: PUBLISHERS },
    queue: { x: PUBLISHERS + GAP, width: lane },
    consumers: { x: PUBLISHERS + 2 * GAP + lane, width: lane },
    settled: { x: width - SETTLED, width: SETTLED },
  };
}
