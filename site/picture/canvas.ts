import type { ConsumerView, Dot, FinishedDot, GroupView, QueueView } from './snapshot.js';

/** The radius of a dot, and the distance of two dots in a lane, in pixels. */
export const RADIUS = 10;
export const PITCH = 28;
/** The distance of two delayed dots: there is a countdown below each. */
const DELAYED_PITCH = 39;

const PADDING = 8;
const TITLE = 22;
const COUNTDOWN = 14;

type BoxKind = 'publishers' | 'ready' | 'delayed' | 'consumer' | 'none' | 'settled';

export interface Box {
  readonly id: string;
  readonly kind: BoxKind;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Whether it belongs to a consumer that has left. */
  readonly faded: boolean;
}

type LabelKind = 'queue' | 'note' | 'title' | 'more';

export interface Label {
  readonly id: string;
  readonly kind: LabelKind;
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly anchor: 'start' | 'middle' | 'end';
}

/** A number with its name. */
export interface CountLabel {
  readonly id: string;
  readonly queue: string;
  /** Undefined for a count of the queue. */
  readonly group: string | undefined;
  /** Such as `in-flight`. */
  readonly count: string;
  /** Such as `in flight`. */
  readonly text: string;
  readonly value: number;
  /** Where the name starts. */
  readonly x: number;
  readonly y: number;
  /** Where the number ends. */
  readonly end: number;
  /** The centre of its mark. Undefined: it has none. */
  readonly mark?: number | undefined;
}

export interface Slot {
  readonly id: string;
  readonly x: number;
  readonly y: number;
}

export type DotState = 'publishing' | 'waiting' | 'delayed' | 'in-flight' | 'handling';

export interface PlacedDot {
  readonly id: string;
  readonly origin: string | undefined;
  readonly state: DotState;
  readonly deadLetter: boolean;
  readonly text: string;
  readonly attempt: number;
  /** How long until it is due, such as `1.2 s`. */
  readonly countdown: string | undefined;
  readonly x: number;
  readonly y: number;
  /** The box that it is in. */
  readonly box: string;
  /** Where it comes from, unless its origin is known. */
  readonly from: { readonly x: number; readonly y: number };
}

/** Where a finished dot leaves. */
export interface Exit {
  readonly id: string;
  readonly how: FinishedDot['how'];
  readonly x: number;
  readonly y: number;
}

export interface Arrow {
  readonly id: string;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly wide: boolean;
  readonly boxes: readonly Box[];
  readonly labels: readonly Label[];
  readonly counts: readonly CountLabel[];
  readonly slots: readonly Slot[];
  readonly dots: readonly PlacedDot[];
  readonly exits: readonly Exit[];
  readonly arrows: readonly Arrow[];
}

/** A queue to place. */
export interface QueuePlace {
  readonly queue: QueueView;
  readonly id: string;
  readonly now: number;
  /** Where it starts. */
  readonly top: number;
}

/** A group to place, and where its dots come from. */
export interface GroupPlace extends QueuePlace {
  readonly group: GroupView;
  readonly from: { readonly x: number; readonly y: number };
}

interface LaneOptions {
  readonly box: Box;
  readonly kind: 'publishing' | 'waiting' | 'delayed';
  readonly dots: readonly Dot[];
  /** How many there are in all. */
  readonly count: number;
  readonly rows: number;
  readonly now: number;
  readonly from: { readonly x: number; readonly y: number };
  /** Whether the first dot is the last in its row: where the flow leaves the lane. */
  readonly fromEnd: boolean;
}

/** Collects what a picture consists of. */
export class Canvas {
  readonly #boxes: Box[] = [];
  readonly #labels: Label[] = [];
  readonly #counts: CountLabel[] = [];
  readonly #slots: Slot[] = [];
  readonly #dots = new Map<string, PlacedDot>();
  readonly #exits: Exit[] = [];
  readonly #arrows: Arrow[] = [];

  constructor(
    readonly width: number,
    readonly wide: boolean,
  ) {}

