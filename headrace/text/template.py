"""Chat templates, rendered in a sandbox.

A template comes with the model file and is not trusted. MiniJinja gives it no Python object to
reach through, no file to include and a budget of steps; what it sees is plain JSON data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from headrace.errors import TemplateError

if TYPE_CHECKING:
    import minijinja

Message = Mapping[str, Any]

FUEL = 5_000_000  # instructions; a long conversation takes thousands
# transformers' own block, which marks the answers for training and prints as it stands.
GENERATION_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template's source, and the special tokens that it knows by name."""

    source: str
    special_tokens: Mapping[str, str]

    @staticmethod
    def of(source: str | None, special_tokens: Mapping[str, str]) -> ChatTemplate:
        """The template, if there is one.

        Raises:
            TemplateError: there is none.
        """
        if source is None:
            raise TemplateError(
                "the model has no chat template",
                hint="--raw gives it the prompt as it stands, without a conversation around it",
            )
        return ChatTemplate(source, special_tokens)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> str:
        """The conversation as the model was trained to read it.

        Args:
            messages: {"role": ..., "content": ...} each, oldest first; JSON values only.
            add_generation_prompt: end with the opening of the assistant's turn.
            variables: what else the template may use, such as `tools` or `enable_thinking`.

        Raises:
            TemplateError: the template is malformed, refuses the messages or exceeds its budget.
        """
        import minijinja

        values = {
            "tools": None,
            "documents": None,
            **self.special_tokens,
            **variables,
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
        }
        source = GENERATION_TAG.sub(_as_condition, self.source)
        try:
            return _environment().render_str(source, "chat template", **_plain(values))
        except minijinja.TemplateError as error:
            raise _typed(error) from error


def _environment() -> minijinja.Environment:
    import minijinja

    return minijinja.Environment(
        fuel=FUEL,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_escape_callback=lambda _: False,
        globals={"raise_exception": _raise_exception, "strftime_now": _strftime_now},
        filters={"tojson": _to_json},
        tests={"iterable": _is_iterable},
        debug=False,
    )


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    """A copy of the values as plain data, so that the template reaches no object of ours."""
    try:
        return json.loads(json.dumps(values))
    except (TypeError, ValueError, RecursionError) as error:
        raise TemplateError(
            f"the messages are not plain data: {error}",
            hint="give texts, numbers, lists and dicts with text keys",
        ) from error


def _typed(error: minijinja.TemplateError) -> TemplateError:
    where = "chat template" if error.line is None else f"chat template, line {error.line}"
    hint = "--raw gives the model the prompt as it stands, without the template"
    if error.kind == "OutOfFuel":
        return TemplateError(f"the template takes more than {FUEL} steps", where=where, hint=hint)
    return TemplateError(f"the template fails: {error.message}", where=where, hint=hint)


def _as_condition(tag: re.Match[str]) -> str:
    return f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}"


def _raise_exception(message: object) -> NoReturn:
    """What templates call to refuse a conversation."""
    import minijinja

    raise minijinja.TemplateError(str(message))


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _is_iterable(value: object) -> bool:
    """As Jinja has it; MiniJinja counts None in, which templates use to ask for tools."""
    return isinstance(value, str | list | tuple | dict)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers writes JSON in templates: with no HTML escapes."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
