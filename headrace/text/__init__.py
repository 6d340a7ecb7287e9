"""Everything between text and tokens: tokenizer, streaming decoder, chat template."""

from headrace.text.stream import TextStream
from headrace.text.template import ChatTemplate, Message
from headrace.text.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Message", "TextStream", "Tokenizer"]
