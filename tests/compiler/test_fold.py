"""Windows of pixels as channels: the same sums, and chosen where they take fewer cycles."""

import random
from dataclasses import replace

import numpy as np
import pytest
from support.convolution import convolve, random_task
from weft_compiler.conv_task import ConvTask, Fold
from weft_compiler.fold import choose_fold, fold_weights, folded
from weft_compiler.tiling_search import choose_tiling
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import VTA

SMALL = AcceleratorConfig(block_in=4, block_out=4)
STEM = ConvTask(ic=1, oc=4, ih=224, iw=224, kh=7, kw=7, stride=(2, 2), pads=(3, 3, 3, 3))


def fold_image(image: np.ndarray, fold: Fold, height: int, width: int) -> np.ndarray:
    """What `Fold` says of a padded image (C, H, W), pixel by pixel; beyond it lies what no tap reads."""
    channels = image.shape[0]
    result = np.zeros((channels, *fold.window, height, width), image.dtype)
    wide = np.pad(image, ((0, 0), (0, 99), (0, 99)))
    for i in range(fold.window[0]):
        for j in range(fold.window[1]):
            top, left = i * fold.dilation[0], j * fold.dilation[1]
            rows = slice(top, top + height * fold.pitch[0], fold.pitch[0])
            columns = slice(left, left + width * fold.pitch[1], fold.pitch[1])
            result[:, i, j] = wide[:, rows, columns]
    return result.reshape(-1, height, width)


def tiles(values: np.ndarray) -> np.ndarray:
    """(…, C, H, W) in blocks of four channels: (blocks, H, W, …, 4)."""
    *outer, channels, height, width = values.shape
    padded = np.zeros((*outer, -(-channels // 4) * 4, height, width), values.dtype)
    padded[..., :channels, :, :] = values
    blocks = padded.reshape(*(outer or [1]), -1, 4, height, width)
    return blocks.transpose(1, 3, 4, 0, 2)


def random_fold(rng: random.Random, task: ConvTask) -> Fold:
    pairs = []
    for kernel, stride, dilation in zip((task.kh, task.kw), task.stride, task.dilation, strict=True):
        pitch = rng.choice([p for p in range(1, stride + 1) if stride % p == 0])
        windows = [w for w in range(1, kernel + 1) if w == kernel or w * dilation % pitch == 0]
        pairs.append((pitch, rng.choice(windows)))
    (top, height), (left, width) = pairs
    return Fold((top, left), (height, width), task.dilation)


@pytest.mark.parametrize("seed", range(30))
def test_a_folded_convolution_has_the_same_sums(seed):
    print(f"seed {seed}")
    rng, data = random.Random(seed), np.random.default_rng(seed)
    channels = rng.randint(1, 3)
    task = replace(random_task(rng), n=1, ic=1, oc=1)
    fold = random_fold(rng, task)
    x = data.integers(-128, 128, (channels, task.ih, task.iw))
    weights = data.integers(-128, 128, (4, channels, task.kh, task.kw))
    top, left, bottom, right = task.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    made = folded(task, channels, fold, SMALL)
    assert (made.oh, made.ow, made.pads) == (task.oh, task.ow, (0, 0, 0, 0))
    image = fold_image(padded, fold, made.ih, made.iw)
    got = convolve(made, tiles(image)[None], tiles(fold_weights(weights, fold))[None])
    assert np.array_equal(got, convolve(task, tiles(x)[None], tiles(weights)[None]))


def test_the_stem_of_resnet_folds_all_its_taps():
    found = choose_fold(STEM, 3, VTA)
    assert found is not None
    fold, task = found
    assert (fold.pitch, fold.window) == ((2, 2), (7, 7))
    # 147 channels of 160, where 3 of 16 were.
    assert (task.ic, task.kh, task.kw, task.macs) == (10, 1, 1, 10 * 4 * 112 * 112)
    assert choose_tiling(task, VTA).cycles < choose_tiling(STEM, VTA).cycles / 4


def test_full_blocks_and_kernels_of_one_tap_are_left_alone():
    assert choose_fold(STEM, 16, VTA) is None
    assert choose_fold(ConvTask(ic=1, oc=4, ih=64, iw=64, kh=1, kw=1), 3, VTA) is None


def test_where_stores_take_the_longest_the_smaller_image_wins():
    task = ConvTask(ic=1, oc=1, ih=32, iw=32, kh=2, kw=2, stride=(2, 2))
    found = choose_fold(task, 3, VTA)
    assert found is not None
    assert found[0] == Fold((2, 2), (2, 2), (1, 1))
    assert (found[1].ih, found[1].iw, found[1].stride) == (16, 16, (1, 1))
