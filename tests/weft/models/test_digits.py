"""The committed digit reader: small, accurate in the fused reference, and reproducible."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from weft.models import digits_heldout, digits_onnx

HELDOUT = 364


def test_files_are_small():
    assert len(digits_onnx()) < 200_000


def test_heldout_is_stratified():
    images, labels = digits_heldout()
    assert images.shape == (HELDOUT, 1, 8, 8)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    counts = np.bincount(labels, minlength=10)
    assert counts.sum() == HELDOUT
    assert set(counts) <= {35, 36, 37}


def test_reference_accuracy():
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the reference extra (onnxruntime)")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(digits_onnx(), options, providers=["CPUExecutionProvider"])
    images, labels = digits_heldout()
    (logits,) = session.run(None, {"image": images})
    assert (logits.argmax(1) == labels).mean() >= 0.97


def test_heldout_images_are_not_trained_on():
    pytest.importorskip("sklearn", reason="needs the train extra (scikit-learn)")
    from weft.models.train_digits import load_split, scale_pixels

    split = load_split()
    images, labels = digits_heldout()
    assert np.array_equal(scale_pixels(split.heldout_images), images)
    assert np.array_equal(split.heldout_labels, labels)
    training = {image.tobytes() for image in split.train_images}
    assert not [k for k, image in enumerate(split.heldout_images) if image.tobytes() in training]
    assert len(split.train_images) + HELDOUT == 1797


@pytest.mark.slow
def test_training_twice_writes_the_same_bytes(tmp_path: Path):
    pytest.importorskip("sklearn", reason="needs the train extra (scikit-learn)")
    pytest.importorskip("onnxruntime", reason="needs the reference extra (onnxruntime)")
    from weft.models.train_digits import write_files

    digests = []
    for name in ("first", "second"):
        directory = tmp_path / name
        directory.mkdir()
        write_files(directory)
        digests.append({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in directory.iterdir()})
    assert digests[0].keys() == {"digits.onnx", "digits_heldout.npz"}
    assert digests[0] == digests[1]
