"""The commands and where they are; each is imported when it is called."""

from __future__ import annotations

from cyclopts import App


def _version() -> str:
    from importlib.metadata import version

    return f"headrace {version('headrace')}"


app = App(
    name="headrace",
    help="Run language models at the speed of memory: each is compiled into one streaming program.",
    help_epilogue='Start with:  headrace run smollm2 "Why is the sky blue?"',
    version=_version,
    suppress_keyboard_interrupt=False,
)
app.command(
    "headrace.cli.run:run",
    help="""Answer a prompt, or chat.

    The first run of a model downloads and compiles it; from then on it starts at once. The answer
    goes to stdout, its speed and everything else to stderr. Ctrl-C stops the answer.
    """,
    help_epilogue="""Examples:

- `headrace run` chats with smollm2; Ctrl-D leaves.
- `headrace run smollm2 "Why is the sky blue?"` answers and ends.
- `git diff | headrace run smollm2` reads the prompt from stdin.
- `headrace run model.gguf "Once upon a time" --raw --temperature 0.8` continues a text.
- `headrace run path/to/hugging-face-model "Hello" --threads 2 --max-tokens 100`
""",
)
app.command(
    "headrace.cli.serve:serve",
    help="""Serve models behind an OpenAI-compatible API, until Ctrl-C or SIGTERM.

    Every option can also be a variable (HEADRACE_PORT) or a line of headrace.toml (port = 8000);
    the command line comes first, then variables, then the file.
    """,
    help_epilogue="""Examples:

- `headrace serve smollm2` serves this machine at http://127.0.0.1:8000/v1, and a page at /.
- `headrace serve small=smollm2 large=model.gguf` serves two under these names.
- `headrace serve smollm2 --host 0.0.0.0 --api-key-file keys` serves others too.
- `headrace serve --print-config` shows all settings.
""",
)
app.command(
    "headrace.cli.models:pull",
    help="Fetch a model into the cache; nothing is loaded or compiled.",
    help_epilogue="""Examples:

- `headrace pull smollm2`
- `headrace pull HuggingFaceTB/SmolLM2-135M-Instruct`
- `headrace pull hf:owner/name@v1.0` takes a branch, tag or commit.
- `headrace pull owner/name:model-Q4_K_M.gguf` takes one GGUF file of a repository.
- `headrace pull random:llama-3.2-1b@q4_0` writes random weights at that model's shape.
""",
)
app.command(
    "headrace.cli.models:ls",
    help="List the models in the cache: size, format, compiled programs, packed weights.",
)
app.command(
    "headrace.cli.show:show",
    help="""Show what a model is; nothing is fetched, loaded or compiled.

    Its source and revision, architecture, parameters, context length, licence, the bytes of each
    storage format, and what was compiled and packed of it.
    """,
    help_epilogue="""Examples:

- `headrace show smollm2`
- `headrace show model-00001-of-00003.gguf` sums up all parts of a split model.
""",
)
app.command(
    "headrace.cli.models:rm",
    help="""Remove models from the cache, with what was compiled and packed of them.

    Of a file or directory elsewhere only the compiled and packed parts go.
    """,
    help_epilogue="""Examples:

- `headrace rm smollm2`
- `headrace rm model.gguf` frees what was compiled of it; the file stays.
""",
)
app.command(
    "headrace.cli.quantize:quantize",
    help="""Write a model with its matrices in 4 or 8 bits, or in plain floats.

    A GGUF file becomes a GGUF file, a directory a directory in the form of compressed-tensors. What
    is written loads as the source does with the same --weights, and faster.
    """,
    help_epilogue="""Examples:

- `headrace quantize path/to/hugging-face-model path/to/new-directory --weights q4`
- `headrace quantize model-bf16.gguf model-q8.gguf --weights q8`
""",
)
app.command(
    "headrace.cli.explain:explain",
    help="""Show how a model runs on this machine.

    One row for each stage: what is fused in it, the bytes it reads, how workers share it, whom it
    waits for, and its part of a step's time, predicted and measured.
    """,
    help_epilogue="""Examples:

- `headrace explain smollm2`
- `headrace explain smollm2 --graph smollm2.svg` draws the decoder as a dataflow graph.
- `headrace explain smollm2 --ir mapped` prints the program with stages, shards and token edges.
- `headrace explain random:llama-3.2-1b@q4_0 --no-measure` only predicts.
""",
)
app.command(
    "headrace.cli.bench:bench",
    help="""Measure a model's speed, by turns with a pure read of the same bytes.

    `decode.roofline_fraction` is the time of that read over the time of the step: 1 would be the
    speed of memory. Figures are medians; --json has minimum and maximum too.
    """,
    help_epilogue="""Examples:

- `headrace bench smollm2`
- `headrace bench smollm2 --threads 2 --json`
- `headrace bench model.gguf --peers` measures llama.cpp on the same file, in alternation.
- `headrace bench --suite` runs a table of workloads against every engine that is installed.
- `headrace bench --suite --only decode-smollm2 --against llama.cpp` measures one again.
""",
)
app.command(
    "headrace.cli.doctor:doctor",
    help="""Look at this machine: cores allowed, instruction set, caches, memory, read bandwidth.

    Ends with advice on what would make it faster.
    """,
)
