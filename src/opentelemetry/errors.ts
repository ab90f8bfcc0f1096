import { type Attributes, type Span, SpanStatusCode } from '@opentelemetry/api';
import { InvalidMessageError } from '../errors.js';
import { isError, kindOf } from '../internal/describe.js';
import { ATTRIBUTE, OTHER_ERROR } from './conventions.js';

/** A name of a class. Another text could differ for each message. */
const CLASS_NAME = /^[A-Za-z_$][\w$.]{0,99}$/;

/** Returns the value of `error.type`: the name of the error, of which there are few. */
export function errorTypeOf(error: unknown): string {
  try {
    return isError(error) && CLASS_NAME.test(error.name) ? error.name : OTHER_ERROR;
  } catch {
    return OTHER_ERROR;
  }
}

/** Records an error on a span, and marks the span as failed. */
export function recordError(span: Span, error: unknown, type: string): void {
  const recorded = recordable(error, type);
  span.recordException(recorded);
  span.setStatus({ code: SpanStatusCode.ERROR, message: recorded.message });
  span.setAttribute(ATTRIBUTE.errorType, type);
}

/** Adds the type of an error to attributes. */
export function withErrorType(attributes: Attributes, type: string): Attributes {
  return { ...attributes, [ATTRIBUTE.errorType]: type };
}

/** Returns the parts of an error that cannot contain a value of a payload by our doing. */
function recordable(error: unknown, type: string): { name: string; message: string; stack?: string } {
  // A handler can throw anything, such as its payload.
  if (!isError(error)) return { name: type, message: `The thrown value is ${kindOf(error)}, not an error` };
  // Its message shows the received value, and so does the stack.
  if (InvalidMessageError.is(error))
    return { name: type, message: `Expected \`${error.path}\` to be ${error.expected}` };
  try {
    const { message, stack } = error;
    return { name: type, message: String(message), ...(typeof stack === 'string' && { stack }) };
  } catch {
    return { name: type, message: 'The error cannot be read' };
  }
}
