"""How a weight, named as in the PyTorch module, is found in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.row_view import Indices, JoinedViews, RowView, as_slice
from headrace.checkpoint.tensors import Checkpoint, StoredTensor
from headrace.errors import MalformedFileError, UnsupportedFormatError
from headrace.formats.storage import FORMATS

Views: TypeAlias = tuple[RowView | JoinedViews, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """A checkpoint's tensor and what is done to it: transpose, rows, add, flat, joined, in order.

    Attributes:
        tensor: its name in the file.
        rows: the rows wanted, one view after the other; of a 1-D tensor, its elements. Whole
            rows move, so quantised blocks stay as they are.
        add: a constant to add (Gemma's GGUF files hold 1 + w where the module wants w: -1.0).
        transpose: the file holds `[columns, rows]` (GPT-2's Conv1D).
        flat: a tensor of several dimensions is wanted as one (a norm per head).
        joined: what is bound behind it, along the first dimension (norms of single heads).
    """

    tensor: str
    rows: Views = ()
    add: float = 0.0
    transpose: bool = False
    flat: bool = False
    joined: tuple[Binding, ...] = ()

    @staticmethod
    def from_fields(fields: Mapping[str, Any]) -> Binding:
        """What `dataclasses.asdict` made a dictionary of, be it through JSON."""
        rest = dict(fields)
        rows = tuple(_view(each) for each in rest.pop("rows"))
        joined = tuple(Binding.from_fields(each) for each in rest.pop("joined"))
        return Binding(rows=rows, joined=joined, **rest)

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what is bound, without what is joined, from the stored tensor's."""
        shape = stored[::-1] if self.transpose else stored
        if self.rows:
            shape = (self.rows[-1].count, *shape[1:])
        return (int(np.prod(shape)),) if self.flat else shape

    def uses_all(self, stored: tuple[int, ...]) -> bool:
        """Whether the rows wanted end with the stored tensor's last one."""
        rows = stored[-1 if self.transpose else 0] if stored else 0
        return not self.rows or int(self.rows[0].indices().max()) == rows - 1

    def of(self, tensors: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """What is bound of tensors in memory; a view of one where that can be."""
        array = tensors[self.tensor]
        result = array.T if self.transpose else array
        for view in self.rows:
            result = result[as_slice(view.indices())]
        if self.add:
            result = result + np.float32(self.add)
        result = result.reshape(-1) if self.flat else result
        others = [each.of(tensors) for each in self.joined]
        return np.concatenate([result, *others]) if others else result

    def within(self, bindings: Mapping[str, Binding]) -> Binding:
        """This binding of parameters, which are bound themselves, as one of the checkpoint's."""
        joined = tuple(each.within(bindings) for each in self.joined)
        return replace(bindings[self.tensor].then(self), joined=joined)

    def then(self, view: Binding) -> Binding:
        """This binding of a parameter, and then `view` of that parameter (its name is ignored).

        Raises:
            UnsupportedFormatError: the parameter's rows are views of the file's, and the view
                transposes them.
        """
        if view.transpose and (self.rows or self.flat):
            raise UnsupportedFormatError(
                f"'{self.tensor}' is stored with its rows in another order, "
                f"and the model uses it transposed"
            )
        return replace(
            self,
            rows=self.rows + view.rows,
            add=self.add + view.add,
            transpose=self.transpose != view.transpose,
            flat=self.flat or view.flat,
        )


def _view(fields: Mapping[str, Any]) -> RowView | JoinedViews:
    if "views" in fields:
        return JoinedViews(tuple(_row_view(each) for each in fields["views"]))
    return _row_view(fields)


def _row_view(fields: Mapping[str, Any]) -> RowView:
    return RowView(fields["start"], tuple((count, stride) for count, stride in fields["dims"]))


def unpermuted(rows: int, heads: int) -> RowView:
    """Undoes llama.cpp's rotary layout: (heads, hd/2, 2) in the file → (heads, 2, hd/2).

    Raises:
        MalformedFileError: the rows do not divide into heads of an even size.
    """
    if heads < 1 or rows % (2 * heads):
        raise MalformedFileError(f"{rows} rows are not {heads} heads of an even size")
    head = rows // heads
    return RowView(0, ((heads, head), (2, 1), (head // 2, 2)))


def bind(checkpoint: Checkpoint, binding: Binding) -> StoredTensor:
    """The tensor as the PyTorch module means it.

    Raises:
        MalformedFileError: the tensor is missing or has fewer rows than are wanted.
        UnsupportedFormatError: a constant is to be added to a block format, or such a tensor is
            to be transposed or taken apart in its rows.
    """
    stored = checkpoint.tensor(binding.tensor)
    where = str(checkpoint.path)
    if binding.transpose:
        stored = _transposed(stored, binding.rows, where)
    elif binding.rows:
        stored = _rows(stored, binding.rows, where)
    if binding.add:
        stored = _add(stored, binding.add, where)
    if binding.flat:
        stored = _flat(stored, where)
    return _joined([stored, *(bind(checkpoint, each) for each in binding.joined)], where)


def _joined(parts: list[StoredTensor], where: str) -> StoredTensor:
    """Vectors, or rows, one behind the other, in the first one's format."""
    first, *others = parts
    if not others:
        return first
    if any(each.format != first.format or each.shape[1:] != first.shape[1:] for each in others):
        raise UnsupportedFormatError(
            f"tensor '{first.name}' is wanted together with others of another form", where=where
        )
    shape = (sum(each.shape[0] for each in parts), *first.shape[1:])
    axis = 0 if len(shape) > 1 else 1
    raw = np.concatenate([each.raw for each in parts], axis)
    return StoredTensor(first.name, first.format, shape, raw)


def _elements(stored: StoredTensor, why: str, where: str) -> NDArray[np.uint8]:
    """The bytes as `[*shape, bytes of an element]`."""
    if stored.format.block != 1:
        raise UnsupportedFormatError(
            f"tensor '{stored.name}' is stored as {stored.format.name} and {why}; "
            "only f32, f16 and bf16 can be",
            where=where,
        )
    return stored.raw.reshape(*stored.shape, stored.format.block_bytes)


def _transposed(stored: StoredTensor, views: Views, where: str) -> StoredTensor:
    if len(stored.shape) != 2:
        raise MalformedFileError(
            f"tensor '{stored.name}' has the shape {list(stored.shape)} and is to be transposed",
            where=where,
        )
    elements = _elements(stored, "is to be transposed", where)
    if views:
        elements = elements[:, _selected(stored.name, views, stored.shape[1], where)]
    columns, rows, size = elements.shape
    raw = np.ascontiguousarray(elements.swapaxes(0, 1)).reshape(rows, columns * size)
    return StoredTensor(stored.name, stored.format, (rows, columns), raw)


def _rows(stored: StoredTensor, views: Views, where: str) -> StoredTensor:
    if len(stored.shape) not in (1, 2):
        raise MalformedFileError(
            f"tensor '{stored.name}' has the shape {list(stored.shape)}, and rows of it are wanted",
            where=where,
        )
    total, *cols = stored.shape
    chosen = _selected(stored.name, views, total, where)
    if not cols:
        raw = _elements(stored, "is to be taken apart", where)[chosen]
        return StoredTensor(stored.name, stored.format, (len(raw),), raw.reshape(1, -1))
    if isinstance(chosen, slice) and not callable(stored.source):
        raw = stored.rows(chosen)
        return StoredTensor(stored.name, stored.format, (len(raw), *cols), raw)
    indices = np.arange(total)[chosen]
    shape = (len(indices), *cols)
    return StoredTensor(
        stored.name, stored.format, shape, lambda wanted: stored.rows(indices[wanted])
    )


def _selected(name: str, views: Views, rows: int, where: str) -> slice | NDArray[np.intp]:
    chosen: Indices = np.arange(rows)
    for view in views:
        wanted = view.indices()
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(chosen)):
            raise MalformedFileError(
                f"tensor '{name}' has {rows} rows, and the rows {view.text} of "
                f"{len(chosen)} are wanted",
                where=where,
            )
        chosen = chosen[wanted]
    return as_slice(chosen)


def _add(stored: StoredTensor, constant: float, where: str) -> StoredTensor:
    _elements(stored, f"{constant:+g} is to be added", where)
    values = stored.dequantise() + np.float32(constant)
    raw = FORMATS["f32"].quantise(values.reshape(len(stored.raw), -1))
    return StoredTensor(stored.name, FORMATS["f32"], stored.shape, raw)


def _flat(stored: StoredTensor, where: str) -> StoredTensor:
    elements = _elements(stored, "is wanted in one dimension", where)
    size = int(np.prod(stored.shape))
    return StoredTensor(stored.name, stored.format, (size,), elements.reshape(1, -1))
