/** A notch of the speed slider. */
export interface SpeedNotch {
  readonly speed: number;
  /** Such as `½×`. */
  readonly text: string;
  /** For a screen reader. */
  readonly words: string;
}

/** The notches of the speed slider, the slowest first. */
export const SPEEDS: readonly SpeedNotch[] = [
  { speed: 0.25, text: '¼×', words: 'a quarter of the speed' },
  { speed: 0.5, text: '½×', words: 'half the speed' },
  { speed: 1, text: '1×', words: 'real time' },
  { speed: 2, text: '2×', words: 'twice the speed' },
  { speed: 4, text: '4×', words: '4 times the speed' },
  { speed: 8, text: '8×', words: '8 times the speed' },
  { speed: Number.POSITIVE_INFINITY, text: 'max', words: 'as fast as possible' },
];

/** Returns the index of the notch that is nearest to a speed. */
export function notchOf(speed: number): number {
  const faster = SPEEDS.findIndex((notch) => notch.speed >= speed);
  return faster === -1 ? SPEEDS.length - 1 : faster;
}
