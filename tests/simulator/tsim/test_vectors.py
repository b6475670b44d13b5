"""How a verilated model is written so that the compiler makes vector code of it."""

from weft_simulator.tsim.vectors import in_order, vectorisable


def test_a_whole_byte_of_a_wide_value_is_selected_as_such():
    assert vectorisable("x = (0x000000ffU & VL_SEL_IWII(2048, vlSelfRef.wgt, 0x00000018U, 8));") == (
        "x = weft_byte(vlSelfRef.wgt.data(), 3);"
    )


def test_bits_that_are_no_whole_byte_stay_as_they_are():
    for text in (
        "x = (0x000000ffU & VL_SEL_IWII(2048, vlSelfRef.wgt, 0x00000019U, 8));",
        "x = (0x0000000fU & VL_SEL_IWII(2048, vlSelfRef.wgt, 0x00000018U, 4));",
        "x = (0x000000ffU & VL_SEL_IIII(32, vlSelfRef.wgt, 8U, 8));",
    ):
        assert vectorisable(text) == text


def test_signs_are_extended_from_the_types_that_have_them():
    assert vectorisable("x = VL_EXTENDS_II(16,8, y);") == "x = weft_extend<int8_t, IData>(y);"
    assert vectorisable("x = VL_EXTENDS_QI(33,16, y);") == "x = weft_extend<int16_t, QData>(y);"
    assert vectorisable("x = VL_EXTENDS_II(16,7, y);") == "x = VL_EXTENDS_II(16,7, y);"


def test_neighbours_of_equal_type_are_in_the_order_of_their_numbers():
    lines = ["SData/*15:0*/ p_0;", "SData/*15:0*/ p_10;", "SData/*15:0*/ p_2;", "CData/*7:0*/ b;", "CData/*7:0*/ a;"]
    others = ["struct {", "VlWide<4>/*127:0*/ z;", "VlWide<4>/*127:0*/ y;", "};"]

    def text(*lines: str) -> str:
        return "".join(f"    {line}\n" for line in lines)

    assert in_order(text(*others[:1], *lines, *others[1:])) == text(
        others[0], lines[0], lines[2], lines[1], lines[4], lines[3], *others[1:]
    )
