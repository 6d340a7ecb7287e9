"""What docs/families.md says of architectures beyond the matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.errors import UnsupportedModelError
from tests.families.catalogue import Family
from tests.families.matrix import loaded, native_logits, reference_logits
from tests.families.others import REFUSED, WORKING, Refused


@pytest.mark.slow
@pytest.mark.parametrize("family", WORKING, ids=lambda family: family.name)
def test_it_works(family: Family, tmp_path: Path) -> None:
    with loaded(family, tmp_path) as model:
        found, expected = native_logits(model, "f32"), reference_logits(model, "f32")
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.family.name)
def test_it_is_refused_with_a_reason(refused: Refused, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError) as caught, loaded(refused.family, tmp_path):
        pass
    assert refused.message in str(caught.value)
