/** A key of the table of the server's properties, with the type of its value. */
const VERSION = Buffer.from('\u0007versionS', 'latin1');

const LENGTH = 4;

/**
 * Finds the version of the server in the first frame that it sends, which the client does not pass
 * on. Returns undefined for another frame.
 */
export function readVersion(frame: Buffer): string | undefined {
  const at = frame.indexOf(VERSION);
  const start = at + VERSION.length + LENGTH;
  if (at < 0 || start > frame.length) return undefined;
  return frame.toString('utf8', start, start + frame.readUInt32BE(start - LENGTH));
}
