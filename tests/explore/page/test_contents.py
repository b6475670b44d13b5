"""What the page embeds of an exploration, and directories that hold none."""

import json
from copy import deepcopy

import pytest
from support.explorations import exploration
from weft_explore.page.contents import PageError, condensed, read_exploration

FOUND = exploration(20, 3)


def test_fields_that_all_share_are_told_once():
    page = condensed(FOUND)
    assert page["fixed"]["command_queue_depth"] == 512
    assert "packed" in page["fields"]
    for design, told in zip(FOUND["designs"], page["designs"], strict=True):
        config = page["fixed"] | dict(zip(page["fields"], told["config"], strict=True))
        assert config == design["config"] | {"packed": design["packed"]}


def test_hypervolume_of_what_is_done():
    content = deepcopy(FOUND)
    content["objectives"] = [
        {"name": "cycles", "unit": "cycles", "goal": "min"},
        {"name": "fmax", "unit": "MHz", "goal": "max"},
    ]
    content["reference_point"] = [10, 0]
    values = [("done", 4, 50), ("failed", 1, 90), ("infeasible", 1, 90), ("done", 5, 100), ("done", 1, "unknown")]
    content["designs"] = [
        {**design, "state": state, "values": {"cycles": cycles, "fmax": fmax}}
        for design, (state, cycles, fmax) in zip(content["designs"], values, strict=False)
    ]
    assert condensed(content)["hypervolumes"] == [300, 300, 300, 550, 550]
    assert condensed(content | {"reference_point": None})["hypervolumes"] is None


def test_a_directory_without_an_exploration(tmp_path):
    path = tmp_path / "exploration.json"
    with pytest.raises(PageError) as error:
        read_exploration(tmp_path)
    assert str(error.value) == (
        f"file '{path}' cannot be read: No such file or directory; give a directory that `weft explore` wrote"
    )
    path.write_text('{"version": 1')
    with pytest.raises(PageError, match=r"^file '.*' is damaged \(.*\); run `weft explore` on the directory again$"):
        read_exploration(tmp_path)
    path.write_text(json.dumps({"version": 2}))
    with pytest.raises(PageError) as error:
        read_exploration(tmp_path)
    assert str(error.value) == (
        f"file '{path}' is of version 2, this is Weft for version 1; use the Weft that wrote it"
    )


def test_a_part_is_missing():
    content = deepcopy(FOUND)
    del content["designs"][3]["state"]
    with pytest.raises(PageError) as error:
        condensed(content)
    assert str(error.value) == (
        "the exploration is damaged (KeyError('state')); run `weft explore` on its directory again"
    )
