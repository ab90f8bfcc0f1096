/** The version of a server. */
export interface ServerVersion {
  /** Such as "Redis 8.6.3" or "Valkey 9.1.2". */
  readonly title: string;
  /** The version of Redis whose commands it has. */
  readonly redis: readonly [major: number, minor: number];
}

/**
 * Reads the version from the reply to `INFO server`. Valkey gives its own version as `valkey_version`, and as `redis_version` the version of Redis that it
 * is compatible with.
 * @returns undefined if the reply has no version
 */
export function readServerVersion(info: string): ServerVersion | undefined {
  const redis = /^redis_version:((\d+)\.(\d+)\S*)/m.exec(info);
  if (redis === null) return undefined;
  const [, text, major, minor] = redis;
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1];
  return { title: valkey === undefined ? `Redis ${text}` : `Valkey ${valkey}`, redis: [Number(major), Number(minor)] };
}
