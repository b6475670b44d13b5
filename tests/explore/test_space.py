"""Spaces: what a file may say, and which designs it means."""

import pytest
from weft_explore.errors import ExploreError
from weft_explore.space import load_space, parse_space
from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import ConfigError
from weft_hardware.presets import PRESETS


def test_a_space_has_the_designs_that_can_be_built():
    space = parse_space("""
        base = "pynq"
        [space]
        block_in = [8, 16]
        block_out = { same = "block_in" }
        epilogue_lanes = [0, 4, 16]
        inp_depth = { low = 512, high = 4096, log = true, step = 4 }
        acc_depth = { low = 512, high = 1024, step = 256 }
        table = false
        packed = [true, false]
    """)
    assert space.choices() == {
        "block_in": [8, 16],
        "block_out": [8, 16],
        "epilogue_lanes": [0, 4, 16],
        "inp_depth": [512, 2048],
        "acc_depth": [512, 768, 1024],
        "table": [False],
        "packed": [True, False],
    }
    assert space.size == 2 * 3 * 2 * 3 * 2
    designs = list(space.designs())
    # Without lanes there is no residual, which the base has; 16 lanes do not fit 8 channels.
    assert {(d.config.block_in, d.config.epilogue_lanes) for d in designs} == {(8, 4), (16, 4), (16, 16)}
    assert len(designs) == len({d.digest for d in designs}) == 3 * 2 * 3 * 2
    assert {d.config.max_burst for d in designs} == {PRESETS["pynq"].max_burst}


def test_every_field_of_a_configuration_may_be_chosen():
    values = AcceleratorConfig().to_dict()
    lines = [f"{name} = {str(value).lower()}" for name, value in values.items()]
    space = parse_space("[space]\n" + "\n".join(lines))
    assert next(space.designs()).config == AcceleratorConfig()


def test_a_base_may_be_a_file_beside_the_space(tmp_path):
    (tmp_path / "mine.toml").write_text("inp_depth = 100\n")
    (tmp_path / "space.toml").write_text('base = "mine.toml"\n[space]\nacc_depth = [64]\n')
    assert load_space(tmp_path / "space.toml").base.inp_depth == 100


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("base = 3\n[space]\nbatch = 1", "base = 3 is no name; give a preset's or a file's"),
        ("[space]", "the table [space] is missing or empty; give a field and its choices in it"),
        (
            "bas = 'vta'\n[space]\nbatch = 1",
            "'bas' is not part of a space (did you mean 'base'?); it has base, space and schedules",
        ),
        (
            "[space]\nbatch = 1\n[schedules]\nseeds = 3",
            "schedules = { seeds = 3 } is not understood; write [schedules] and trials = 16 below it",
        ),
        (
            "[space]\nbatch = 1\n[schedules]\ntrials = true",
            "schedules.trials = true is no whole number from 0 up; give one",
        ),
        ("[space]\nblock_in = []", "block_in = [] leaves nothing to choose; give a value, or leave the field out"),
        ("[space]\nblock_in = [8, 16, 8]", "block_in has 8 twice; leave one out"),
        ("[space]\nblock_in = [8, 7]", "block_in = 7 cannot be built; choose one of 4, 8, 16, 32, 64"),
        ("[space]\ntable = [1]", "table = 1 is not true or false; change its type"),
        ("[space]\npacked = 'yes'", 'packed = "yes" is not true or false; change its type'),
        (
            "[space]\nblock_out = { same = 'block_in' }",
            'block_out = { same = "block_in" } must name one field that has choices in this space; '
            'write for example block_out = { same = "block_in" }',
        ),
        (
            "[space]\ninp_depth = { low = 8, high = 4 }",
            "inp_depth = { low = 8, high = 4 }: low exceeds high; exchange them",
        ),
        (
            "[space]\ninp_depth = { low = 8, high = 64, step = 0 }",
            "inp_depth = { low = 8, high = 64, step = 0 }: the range never ends; make step at least 1",
        ),
        (
            "[space]\ninp_depth = { low = 8, high = 64, step = 1, log = true }",
            "inp_depth = { low = 8, high = 64, step = 1, log = true }: the range never ends; "
            "make low at least 1 and step at least 2",
        ),
        (
            "[space]\ninp_depth = { low = 8.5, high = 64 }",
            "inp_depth = { low = 8.5, high = 64 }: low must be a whole number; give one",
        ),
        (
            "[space]\ninp_depth = { low = 8, high = 64, lag = true }",
            "inp_depth = { low = 8, high = 64, lag = true }: 'lag' is not part of a range (did you mean 'log'?); "
            "it has low, high, step, log",
        ),
        (
            "[space]\ninp_depth = { low = 4, high = 60000 }",
            "inp_depth has 1025 choices, more than 1024; take a larger step",
        ),
        (
            "[space]\nepilogue_lanes = [32, 64]",
            "none of its 2 combinations can be built: epilogue_lanes = 32 exceeds block_out = 16; choose fewer lanes",
        ),
        (  # more combinations than anybody can look at
            "[space]\nepilogue_lanes = 32\ninp_depth = { low = 4, high = 999 }\nacc_depth = { low = 4, high = 999 }\n"
            "wgt_depth = { low = 4, high = 999 }",
            "none of 8192 of its 988047936 combinations can be built: epilogue_lanes = 32 exceeds block_out = 16; "
            "choose fewer lanes",
        ),
        (
            f"base = '{'x' * 5000}'\n[space]\nbatch = 1",
            f"base = '{'x' * 40}'… is no name; give a preset's or a file's",
        ),
    ],
)
def test_a_bad_space_is_refused_in_one_sentence(text, sentence):
    with pytest.raises((ExploreError, ConfigError)) as caught:
        parse_space(text)
    assert str(caught.value) == sentence


def test_a_file_that_is_no_space_is_named(tmp_path):
    path = tmp_path / "space.toml"
    with pytest.raises(ExploreError, match="cannot be read: No such file or directory; check its path"):
        load_space(path)
    path.write_text("[space]\nbatch = 3\n")
    with pytest.raises(ExploreError) as caught:
        load_space(path)
    assert str(caught.value) == f"space '{path}': batch = 3 cannot be built; choose one of 1, 2, 4, 8, 16"
