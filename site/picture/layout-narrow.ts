import { type Canvas, consumerHeight, type GroupPlace, laneHeight, type QueuePlace } from './canvas.js';
import { groupTitle, lanes, queueHeader, settledCounts } from './layout-parts.js';

const ARROW = 20;
const BETWEEN_BOXES = 8;
const BETWEEN_GROUPS = 18;
const SETTLED_LINE = 20;

/** Places a queue from top to bottom. Returns where it ends. */
export function narrowQueue(canvas: Canvas, place: QueuePlace): number {
  const { queue, id, top, now } = place;
  const { width } = canvas;
  let y = top + queueHeader(canvas, place, width);
  const waits = queue.capacity !== undefined;
  const height = waits ? laneHeight('publishing', 1) : 26;
  const box = canvas.box({ id: `${id}.publishers`, kind: 'publishers', x: 0, y, width, height });
  canvas.title(box, waits ? 'publishers wait for room' : 'publishers');
  canvas.count({
    id: `${id}.published`,
    queue: queue.name,
    group: undefined,
    count: 'published',
    text: 'published',
    value: queue.published,
    x: width - 104,
    y: y + 16,
    end: width - 8,
  });
  const from = { x: width / 2, y: y + height / 2 };
  if (waits)
    canvas.lane({
      box,
      kind: 'publishing',
      dots: queue.publishing,
      count: queue.publishingCount,
      rows: 1,
      now,
      from,
      fromEnd: false,
    });
  y += height;
  for (const [index, group] of queue.groups.entries()) {
    if (index > 0) y += BETWEEN_GROUPS;
    y = narrowGroup(canvas, { ...place, id: `${id}.${index}`, group, from, top: y }, index === 0);
  }
  return y;
}

function narrowGroup(canvas: Canvas, place: GroupPlace, isFirst: boolean): number {
  const { id } = place;
  const { width } = canvas;
  let y = place.top;
  const arrow = (name: string) => {
    canvas.arrow({ id: `${id}.${name}`, x1: width / 2, y1: y + 4, x2: width / 2, y2: y + ARROW - 4 });
    y += ARROW;
  };
  if (isFirst) arrow('publish');
  y += groupTitle(canvas, { ...place, top: y }, 0);
  const frame = { x: 0, width };
  y = lanes(canvas, place, { ...frame, y, height: 0 }, false);
  arrow('deliver');
  y = narrowConsumers(canvas, place, y);
  arrow('settle');
  const box = canvas.box({ id: `${id}.settled`, kind: 'settled', ...frame, y, height: 2 * SETTLED_LINE + 16 });
  const column = width / 3;
  settledCounts(canvas, place, (index, digits) => {
    const mark = (index % 3) * column + 14;
    const end = mark + 12 + digits;
    return { mark, end, x: end + 5, y: box.y + 22 + Math.floor(index / 3) * SETTLED_LINE };
  });
  return y + box.height;
}

function narrowConsumers(canvas: Canvas, place: GroupPlace, top: number): number {
  const { id, group } = place;
  const frame = { x: 0, width: canvas.width };
  if (group.consumers.length === 0) {
    const box = canvas.box({ id: `${id}.none`, kind: 'none', ...frame, y: top, height: 26 });
    canvas.title(box, 'no consumer');
    return top + box.height;
  }
  let y = top;
  for (const consumer of group.consumers) {
    canvas.consumer(place, consumer, { ...frame, y });
    y += consumerHeight(consumer, frame.width) + BETWEEN_BOXES;
  }
  if (group.otherConsumers > 0) {
    canvas.label({ id: `${id}.others`, kind: 'note', text: `and ${group.otherConsumers} more`, x: 8, y: y + 10 });
    y += 20;
  }
  return y - BETWEEN_BOXES;
}
