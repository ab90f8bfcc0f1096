/** A source as text, see `jest.config.mjs`. */
declare module '*?raw' {
  const text: string;
  export default text;
}
