/** SQL as text. `scripts/text.mjs` creates these modules. */
declare module '*.sql' {
  const text: string;
  export default text;
}
