from hypothesis import given, settings
from hypothesis import strategies as st
from weft_compiler.memory import Lifetime, place_lifetimes

LIVES = st.lists(
    st.builds(
        lambda nbytes, first, length: Lifetime(nbytes, first, first + length),
        st.integers(0, 500),
        st.integers(0, 12),
        st.integers(0, 6),
    ),
    max_size=14,
)


@settings(max_examples=200, deadline=None)
@given(LIVES, st.integers(0, 300))
def test_no_two_that_meet_overlap(lives: list[Lifetime], start: int) -> None:
    offsets, end = place_lifetimes(lives, 64, start)
    assert end % 64 == 0
    for a, (life, offset) in enumerate(zip(lives, offsets, strict=True)):
        assert offset % 64 == 0
        assert start <= offset
        assert offset + life.nbytes <= end
        for other, place in list(zip(lives, offsets, strict=True))[:a]:
            meet = life.first <= other.last and other.first <= life.last
            assert not meet or offset + life.nbytes <= place or place + other.nbytes <= offset


def test_lifetimes_that_do_not_meet_share() -> None:
    lives = [Lifetime(100, 0, 1), Lifetime(100, 2, 3), Lifetime(50, 1, 2)]
    assert place_lifetimes(lives, 64) == ([0, 0, 128], 192)
