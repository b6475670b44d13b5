"""Operations of `qgraph` that pick and place elements of any type; reshape and transpose are in `qgraph`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, FloatAttr, IntegerAttr, TensorType
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, prop_def, var_operand_def
from xdsl.utils.exceptions import VerifyException

from .qgraph import OneTensorOp, TensorOp, dtype_of, integer, integers, ints, number, shape_of, tensor_type


@irdl_op_definition
class ConcatOp(TensorOp):
    """Tensors one after another along an axis."""

    name = "qgraph.concat"
    parts = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr)

    def __init__(self, parts: Sequence[SSAValue], axis: int):
        first = shape_of(parts[0])
        shape = (*first[:axis], sum(shape_of(part)[axis] for part in parts), *first[axis + 1 :])
        y = tensor_type(shape, dtype_of(parts[0]))
        super().__init__(operands=[parts], properties={"axis": integer(axis)}, result_types=[y])

    def verify_(self) -> None:
        axis = self.axis.value.data
        if len({shape_of(p)[:axis] + shape_of(p)[axis + 1 :] for p in self.parts}) != 1:
            raise VerifyException(f"{', '.join(str(shape_of(p)) for p in self.parts)} differ beside axis {axis}")
        if len({dtype_of(p) for p in self.parts}) != 1:
            raise VerifyException("the parts have different types")


@irdl_op_definition
class SliceOp(OneTensorOp):
    """``y[i, …] = x[starts[0] + i · steps[0], …]``; steps may be negative."""

    name = "qgraph.slice"
    starts = prop_def(DenseArrayBase)
    steps = prop_def(DenseArrayBase)

    def __init__(self, x: SSAValue, starts: Sequence[int], steps: Sequence[int], shape: Sequence[int]):
        properties = {"starts": integers(starts), "steps": integers(steps)}
        super().__init__(operands=[x], properties=properties, result_types=[tensor_type(shape, dtype_of(x))])

    def verify_(self) -> None:
        for size, count, first, step in zip(
            shape_of(self.x), shape_of(self.y), ints(self.starts), ints(self.steps), strict=True
        ):
            if not 0 <= first < size or not 0 <= first + (count - 1) * step < size:
                raise VerifyException(f"a slice of {count} from {first} by {step} leaves {size} elements")


@irdl_op_definition
class GatherOp(OneTensorOp):
    """``y[…, k, …] = x[…, indices[k], …]`` along one axis."""

    name = "qgraph.gather"
    axis = prop_def(IntegerAttr)
    indices = prop_def(DenseArrayBase)

    def __init__(self, x: SSAValue, axis: int, indices: Sequence[int]):
        shape = shape_of(x)
        y = tensor_type((*shape[:axis], len(indices), *shape[axis + 1 :]), dtype_of(x))
        properties = {"axis": integer(axis), "indices": integers(indices)}
        super().__init__(operands=[x], properties=properties, result_types=[y])

    def verify_(self) -> None:
        indices, size = np.asarray(ints(self.indices)), shape_of(self.x)[self.axis.value.data]
        if indices.min() < 0 or indices.max() >= size:
            raise VerifyException(f"indices {indices.min()}..{indices.max()} leave {size} elements")


@irdl_op_definition
class PadOp(OneTensorOp):
    """x with a value around it: ``pads`` at the beginning of every axis, then at every end."""

    name = "qgraph.pad"
    pads = prop_def(DenseArrayBase)
    value = prop_def(FloatAttr)

    def __init__(self, x: SSAValue, pads: Sequence[int], value: float):
        shape, rank = shape_of(x), len(shape_of(x))
        y = tensor_type([n + pads[k] + pads[rank + k] for k, n in enumerate(shape)], dtype_of(x))
        properties = {"pads": integers(pads), "value": number(value)}
        super().__init__(operands=[x], properties=properties, result_types=[y])

    def verify_(self) -> None:
        if min(ints(self.pads)) < 0:
            raise VerifyException(f"pads {ints(self.pads)} must not be negative")


@irdl_op_definition
class BroadcastOp(OneTensorOp):
    """x repeated along the axes where its size is 1 or that it lacks."""

    name = "qgraph.broadcast"

    def __init__(self, x: SSAValue, shape: Sequence[int]):
        super().__init__(operands=[x], result_types=[tensor_type(shape, dtype_of(x))])

    def verify_(self) -> None:
        if np.broadcast_shapes(shape_of(self.x), shape_of(self.y)) != shape_of(self.y):
            raise VerifyException(f"{shape_of(self.x)} does not broadcast to {shape_of(self.y)}")
