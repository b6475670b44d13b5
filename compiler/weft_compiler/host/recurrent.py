"""Host kernel of recurrent layers: LSTM, GRU and plain tanh cells, one step after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.dialects import math
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects import floats, qgraph
from .builder import HostFunction, Index

State = Callable[[Index], SSAValue]
"""One element of the state before a step."""


class _Layer:
    """The loops of one layer; buffers: x, w, r, bias, h, c where there is one, y.

    ``y`` holds the hidden state of every step in its first half, which the next step reads; the second half is an
    LSTM's cell state, and a GRU's product of reset gate and hidden state.
    """

    def __init__(self, op: floats.RecurrentOp, name: str):
        self.op = op
        self.steps, self.batch, self.inputs = qgraph.shape_of(op.x)
        self.directions, _, self.hidden = qgraph.shape_of(op.r)
        self.f = HostFunction(name, [(qgraph.shape_of(v), np.float32) for v in (*op.operands, op.y)])
        self.x, self.w, self.r, self.bias, self.h, *_ = self.f.buffers
        self.c, self.y = self.f.buffers[-2], self.f.buffers[-1]
        self.gates = qgraph.shape_of(op.r)[1] // self.hidden

    def function(self) -> FuncOp:
        step = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self.op.cell.data]
        for direction in range(self.directions):
            backwards = self.op.direction.data == "reverse" or direction == 1
            self._direction(step, direction, backwards)
        return self.f.finish()

    def _direction(self, step: Callable[..., None], d: int, backwards: bool) -> None:
        f, last = self.f, self.steps - 1

        def first(n: SSAValue) -> None:
            step(
                d, last if backwards else 0, n, lambda k: f.load(self.h, [d, n, k]), lambda k: f.load(self.c, [d, n, k])
            )

        def later(k: SSAValue) -> None:
            t = f.sub(f.at(last - 1), k) if backwards else f.add(k, 1)
            before = f.add(t, 1) if backwards else k

            def one(n: SSAValue) -> None:
                at: list[Index] = [before, d, n]
                step(
                    d,
                    t,
                    n,
                    lambda j: f.load(self.y, [*at, j]),
                    lambda j: f.load(self.y, [*at, f.add(j, self.hidden)]),
                )

            f.loop(self.batch, one)

        f.loop(self.batch, first)
        if last:
            f.loop(last, later)

    def _dot(
        self, count: int, start: SSAValue, weights: SSAValue, at: Sequence[Index], value: Callable[[SSAValue], SSAValue]
    ) -> SSAValue:
        """``start + Σ weights[at, k] · value(k)``."""
        f = self.f
        (total,) = f.loop(count, lambda k, total: [f.plus(total, f.times(f.load(weights, [*at, k]), value(k)))], start)
        return total

    def _input(self, d: int, t: Index, n: SSAValue, row: SSAValue, both_biases: bool = True) -> SSAValue:
        """What the input gives a gate, biases included."""
        f = self.f
        start = f.load(self.bias, [d, row])
        if both_biases:
            start = f.plus(start, self._recurrent_bias(d, row))
        return self._dot(self.inputs, start, self.w, [d, row], lambda k: f.load(self.x, [t, n, k]))

    def _recurrent_bias(self, d: int, row: SSAValue) -> SSAValue:
        return self.f.load(self.bias, [d, self.f.add(row, self.gates * self.hidden)])

    def _row(self, gate: int, j: SSAValue) -> SSAValue:
        return self.f.add(j, gate * self.hidden)

    def _gate(self, d: int, t: Index, n: SSAValue, row: SSAValue, state: State) -> SSAValue:
        return self._dot(self.hidden, self._input(d, t, n, row), self.r, [d, row], state)

    def _sigmoid(self, value: SSAValue) -> SSAValue:
        f = self.f
        e = f.emit(math.ExpOp(f.times(value, f.float32(-1.0))))
        return f.over(f.float32(1.0), f.plus(e, f.float32(1.0)))

    def _tanh(self, value: SSAValue) -> SSAValue:
        return self.f.emit(math.TanhOp(value))

    def _rnn(self, d: int, t: Index, n: SSAValue, h: State, _: State) -> None:
        f = self.f

        def element(j: SSAValue) -> None:
            f.store(self._tanh(self._gate(d, t, n, j, h)), self.y, [t, d, n, j])

        f.loop(self.hidden, element)

    def _lstm(self, d: int, t: Index, n: SSAValue, h: State, c: State) -> None:
        """Gates in ONNX's order: input, output, forget, cell."""
        f = self.f

        def element(j: SSAValue) -> None:
            i, o, forget = (self._sigmoid(self._gate(d, t, n, self._row(g, j), h)) for g in range(3))
            new = self._tanh(self._gate(d, t, n, self._row(3, j), h))
            cell = f.plus(f.times(forget, c(j)), f.times(i, new))
            f.store(f.times(o, self._tanh(cell)), self.y, [t, d, n, j])
            f.store(cell, self.y, [t, d, n, f.add(j, self.hidden)])

        f.loop(self.hidden, element)

    def _gru(self, d: int, t: Index, n: SSAValue, h: State, _: State) -> None:
        """Gates in ONNX's order: update, reset, hidden."""
        f, linear = self.f, bool(self.op.linear_before_reset.value.data)

        def reset(j: SSAValue) -> None:
            gate = self._sigmoid(self._gate(d, t, n, self._row(1, j), h))
            f.store(gate if linear else f.times(gate, h(j)), self.y, [t, d, n, f.add(j, self.hidden)])

        def element(j: SSAValue) -> None:
            row = self._row(2, j)
            if linear:
                past = self._dot(self.hidden, self._recurrent_bias(d, row), self.r, [d, row], h)
                past = f.times(f.load(self.y, [t, d, n, f.add(j, self.hidden)]), past)
                new = f.plus(self._input(d, t, n, row, both_biases=False), past)
            else:
                new = self._dot(
                    self.hidden,
                    self._input(d, t, n, row),
                    self.r,
                    [d, row],
                    lambda k: f.load(self.y, [t, d, n, f.add(k, self.hidden)]),
                )
            update = self._sigmoid(self._gate(d, t, n, self._row(0, j), h))
            kept = f.times(f.minus(f.float32(1.0), update), self._tanh(new))
            f.store(f.plus(kept, f.times(update, h(j))), self.y, [t, d, n, j])

        f.loop(self.hidden, reset)
        f.loop(self.hidden, element)


def recurrent(op: floats.RecurrentOp, name: str) -> FuncOp:
    """Buffers: x, w, r, bias, initial h, initial c of an LSTM, y."""
    return _Layer(op, name).function()
