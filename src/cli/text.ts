import ms from 'ms';

const NUMBER = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Writes a number as `12,345`. */
export function count(value: number): string {
  return NUMBER.format(value);
}

/** Writes `1 message` or `12,345 messages`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** Writes a duration as `3m`. @param duration in milliseconds */
export function ago(duration: number): string {
  return ms(Math.max(0, Math.round(duration)));
}

/** Writes a time as `2026-11-30 15:04:05`, in UTC. @param time in milliseconds since the epoch */
export function timeOf(time: number): string {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ');
}
