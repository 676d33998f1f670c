"""The score of a run of mutmut."""

import json
from collections import Counter

from tests.mutants.score import outcomes, read_equivalents, score


def test_survivors_and_untested_mutants_lower_the_score(tmp_path):
    """Equivalent mutants and those that did not run do not count; a timeout kills."""
    codes = {"a_1": 1, "a_2": 0, "a_3": 33, "a_4": None, "a_5": -24, "b_1": 0}
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms/hall.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    equivalent = tmp_path / "equivalent.txt"
    equivalent.write_text("# why\n\nb_* # the same\n")
    found = outcomes(tmp_path, read_equivalents(equivalent))
    assert found == {"rooms/hall.py": Counter(killed=2, survived=1, untested=1)}
    assert score(found["rooms/hall.py"]) == 0.5
    assert score(Counter()) == 1
