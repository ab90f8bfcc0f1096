/**
 * What an error may say, by the words with which the libraries name their types and checks. Nothing
 * else of their issues is shown: messages, and sometimes `expected`, quote values of the payload.
 */
const PHRASES: Readonly<Record<string, readonly string[]>> = {
  'a string': ['string'],
  'a number': ['number', 'nan'],
  'an integer': ['int', 'integer', 'safe_integer'],
  'a bigint': ['bigint'],
  'a boolean': ['boolean'],
  'a date': ['date'],
  'an array': ['array', 'tuple', 'loose_tuple', 'strict_tuple'],
  'an object': ['object', 'record'],
  null: ['null'],
  absent: ['undefined', 'void', 'never', 'removed'],
  'within its limits': [
    ...['too_small', 'too_big', 'min', 'max', 'minlength', 'maxlength', 'exactlength', 'after', 'before'],
    ...['min_value', 'max_value', 'gt_value', 'lt_value', 'min_length', 'max_length', 'length', 'non_empty', 'empty'],
    ...['min_size', 'max_size', 'size', 'min_entries', 'max_entries', 'entries', 'min_bytes', 'max_bytes', 'bytes'],
    ...['min_graphemes', 'max_graphemes', 'graphemes', 'min_words', 'max_words', 'words', 'finite'],
  ],
  'in its format': [
    ...['invalid_format', 'pattern', 'regex', 'starts_with', 'ends_with', 'includes', 'excludes'],
    ...['email', 'rfc_email', 'url', 'uuid', 'ulid', 'nanoid', 'cuid2', 'ip', 'ipv4', 'ipv6', 'mac', 'imei', 'isbn'],
    ...['base64', 'hash', 'hexadecimal', 'decimal', 'digits', 'octal', 'slug', 'emoji', 'hex_color', 'credit_card'],
    ...['iso_date', 'iso_date_time', 'iso_time', 'iso_time_second', 'iso_timestamp', 'iso_week', 'bic', 'jws_compact'],
  ],
  'a multiple of its step': ['not_multiple_of', 'multiple_of', 'divisor'],
  'one of the allowed values': ['invalid_value', 'literal', 'picklist', 'enum', 'unit', 'value', 'values', 'not_value'],
  'one of the allowed alternatives': ['invalid_union', 'union', 'variant'],
  'an object with no other properties': ['unrecognized_keys'],
  'an object with valid names of properties': ['invalid_key'],
};

const EXPECTATIONS: ReadonlyMap<string, string> = new Map(
  Object.entries(PHRASES).flatMap(([phrase, words]) => words.map((word) => [word, phrase] as const)),
);

/** The last word if an issue says nothing that may be shown. */
const ANY = 'valid for its schema';

/**
 * Says what an issue expects, after "must be".
 * @param value what the payload has at its path
 */
export function expectationOf(issue: unknown, value: unknown): string {
  // The expected type of zod, valibot and arktype, then the failed check of zod and arktype, and
  // that of valibot, whose `type` is otherwise the type of the schema.
  return phraseFor(issue, 'expected') ?? (value === undefined ? 'present' : (checkOf(issue) ?? ANY));
}

function checkOf(issue: unknown): string | undefined {
  return phraseFor(issue, 'code') ?? phraseFor(issue, 'type');
}

function phraseFor(issue: unknown, field: string): string | undefined {
  const text = textOf(issue, field);
  return text === undefined ? undefined : EXPECTATIONS.get(text.toLowerCase().replace(/^an? /, ''));
}

/** Reads a text of an issue. Undefined if it has none, or cannot be read. */
function textOf(issue: unknown, field: string): string | undefined {
  try {
    const text: unknown = Reflect.get(issue as object, field);
    return typeof text === 'string' ? text : undefined;
  } catch {
    return undefined;
  }
}
