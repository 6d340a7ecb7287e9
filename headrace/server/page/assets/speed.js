// How fast an answer comes, and how much of what memory allows that is.

/** Follows the counts that chunks bring; the engine's own figures replace ours at the end. */
export class Speed {
  #roofline;
  #first;
  #last;
  #exact;

  /** roofline: tokens per second if memory were only read; undefined if the server has no figure. */
  constructor(roofline) {
    this.#roofline = roofline;
  }

  /** A chunk came. */
  note({ usage, timings }) {
    if (usage?.completion_tokens) {
      this.#last = { tokens: usage.completion_tokens, time: performance.now() };
      this.#first ??= this.#last;
    }
    this.#exact = timings ?? this.#exact;
  }

  /** Tokens per second, from the first to the last; undefined while there is one only. */
  get rate() {
    if (this.#exact) return this.#exact.predicted_per_second;
    const tokens = this.#last?.tokens - this.#first?.tokens;
    return tokens > 0 ? (1000 * tokens) / (this.#last.time - this.#first.time) : undefined;
  }

  get text() {
    const rate = this.rate;
    if (!rate) return "";
    const parts = [`${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s`];
    if (this.#roofline) parts.push(`${Math.round((100 * rate) / this.#roofline)} % of roofline`);
    return parts.join(" · ");
  }
}