  finish(height: number): Layout {
    return {
      width: this.width,
      height,
      wide: this.wide,
      boxes: this.#boxes,
      labels: this.#labels,
      counts: this.#counts,
      slots: this.#slots,
      dots: [...this.#dots.values()],
      exits: this.#exits,
      arrows: this.#arrows,
    };
  }

  box(box: Omit<Box, 'faded'> & { readonly faded?: boolean }): Box {
    const added = { faded: false, ...box };
    this.#boxes.push(added);
    return added;
  }

  label(label: Omit<Label, 'anchor'> & { readonly anchor?: Label['anchor'] }): void {
    this.#labels.push({ anchor: 'start', ...label });
  }

  count(count: CountLabel): void {
    this.#counts.push(count);
  }

  arrow(arrow: Arrow): void {
    this.#arrows.push(arrow);
  }

  /** Notes where the finished dots of a group leave, by the count that they are part of. */
  exits(group: GroupView, place: (how: FinishedDot['how']) => { readonly x: number; readonly y: number }): void {
    for (const { id, how } of group.finished) this.#exits.push({ id, how, ...place(how) });
  }

  /** The title of a box, in its first line. */
  title(box: Box, text: string, note?: string): void {
    const y = box.y + 16;
    this.label({ id: `${box.id}.title`, kind: 'title', text, x: box.x + PADDING, y });
    if (note === undefined) return;
    this.label({ id: `${box.id}.note`, kind: 'note', text: note, x: box.x + box.width - PADDING, y, anchor: 'end' });
  }

  /** Places the dots of a lane in rows. If there are more, the last place tells how many. */
  lane({ box, kind, dots, count, rows, now, from, fromEnd }: LaneOptions): void {
    const pitch = kind === 'delayed' ? DELAYED_PITCH : PITCH;
    const perRow = dotsPerRow(box.width, pitch);
    const places = perRow * rows;
    const shown = dots.slice(0, count > places ? places - 1 : places);
    const placeOf = (index: number) => {
      const column = (index % perRow) + 0.5;
      const start = (box.width - perRow * pitch) / 2;
      return {
        x: box.x + (fromEnd ? box.width - start - column * pitch : start + column * pitch),
        y: box.y + TITLE + Math.floor(index / perRow) * rowHeight(kind) + PITCH / 2,
      };
    };
    for (const [index, dot] of shown.entries()) {
      const countdown = dot.due === undefined ? undefined : countdownOf(dot.due - now);
      this.#place(dot, { state: kind, countdown, box: box.id, from, ...placeOf(index) });
    }
    const more = count - shown.length;
    if (more > 0 && count > 0) {
      const { x, y } = placeOf(shown.length);
      this.label({ id: `${box.id}.more`, kind: 'more', text: `+${more}`, x, y: y + 4, anchor: 'middle' });
    }
  }

  /** Places a consumer with its slots and deliveries. Returns its height. */
  consumer({ id, group, from }: GroupPlace, consumer: ConsumerView, frame: Pick<Box, 'x' | 'y' | 'width'>): number {
    const perRow = dotsPerRow(frame.width, PITCH);
    const slots = Math.min(consumer.prefetch, perRow * 2);
    const height = consumerHeight(consumer, frame.width);
    const boxId = `${id}.${group.name}.consumer-${consumer.id}`;
    const box = this.box({ id: boxId, kind: 'consumer', ...frame, height, faded: !consumer.active });
    const used = `${consumer.inFlight} of ${consumer.prefetch}`;
    const isShort = frame.width < 125;
    this.title(
      box,
      isShort ? consumer.label.replace('consumer', 'cons.') : consumer.label,
      consumer.active ? used : 'left',
    );
    const start = (frame.width - perRow * PITCH) / 2;
    const placeOf = (index: number) => ({
      x: frame.x + start + ((index % perRow) + 0.5) * PITCH,
      y: frame.y + TITLE + Math.floor(index / perRow) * PITCH + PITCH / 2,
    });
    for (let index = 0; index < slots; index++) this.#slots.push({ id: `${boxId}.${index}`, ...placeOf(index) });
    for (const [index, dot] of consumer.deliveries.slice(0, slots).entries()) {
      const state = dot.handling ? 'handling' : 'in-flight';
      this.#place(dot, { state, countdown: undefined, box: boxId, from, ...placeOf(index) });
    }
    return height;
  }

  #place(dot: Dot, place: Pick<PlacedDot, 'state' | 'countdown' | 'x' | 'y' | 'box' | 'from'>): void {
    const { id, origin, text, attempt, deadLetter = false } = dot;
    // Two messages may have one id, if it was published again after the `dedupeWindow`.
    if (!this.#dots.has(id)) this.#dots.set(id, { id, origin, text, attempt, deadLetter, ...place });
  }
}

/** How many dots fit into a row of a box. */
function dotsPerRow(width: number, pitch: number): number {
  return Math.max(1, Math.floor((width - 2 * PADDING + (pitch - 2 * RADIUS)) / pitch));
}

/** The height of a box with a title and rows of dots. */
export function laneHeight(kind: LaneOptions['kind'], rows: number): number {
  return TITLE + rows * rowHeight(kind) + (kind === 'delayed' ? 4 : PADDING);
}

/** How many rows of waiting dots fit into a box. */
export function rowsWithin(height: number): number {
  return Math.max(1, Math.floor((height - TITLE - PADDING) / PITCH));
}

/** The height of a consumer: its slots take two rows at most. */
export function consumerHeight({ prefetch }: ConsumerView, width: number): number {
  const rows = Math.min(2, Math.ceil(prefetch / dotsPerRow(width, PITCH)));
  return TITLE + rows * PITCH + PADDING;
}

function rowHeight(kind: LaneOptions['kind']): number {
  return kind === 'delayed' ? PITCH + COUNTDOWN : PITCH;
}

/** Formats a time that is left, in milliseconds. */
export function countdownOf(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${(Math.ceil(seconds * 10) / 10).toFixed(1)} s`;
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  return seconds < 6000 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}
