"""What the page says in words."""

from __future__ import annotations

from collections.abc import Mapping

INTRODUCTION = """# Benchmarks

This page is written by `headrace bench --suite`. Each workload has bars that it should reach;
{met} of {bars} are met, {missed} missed. Figures are medians over the repetitions (lowest to
highest); engines take turns, so that a ratio compares runs that followed each other. Where the
time goes, and what holds up a workload that misses its bar, is in [trace.md](trace.md).

![Speed of each engine, and share of what memory or multipliers allow](benchmarks.svg)

## Bars
"""

HOW = """
## How it is measured

- *Roofline*: the time to only read what a step must read (the same packed weights and KV entries,
  by the same workers, before and after each run) over the time of the step. 1 is memory's speed.
- *The multipliers' peak*: a kernel that does nothing but the multiply-adds that the products use,
  on all workers, before and after each run.
- Decoding starts behind a context that lies in memory. Peers read it once, untimed; for headrace
  the entries of the KV cache are filled with numbers: a step's time does not depend on them.
- Prompts are token ids without meaning, another prompt each time, so that no cache of prefixes
  helps. Nobody's tokenizer is in any time.
- Each peer runs in a process of its own, reads the same file, has as many threads as headrace, and
  sleeps while another engine runs. Where it has settings that a user would try, the fastest one
  counts: llama.cpp with and without flash attention, and with the KV cache of a batch divided or
  in one piece; OpenVINO with paged or stateful attention. Prompts go in pieces of 512 tokens.
- *Over HTTP*: `headrace serve` and `llama_cpp.server` (flash attention; a request does not end
  the one before) are each started as a user would, on this machine's loopback, with the same file
  and threads; by turns they get the same prompts as text. aiperf asks for greedy answers of a
  fixed length as streams, and computes on the same cores; its records give all figures. Tokens are
  those that a server counts in its usage; where it counts none, the pieces that it sent. *The
  engine's own batch* is the same prompts and lengths without server and load generator, before and
  after each run. `llama_cpp.server` answers one request after the other: it has no batches.
- transformers and vLLM compute with the dequantised file in bfloat16: more bytes, but all that they
  can do with a GGUF file on a CPU.

## Running it

```sh
pip install -e ".[bench]" llama-cpp-python openvino-genai    # and whatever else shall compete
headrace bench --suite --output benchmarks
```

writes `benchmarks.md`, `.png`, `.svg` and `.json` into the directory. It takes about half an hour
on two cores and 20 GB of disk for the models, which it generates (random weights at real shapes)
or fetches. `--only NAME` measures some workloads again and keeps the other results; `--resume`
goes on where a run was interrupted; `--quick` takes a look in a few minutes; `--against NAMES`
chooses peers (`none` for none). Peers in other Python environments are found with
`--peer-python PATH`, which may be given more than once; so is aiperf, which makes the load on
servers (`serve-…`), and `llama-cpp-python[server]`. What is not installed, or cannot read a
model, is listed above with the reason."""

#: Names of conditions for people.
LABELS: Mapping[str, str] = {
    "instruction_sets": "instruction sets with kernels of their own",
    "read_rate": "read rate of memory, at the start",
    "python": "Python",
    "quick": "quick",
}
