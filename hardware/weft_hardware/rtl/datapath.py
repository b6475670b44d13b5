"""The compute pipeline: operand reads, arithmetic, and the accumulator's read-modify-write with forwarding."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..latencies import ACC_READ_STAGE, DATAPATH_LATENCY
from .accumulators import Accumulators
from .alu import VectorAlu, addend_layout, control_layout, decode, far_layout, is_far, whole
from .gemm import MacArray, acc_tile_layout
from .scratchpad import MEMORY_LATENCY, Scratchpad
from .signatures import acc_read_port, scratchpad_write
from .steps import access_layout, operation_layout

_OPERAND_STAGE = MEMORY_LATENCY


def _elements(tile: data.View) -> list[Value]:
    return [element.as_unsigned() for row in tile for element in row]


class _Stage:
    """What one pipeline stage knows of its step: ``step`` is held while ``valid`` is low."""

    def __init__(self, config: AcceleratorConfig, number: int) -> None:
        layout = data.StructLayout(
            {
                "first": 1,
                "acc_index": config.acc_index_bits,
                "operation": operation_layout(),
                **({"overwrite": 1} if config.gemm_overwrite else {}),
            },
        )
        self.valid = Signal(name=f"valid{number}")
        self.multiply = Signal(name=f"multiply{number}")
        self.step = Signal(layout, name=f"step{number}", reset_less=True)


class Datapath(wiring.Component):
    """Executes one step a cycle, in order, without stalls and for every sequence of indices.

    ======  ==================================================================================
    stage   what happens
    ======  ==================================================================================
    0       ``valid``: the indices reach the inp and wgt scratchpads
    1       the scratchpads answer
    2       operands registered; the accumulator is read, as late as possible
    3       products registered; the accumulator's bank answers
    4       sums and accumulator registered; the result is computed
    5       the result, registered, is written
    ======  ==================================================================================

    A step sees every earlier one's result: the one before it as that is computed, the second before by overriding the
    bank's answer with stage 5's register, the third before (which was written while the bank was read) by a
    copy of it. Any older result lies in the bank. A register-register ALU step is two beats: the first
    (``access.first``) takes acc[src] through the same path, and the next must be its second.

    A GEMM with ``reset`` reads nothing, and a step that overwrites takes 0 for its accumulator. The store module reads
    accumulators whenever their bank is not read here. The write ports are for LOAD: ``write_acc`` only while ``busy``
    is low, and nobody may rely on a tile's value in an operation that runs while its LOAD writes it.

    Parameters
    ----------
    config : AcceleratorConfig
    packed_multipliers : bool
        See `gemm.MacArray`.

    Attributes
    ----------
    valid, access, operation : In
        One step.
    write_inp, write_wgt, write_acc : scratchpad_write
    store : acc_read_port
    busy : Out(1)
        A step issued before this cycle has not reached the accumulators yet.
    """

    def __init__(self, config: AcceleratorConfig, packed_multipliers: bool = False) -> None:
        self.config = config
        self.packed_multipliers = packed_multipliers
        super().__init__(
            {
                "valid": In(1),
                "access": In(access_layout(config)),
                "operation": In(operation_layout()),
                "write_inp": In(scratchpad_write(config.inp_index_bits, config.inp_tile_bits)),
                "write_wgt": In(scratchpad_write(config.wgt_index_bits, config.wgt_tile_bits)),
                "write_acc": In(scratchpad_write(config.acc_index_bits, config.acc_tile_bits)),
                "store": In(acc_read_port(config)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        stages = self._stages(m)
        sums = self._multiply(m, stages)
        self._accumulate(m, stages, sums)
        return m

    def _stages(self, m: Module) -> list[_Stage]:
        """What accompanies a step from stage 0 to stage 5, where it writes."""
        stages = [_Stage(self.config, k) for k in range(DATAPATH_LATENCY)]
        first = stages[0]
        if self.config.gemm_overwrite:
            m.d.comb += first.step.overwrite.eq(self.access.overwrite)
        m.d.comb += [
            first.valid.eq(self.valid),
            first.multiply.eq(self.valid & self.operation.gemm & ~self.operation.reset),
            first.step.first.eq(self.access.first),
            first.step.acc_index.eq(Mux(self.access.first, self.access.src, self.access.dst)),
            first.step.operation.eq(self.operation),
        ]
        for earlier, later in pairwise(stages):
            m.d.sync += [later.valid.eq(earlier.valid), later.multiply.eq(earlier.multiply)]
            with m.If(earlier.valid):
                m.d.sync += later.step.eq(earlier.step)
        m.d.comb += self.busy.eq(Cat(stage.valid for stage in stages[1:]).any())
        return stages

    def _multiply(self, m: Module, stages: list[_Stage]) -> data.View:
        config = self.config
        # The array registers its operands itself: a DSP block has registers for that.
        m.submodules.inp = inp = Scratchpad(config.inp_depth, config.inp_index_bits, config.inp_tile_bits, False)
        m.submodules.wgt = wgt = Scratchpad(config.wgt_depth, config.wgt_index_bits, config.wgt_tile_bits, False)
        m.submodules.macs = macs = MacArray(config, self.packed_multipliers)
        wiring.connect(m, wiring.flipped(self.write_inp), inp.write)
        wiring.connect(m, wiring.flipped(self.write_wgt), wgt.write)
        m.d.comb += [
            inp.read.enable.eq(stages[0].multiply),
            inp.read.index.eq(self.access.src),
            wgt.read.enable.eq(stages[0].multiply),
            wgt.read.index.eq(self.access.wgt),
            macs.valid.eq(stages[_OPERAND_STAGE].multiply),
            macs.inp.eq(inp.read.tile),
            macs.wgt.eq(wgt.read.tile),
        ]
        return macs.sums

    def _overwrites(self, stage: _Stage) -> Value:
        return stage.step.overwrite if self.config.gemm_overwrite else Const(0)

    def _accumulate(self, m: Module, stages: list[_Stage], sums: data.View) -> None:
        config = self.config
        tile = acc_tile_layout(config)
        read, answer, compute, write = stages[ACC_READ_STAGE:]
        m.submodules.accumulators = accumulators = Accumulators(config)
        wiring.connect(m, wiring.flipped(self.store), accumulators.store)

        # What a step computes; its two parts, registered; and their sum.
        computed, parts, result, late = (
            Signal(tile, name=n, reset_less=True) for n in ("computed", "parts", "result", "late")
        )
        computed_addends, addends = (
            Signal(addend_layout(config), name=n, reset_less=True) for n in ("computed_addends", "addends")
        )
        m.d.comb += result.eq(Cat(map(whole, _elements(parts), _elements(addends))))
        # Which bank is read, known a stage ahead.
        reads, reads_upper, before = Signal(), Signal(), stages[ACC_READ_STAGE - 1]
        resets = before.step.operation.gemm & before.step.operation.reset
        m.d.sync += [
            reads.eq(before.valid & ~resets & ~self._overwrites(before)),
            reads_upper.eq(accumulators.upper(before.step.acc_index)),
        ]
        writes = Signal()
        m.d.comb += [
            accumulators.compute.enable.eq(reads),
            accumulators.compute.index.eq(read.step.acc_index),
            accumulators.compute.upper.eq(reads_upper),
            writes.eq(write.valid & ~write.step.first),
            accumulators.write.enable.eq(writes | self.write_acc.enable),
            accumulators.write.index.eq(Mux(writes, write.step.acc_index, self.write_acc.index)),
            accumulators.write.tile.eq(Mux(writes, result, self.write_acc.tile)),
        ]

        # Whose results a step will miss is known while they are computed: those for the step behind (`forward`), for
        # the second behind (`is_recent`), and for the third behind (`keeps`), whose bank is read while the result is
        # being written: it is kept for the next cycle.
        ahead = compute.valid & ~compute.step.first
        is_recent = ahead & (compute.step.acc_index == read.step.acc_index)
        follows = read.valid & answer.valid & ~answer.step.first & (answer.step.acc_index == read.step.acc_index)
        keeps, forward, overridden, first_choice = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            forward.eq(follows & ~self._overwrites(read)),
            keeps.eq(ahead & stages[1].valid & (compute.step.acc_index == stages[1].step.acc_index)),
            # One of four values, two bits of the choice decoded once for all elements.
            overridden.eq(is_recent | keeps),
            first_choice.eq(Mux(is_recent | keeps, is_recent, reads_upper)),
        ]
        with m.If(keeps):
            m.d.sync += late.eq(result)
        accumulator, operand = (Signal(tile, name=n, reset_less=True) for n in ("accumulator", "operand"))
        lacking = Signal(addend_layout(config), reset_less=True)
        m.d.comb += operand.eq(Cat(map(whole, _elements(accumulator), _elements(lacking))))
        with m.If(answer.valid):
            with m.If(forward):
                m.d.sync += [accumulator.eq(computed), lacking.eq(computed_addends)]
            with m.Else():
                m.d.sync += lacking.eq(0)
                with m.If(self._overwrites(answer)):
                    m.d.sync += accumulator.eq(0)
                with m.Else():
                    lower, upper = accumulators.compute.tiles
                    overriding, banked = Mux(first_choice, result, late), Mux(first_choice, upper, lower)
                    m.d.sync += accumulator.eq(Mux(overridden, overriding, banked))

        m.submodules.alu = alu = VectorAlu(config)
        second, far = Signal(tile, reset_less=True), Signal(far_layout(config), reset_less=True)
        immediate = answer.step.operation.immediate
        immediate_far = is_far(Cat(immediate, immediate[-1].replicate(config.acc_bits - len(immediate))))
        operation = compute.step.operation
        control, chosen = Signal(control_layout(config), reset_less=True), decode(answer.step.operation.alu_op, config)
        with m.If(answer.valid):
            m.d.sync += [control[name].eq(value & ~answer.step.operation.gemm) for name, value in chosen.items()]
        m.d.comb += [alu.control.eq(control), alu.a.eq(operand), alu.b.eq(second), alu.far.eq(far)]
        with m.If(compute.valid & compute.step.first):
            m.d.sync += [second.eq(operand), far.eq(Cat(map(is_far, _elements(operand))))]
        with m.Elif(answer.valid & ~answer.step.operation.gemm & answer.step.operation.use_imm):
            for row in range(config.batch):
                for column in range(config.block_out):
                    m.d.sync += second[row][column].eq(immediate)
            m.d.sync += far.eq(immediate_far.replicate(len(far.as_value())))
        m.d.comb += computed_addends.eq(alu.addend)
        with m.If(~operation.gemm):
            m.d.comb += computed.eq(alu.result)
        with m.Elif(~operation.reset):
            for row in range(config.batch):
                for column in range(config.block_out):
                    m.d.comb += computed[row][column].eq(operand[row][column] + sums[row][column])
        with m.If(ahead):
            m.d.sync += [parts.eq(computed), addends.eq(computed_addends)]
