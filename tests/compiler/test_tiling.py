from weft_compiler.tiling import even_splits


def test_even_splits_shrink_and_waste_nothing():
    for extent in range(1, 200):
        sizes = even_splits(extent)
        assert sizes == sorted({-(-extent // count) for count in range(1, extent + 1)}, reverse=True)
