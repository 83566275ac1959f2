// Rejections carry a code of engine/errors.py as their `name`, and a message for people.

export class GlueError extends Error {
  constructor(code, message, cause) {
    super(message, cause && { cause });
    this.name = code;
  }
}

/** A commit's precondition does not hold. It ends the transaction and becomes an answer. */
export class Refusal extends Error {
  constructor(index, existing_id = null) {
    super(`refused: ${index}`);
    this.refused = { index, existing_id };
  }
}

const CODES = {
  QuotaExceededError: ["QUEUE_STORAGE_FULL", "The storage of this device is full, so this was not saved."],
  VersionError: ["QUEUE_SCHEMA_TOO_NEW", "The storage was written by a newer version of the app."],
};

/** What the browser threw, as one of ours. Ours pass unchanged. */
export function mapped(error) {
  if (error instanceof GlueError || error instanceof Refusal) return error;
  const name = error?.name ?? "Error";
  const [code, message] = CODES[name] ??
    ["QUEUE_DATABASE_ERROR", `The storage on this device did not take the change (${name}: ${error?.message}).`];
  return new GlueError(code, message, error);
}
