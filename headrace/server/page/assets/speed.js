// How fast an answer comes, and how much of what memory allows that is.

/** Counts what arrives; the server's own figures replace the estimate when they come. */
export class Speed {
  #roofline;
  #first;
  #last;
  #pieces = 0;
  #exact;

  /** roofline: tokens per second if memory were only read; undefined if the server has no figure. */
  constructor(roofline) {
    this.#roofline = roofline;
  }

  /** A chunk came. One that brings text is one token or more. */
  note(chunk) {
    const delta = chunk.choices?.[0]?.delta ?? {};
    const text = delta.content || delta.reasoning_content || delta.reasoning || delta.tool_calls;
    if (text) {
      this.#last = performance.now();
      this.#first ??= this.#last;
      this.#pieces++;
    }
    if (chunk.timings) this.#exact = chunk.timings;
  }

  get rate() {
    if (this.#exact) return this.#exact.predicted_per_second;
    const seconds = (this.#last - this.#first) / 1000;
    return seconds > 0 ? (this.#pieces - 1) / seconds : undefined;
  }

  get text() {
    const rate = this.rate;
    if (!rate) return "";
    const parts = [`${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s`];
    if (this.#roofline) parts.push(`${Math.round((100 * rate) / this.#roofline)} % of roofline`);
    return parts.join(" · ");
  }
}
