"""What is made of one kind is never mixed with what is made of another."""

import pytest

from features.common.errors import ConfigError
from features.common.publish import EVALUATION, FEATURES, RUN, check_writable

MARKS = {
    "features.json": FEATURES,
    "train/00000.h5": FEATURES,
    "00000.h5": "a split of features",
    "recipe.toml": RUN,
    "scores.json": EVALUATION,
    "report.json": "a report",
}


@pytest.mark.parametrize("kind", [FEATURES, RUN, EVALUATION])
@pytest.mark.parametrize("mark", MARKS)
def test_a_folder_of_another_kind_is_refused_and_one_that_holds_both_is_gone_on_with(
    mark, kind, tmp_path
):
    check_writable(tmp_path / "new", kind)
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).touch()
    check_writable(tmp_path)
    if kind == MARKS[mark]:
        check_writable(tmp_path, kind)
        return
    with pytest.raises(ConfigError, match=f"holds {MARKS[mark]} .*, with which {kind} would be"):
        check_writable(tmp_path, kind)
    (tmp_path / next(name for name in MARKS if MARKS[name] == kind)).touch()
    check_writable(tmp_path, kind)
