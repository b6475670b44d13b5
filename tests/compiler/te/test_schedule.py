"""Every primitive: the loops it gives, what it refuses in which words; and schedules made again from their trace."""

import json
from textwrap import dedent

import pytest
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import alu
from weft_compiler.errors import ScheduleError
from weft_hardware.isa import AluOp
from weft_hardware.presets import VTA

A = te.placeholder((10, 8), "int32", "A")
B = te.placeholder((8, 12), "int32", "B")
K = te.reduce_axis(8, "k")
TWICE = te.compute((10, 8), lambda i, k: A[i, k] * 2, "T")
C = te.compute((10, 12), lambda i, j: te.sum(TWICE[i, K] * B[K, j], K), "C")
COPY = te.compute((10, 8), lambda i, j: A[i, j], "D")


def body(schedule):
    """The loops without the parameters."""
    return dedent("\n".join(schedule.loops().split("\n")[1:]))


def code(text):
    return dedent(text).strip("\n")


def replayed(schedule):
    outputs = schedule.program.outputs
    return te.Schedule.replay(outputs, json.loads(json.dumps(schedule.trace)))


def test_without_a_primitive_every_tensor_is_computed_whole():
    assert te.Schedule(C).loops() == code("""
        def (A: int32[10, 8], B: int32[8, 12], C: int32[10, 12]):
            allocate T: int32[10, 8]
            for i in 10:
                for k in 8:
                    T[i, k] = A[i, k] * 2
            for i in 10:
                for j in 12:
                    C[i, j] = 0
                    for k in 8:
                        C[i, j] = C[i, j] + T[i, k] * B[k, j]
    """)


def test_split():
    s = te.Schedule(COPY)
    outer, inner = s[COPY].split("i", factor=5)
    assert (outer.name, outer.extent, inner.name, inner.extent) == ("i.outer", 2, "i.inner", 5)
    assert body(s) == code("""
        for i.outer in 2:
            for i.inner in 5:
                for j in 8:
                    D[i.outer * 5 + i.inner, j] = A[i.outer * 5 + i.inner, j]
    """)


def test_split_that_does_not_divide_is_guarded_where_the_index_is_known():
    s = te.Schedule(COPY)
    s[COPY].split("i", nparts=4)
    assert body(s) == code("""
        for i.outer in 4:
            for i.inner in 3:
                if i.outer * 3 + i.inner < 10:
                    for j in 8:
                        D[i.outer * 3 + i.inner, j] = A[i.outer * 3 + i.inner, j]
    """)


def test_a_split_of_a_split_is_guarded_at_both():
    s = te.Schedule(COPY)
    _, inner = s[COPY].split("i", 4)
    s[COPY].split(inner, 3)
    assert (
        "if (i.inner.outer * 3 + i.inner.inner < 4) & (i.outer * 4 + i.inner.outer * 3 + i.inner.inner < 10):"
    ) in body(s)


def test_reorder_moves_the_initial_value_with_the_reduction():
    s = te.Schedule(C)
    s[C].reorder(K, "i", "j")
    assert body(s).split("\n", 4)[4] == code("""
        for i in 10:
            for j in 12:
                C[i, j] = 0
        for k in 8:
            for i in 10:
                for j in 12:
                    C[i, j] = C[i, j] + T[i, k] * B[k, j]
    """)


def test_fuse():
    s = te.Schedule(COPY)
    assert s[COPY].fuse("i", "j").extent == 80
    assert body(s) == code("""
        for i.j.fused in 80:
            D[i.j.fused // 8, i.j.fused % 8] = A[i.j.fused // 8, i.j.fused % 8]
    """)


def test_tile_is_two_splits_and_a_reorder():
    s = te.Schedule(COPY)
    s[COPY].tile("i", "j", 5, 4)
    assert [step["primitive"] for step in s.trace] == ["split", "split", "reorder"]
    assert body(s) == code("""
        for i.outer in 2:
            for j.outer in 2:
                for i.inner in 5:
                    for j.inner in 4:
                        D[i.outer * 5 + i.inner, j.outer * 4 + j.inner] = A[i.outer * 5 + i.inner, j.outer * 4 + j.inner]
    """)  # noqa: E501


def test_a_tile_that_is_refused_changes_nothing():
    s = te.Schedule(COPY)
    with pytest.raises(ScheduleError):
        s[COPY].tile("i", "q", 5, 4)
    assert s.trace == []
    assert s[COPY].leaves == COPY.op.axes


def test_compute_at_computes_what_is_read_there():
    s = te.Schedule(C)
    s[C].split("i", 4)
    s[TWICE].compute_at(C, "i.outer")
    assert body(s) == code("""
        for i.outer in 3:
            allocate T: int32[4, 8]
            for i in 4:
                if i.outer * 4 + i < 10:
                    for k in 8:
                        T[i, k] = A[i.outer * 4 + i, k] * 2
            for i.inner in 4:
                if i.outer * 4 + i.inner < 10:
                    for j in 12:
                        C[i.outer * 4 + i.inner, j] = 0
                        for k in 8:
                            C[i.outer * 4 + i.inner, j] = C[i.outer * 4 + i.inner, j] + T[i.inner, k] * B[k, j]
    """)


def test_compute_inline():
    s = te.Schedule(C)
    s[TWICE].compute_inline()
    assert "C[i, j] = C[i, j] + A[i, k] * 2 * B[k, j]" in body(s)
    assert len(s.stages) == 1


def test_cache_write_and_cache_read():
    s = te.Schedule(C)
    acc = s.cache_write(C, "acc")
    wgt = s.cache_read(B, "wgt", [acc])
    assert [stage.tensor.name for stage in s.stages] == ["T", "B.wgt", "C.acc", "C"]
    s[acc].compute_at(C, "i")
    s[wgt].compute_at(acc, "k")
    s[wgt].double_buffer()
    s[acc].reorder("k", "i", "j")
    assert body(s).split("\n", 4)[4] == code("""
        for i in 10:
            allocate C.acc: int32[1, 12] in acc
            for j in 12:
                C.acc[0, j] = 0
            for k in 8:
                allocate B.wgt: int32[1, 12] in wgt × 2
                for i1 in 12:
                    B.wgt[0, i1] = B[k, i1]
                for j in 12:
                    C.acc[0, j] = C.acc[0, j] + T[i, k] * B.wgt[0, j]
            for j in 12:
                C[i, j] = C.acc[0, j]
    """)


def test_pack():
    s = te.Schedule(C)
    s[TWICE].pack(("k", 4), ("i", 2))
    s[C].split("i", 4)
    s[TWICE].compute_at(C, "i.outer")
    loops = body(s)
    assert "allocate T: int32[2, 2, 4, 2]" in loops
    assert "T[i // 2, k // 4, k % 4, i % 2] = A[i.outer * 4 + i, k] * 2" in loops
    assert "T[i.inner // 2, k // 4, k % 4, i.inner % 2] * B[k, j]" in loops


def test_a_packed_part_is_of_whole_tiles():
    s = te.Schedule(C)
    s[TWICE].pack(("i", 2))
    s[C].split("i", 3)
    s[TWICE].compute_at(C, "i.outer")
    assert "allocate T: int32[2, 8, 2]" in body(s)
    assert "T[i // 2, k, i % 2] = A[i.outer * 3 // 2 * 2 + i, k] * 2" in body(s)


def test_the_part_read_through_a_stride_and_a_window():
    x = te.placeholder((30,), "int32", "x")
    p = te.reduce_axis(3, "p")
    y = te.compute((13,), lambda i: te.sum(x[i * 2 + p * 2], p), "y")
    s = te.Schedule(y)
    local = s.cache_read(x, "local")
    outer, _ = s[y].split("i", 4)
    s[local].compute_at(y, outer)
    assert "allocate x.local: int32[11] in local" in body(s)
    assert "x.local[i0] = x[i.outer * 8 + i0]" in body(s)
    assert "y[i.outer * 4 + i.inner] + x.local[i.inner * 2 + p * 2]" in body(s)


def part_of(reader, count, factor):
    """The loops of a tensor of 24 elements, read through an index, where each tile of the reader needs it."""
    x = te.placeholder((24,), "int32", "x")
    y = te.compute((count,), lambda i: x[reader(i)], "y")
    s = te.Schedule(y)
    local = s.cache_read(x, "local")
    outer, _ = s[y].split("i", factor)
    s[local].compute_at(y, outer)
    return body(s)


def test_the_part_read_backwards():
    loops = part_of(lambda i: 23 - i, 24, 4)
    assert "allocate x.local: int32[4] in local" in loops
    assert "x.local[i0] = x[i.outer * -4 + i0 + 20]" in loops
    assert "= x.local[i.inner * -1 + 3]" in loops


def test_the_part_read_through_a_quotient():
    assert "allocate x.local: int32[2] in local" in part_of(lambda i: i // 2, 24, 4)
    assert "allocate x.local: int32[3] in local" in part_of(lambda i: (i + 1) // 2, 24, 4)
    assert "allocate x.local: int32[2] in local" in part_of(lambda i: i // 2, 24, 3)


def test_two_readers_of_one_part():
    x = te.placeholder((32,), "int32", "x")
    t = te.compute((32,), lambda i: x[i] + 1, "t")
    y = te.compute((30,), lambda i: t[i] + t[i + 2], "y")
    s = te.Schedule(y)
    outer, _ = s[y].split("i", 5)
    s[t].compute_at(y, outer)
    assert "allocate t: int32[7]" in body(s)


def test_kinds_of_loops():
    s = te.Schedule(COPY)
    i, j = COPY.op.axes
    outer, inner = s[COPY].split(i, 5)
    s[COPY].parallel(outer)
    s[COPY].unroll(inner)
    s[COPY].vectorize(j)
    assert body(s).split("\n")[:3] == [
        "parallel for i.outer in 2:",
        "    unroll for i.inner in 5:",
        "        vectorize for j in 8:",
    ]


def test_an_attached_stage_unrolls_the_part_that_it_computes():
    x = te.placeholder((1000,), "int32", "x")
    t = te.compute((1000,), lambda i: x[i] + 1, "t")
    s = te.Schedule(te.compute((1000,), lambda i: t[i] * 2, "y"))
    s["y"].split("i", 8)
    with pytest.raises(ScheduleError, match=r"^t\.unroll\(i\): axis i of t has 1000 iterations, at most 256"):
        s[t].unroll("i")
    s[t].compute_at("y", "i.outer")
    s[t].unroll("i")
    assert "unroll for i in 8:" in body(s)


def test_virtual_threads_and_pipelines():
    s = te.Schedule(C)
    s[C].split("i", nparts=2)
    s[C].virtual_thread("i.outer")
    s[TWICE].compute_at(C, "i.inner")
    s[C].pipeline("i.inner")
    assert "vthread for i.outer in 2:\n    pipeline for i.inner in 5:\n        allocate T: int32[1, 8]" in body(s)


def test_a_scan_keeps_its_time_outside():
    x = te.placeholder((6, 4), "int32", "x")
    state = te.scan((6, 4), lambda i: x[0, i], lambda s, t, i: s[t - 1, i] + x[t, i], "int32", "S")
    s = te.Schedule(state)
    s[state].split("t", 4)
    assert body(s) == code("""
        for t.outer in 2:
            for t.inner in 4:
                if t.outer * 4 + t.inner < 6:
                    for i in 4:
                        S[t.outer * 4 + t.inner, i] = select(t.outer * 4 + t.inner < 1, x[0, i], S[t.outer * 4 + t.inner - 1, i] + x[t.outer * 4 + t.inner, i])
    """)  # noqa: E501
    with pytest.raises(ScheduleError) as error:
        s[state].reorder("i", "t.outer")
    assert str(error.value) == (
        "S.reorder(i, t.outer): each step of a scan reads the whole one before, t.outer, t.inner must stay outermost, "
        "in this order"
    )
    with pytest.raises(ScheduleError, match=r"^S\.reorder\(t\.inner, t\.outer\): each step of a scan reads"):
        s[state].reorder("t.inner", "t.outer")


def tensorized_scan(initial):
    x = te.placeholder((6, 4, 1, 16), "int32", "x")
    state = te.scan(
        (6, 4, 1, 16), lambda i, b, o: x[0, i, b, o], lambda s, t, i, b, o: s[t - 1, i, b, o] + x[t, i, b, o],
        "int32", "S",
    )  # fmt: skip
    s = te.Schedule(te.compute(state.shape, lambda *at: state[at], "out"))
    s[state].set_scope("acc")
    s.cache_read(x, "acc")
    s[state].tensorize("b", alu(VTA, AluOp.ADD), initial)
    return s


def test_a_scan_is_two_intrinsics():
    s = tensorized_scan(alu(VTA, AluOp.COPY))
    assert code("""
        for t in 6:
            for i in 4:
                if t < 1:
                    alu.copy(S[t, i, …], x.acc[0, i, …])
            for i in 4:
                if t >= 1:
                    alu.add(S[t, i, …], S[t - 1, i, …], x.acc[t, i, …])
    """) in body(s)
    assert s.trace[-1] == {
        "primitive": "tensorize", "stage": "S", "axis": "b", "intrinsic": "alu.add", "initial": "alu.copy"
    }  # fmt: skip
    again = te.Schedule.replay(
        s.program.outputs, json.loads(json.dumps(s.trace)), [alu(VTA, AluOp.ADD), alu(VTA, AluOp.COPY)]
    )
    assert again.loops() == s.loops()


def test_what_a_scan_reads_may_come_inside_all_its_loops():
    s = tensorized_scan(alu(VTA, AluOp.COPY))
    s["x.acc"].compute_at("S", "i")
    assert code("""
        for t in 6:
            for i in 4:
                allocate x.acc: int32[6, 1, 1, 16] in acc
    """) in body(s)
    assert body(s).count("for i in 4:") == 1


def test_a_scan_that_reduces_begins_outside_what_runs_in_its_reduction():
    x, w = te.placeholder((6, 4), "int32", "x"), te.placeholder((4, 4), "int32", "w")
    k = te.reduce_axis(4, "k")
    t2 = te.compute(x.shape, lambda t, i: x[t, i] * 2, "X2")
    s = te.Schedule(
        te.scan(x.shape, lambda i: x[0, i], lambda s, t, i: te.sum(w[i, k] * s[t - 1, k] + t2[t, k], k), "int32", "S")
    )
    s[t2].compute_at("S", "k")
    assert body(s).split("\n")[:5] == [
        "for t in 6:",
        "    for i in 4:",
        "        S[t, i] = 0",
        "        for k in 4:",
        "            allocate X2: int32[1, 1]",
    ]


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        (
            None,
            "S.tensorize(b, alu.add): S is a scan, alu.add would compute its later steps alone; "
            "name the intrinsic of time 0, too: initial=…",
        ),
        (
            alu(VTA, AluOp.ADD),
            "S.tensorize(b, alu.add, initial=alu.add): S is not alu.add: it computes (x.acc[0, i, 0, o]), "
            "alu.add has (first[0, o] + second[0, o]) there",
        ),
    ],
)
def test_a_scan_whose_time_0_is_missing_or_wrong(initial, message):
    with pytest.raises(ScheduleError) as error:
        tensorized_scan(initial)
    assert str(error.value) == message


def test_what_is_no_scan_has_no_time_0():
    x = te.placeholder((6, 1, 16), "int32", "x")
    s = te.Schedule(te.compute(x.shape, lambda i, b, o: x[i, b, o], "y"))
    with pytest.raises(ScheduleError) as error:
        s["y"].tensorize("b", alu(VTA, AluOp.COPY), alu(VTA, AluOp.COPY))
    assert str(error.value) == (
        "y.tensorize(b, alu.copy, initial=alu.copy): y is no scan, it has no time 0; leave initial out"
    )


def test_a_scan_is_tensorized_by_hand():
    x = te.placeholder((6, 1, 16), "int32", "x")
    s = te.Schedule(te.scan(x.shape, lambda b, o: x[0, b, o], lambda s, t, b, o: s[t - 1, b, o] + x[t, b, o], "int32"))
    with pytest.raises(ScheduleError) as error:
        te.auto_tensorize(s, "scan", alu(VTA, AluOp.ADD))
    assert str(error.value) == (
        "auto_tensorize(scan, alu.add): scan is a scan, whose time 0 and later times are two intrinsics; name both by "
        "tensorize(axis, intrinsic, initial=…)"
    )


def everything():
    s = te.Schedule(C)
    acc = s.cache_write(C, "acc")
    s[C].tile("i", "j", 4, 5)
    s[acc].compute_at(C, "j.outer")
    s[acc].split("k", 3)
    s[acc].reorder("k.outer", "i", "j", "k.inner")
    wgt = s.cache_read(B, "wgt", [acc])
    s[wgt].compute_at(acc, "k.outer")
    s[wgt].fuse("i0", "i1")
    s[wgt].double_buffer()
    s[TWICE].compute_at(acc, "i")
    s[acc].unroll("k.inner")
    s[acc].pipeline("k.outer")
    s[C].vectorize("j.inner")
    s[C].virtual_thread("i.outer")
    s[TWICE].set_scope("inp")
    return s


def test_a_trace_makes_the_same_schedule_again():
    s = everything()
    again = replayed(s)
    assert again.loops() == s.loops()
    assert again.trace == s.trace
    assert len(s.trace) == 17


def test_every_prefix_of_a_trace_is_a_schedule():
    s = everything()
    for length in range(len(s.trace) + 1):
        prefix = te.Schedule.replay(C, s.trace[:length])
        assert prefix.loops().startswith("def (A: int32[10, 8], B: int32[8, 12], C: int32[10, 12]):")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"primitive": "apply", "stage": "C"},
            "the trace has the step {'primitive': 'apply', 'stage': 'C'}; a primitive is one of split, fuse, reorder, "
            "parallel, vectorize, unroll, pipeline, virtual_thread, compute_at, compute_inline, set_scope, pack, "
            "diagonal, double_buffer, tensorize",
        ),
        (
            {"primitive": "split"},
            "the trace has the step {'primitive': 'split'}; a primitive is one of cache_read, cache_write",
        ),
        (
            {"primitive": "fuse", "stage": "C", "axis": "i"},
            "the trace has the step {'primitive': 'fuse', 'stage': 'C', 'axis': 'i'}, "
            "whose arguments are not those of fuse",
        ),
    ],
)
def test_a_trace_of_something_else(step, message):
    with pytest.raises(ScheduleError) as error:
        te.Schedule.replay(C, [step])
    assert str(error.value) == message


X = te.placeholder((10, 8), "float32", "X")
TOTAL = te.compute((10,), lambda i: te.sum(X[i, K], K), "F")
K2 = te.reduce_axis(10, "r")
BOTH = te.compute((1,), lambda i: te.sum(X[K2, K], (K2, K)), "G")
SCAN = te.scan((6, 8), lambda i: A[0, i], lambda s, t, i: s[t - 1, i] + A[t, i], "int32", "S")


def on(output, *before):
    """A fresh schedule, with some steps taken."""
    s = te.Schedule(output)
    for step in before:
        step(s)
    return s


def attach(s):
    s[TWICE].compute_at(C, "i")


@pytest.mark.parametrize(
    ("schedule", "step", "message"),
    [
        (on(C), lambda s: s[C].split("q", 2), "C.split(q, factor=2): C has no axis q; its loops are i, j, k"),
        (
            on(C, lambda s: s[C].split("i", 2)),
            lambda s: s[C].split("i", 2),
            "C.split(i, factor=2): axis i was split or fused; its loops are i.outer, i.inner, j, k",
        ),
        (
            on(C),
            lambda s: s[C].split("i", 0),
            "C.split(i, factor=0): a loop of 0 iterations is impossible; give a whole number from 1",
        ),
        (
            on(C),
            lambda s: s[C].split("i", 2, 3),
            "C.split(i, factor=2, nparts=3): give either factor, the iterations of the inner loop, or nparts, "
            "those of the outer one",
        ),
        (
            on(C, lambda s: s[C].parallel("i")),
            lambda s: s[C].split("i", 2),
            "C.split(i, factor=2): loop i is marked parallel; split and fuse before marking",
        ),
        (
            on(C),
            lambda s: s[C].fuse("j", "k"),
            "C.fuse(j, k): axis j is parallel, axis k is reduction; only loops of one kind can be fused",
        ),
        (
            on(C),
            lambda s: s[C].fuse("j", "i"),
            "C.fuse(j, i): loop i does not lie directly inside loop j; reorder them first",
        ),
        (on(C), lambda s: s[C].reorder("i", "i"), "C.reorder(i, i): axis i is named twice; name each loop once"),
        (
            on(BOTH),
            lambda s: s[BOTH].reorder("k", "r"),
            "G.reorder(k, r): the sum of float32 depends on its order, r, k must stay as they are; "
            "declare it with reassociable=True to let them change",
        ),
        (
            on(C),
            lambda s: s[C].parallel("j"),
            "C.parallel(j): axis j of C lies inside loop i; a parallel loop is the outermost: reorder it first, "
            "or fuse the loops before it",
        ),
        (
            on(C),
            lambda s: s[C].vectorize("k"),
            "C.vectorize(k): axis k of C is a reduction, its iterations depend on each other; "
            "a loop of kind vectorize is one of i, j",
        ),
        (
            on(SCAN),
            lambda s: s[SCAN].parallel("t"),
            "S.parallel(t): axis t of S is the time of a scan, its iterations depend on each other; "
            "a loop of kind parallel is one of i",
        ),
        (
            on(COPY),
            lambda s: s[COPY].vectorize("i"),
            "D.vectorize(i): axis i of D has loop j inside; a vector loop is the innermost: reorder it last",
        ),
        (
            on(C, lambda s: s[C].reorder("k", "i", "j"), lambda s: s[TWICE].compute_at(C, "j")),
            lambda s: s[C].vectorize("j"),
            "C.vectorize(j): T runs inside axis j of C; a vector loop holds nothing else",
        ),
        (
            on(C, lambda s: s[C].reorder("k", "i", "j")),
            lambda s: s[C].virtual_thread("i"),
            "C.virtual_thread(i): axis i of C lies inside a reduction loop; each virtual thread keeps its own sums: "
            "reorder it outside",
        ),
        (
            on(te.compute((300,), lambda i: A[0, 0] + 1, "L")),
            lambda s: s["L"].unroll("i"),
            "L.unroll(i): axis i of L has 300 iterations, at most 256 are written out; split it first",
        ),
        (
            on(C),
            lambda s: s[C].pipeline("i"),
            "C.pipeline(i): nothing runs inside axis i of C that could run ahead; "
            "attach a stage to it by compute_at first",
        ),
        (
            on(COPY, lambda s: s[COPY].unroll("i")),
            lambda s: s[COPY].parallel("i"),
            "D.parallel(i): loop i is already marked unroll; a loop is of one kind",
        ),
        (
            on(C, attach),
            lambda s: s[TWICE].parallel("i"),
            "T.parallel(i): T runs inside a loop of C; a parallel loop is the outermost of all: "
            "mark the outermost loop there",
        ),
        (
            on(C),
            lambda s: s[TWICE].compute_at(TWICE, "i"),
            "T.compute_at(T, i): a stage cannot run inside itself; name a stage that reads it",
        ),
        (
            on([C, COPY]),
            lambda s: s[TWICE].compute_at(COPY, "i"),
            "T.compute_at(D, i): C reads T outside loop i of D; attach C inside that loop first",
        ),
        (
            on(C),
            lambda s: s[C].compute_at(TWICE, "i"),
            "C.compute_at(T, i): C is an output, it is computed whole; cache_write it and attach the copy",
        ),
        (
            on(C, attach),
            lambda s: s[C].split("i", 2),
            "C.split(i, factor=2): T is attached at axis i; split and fuse before compute_at",
        ),
        (
            on(
                te.compute((10, 12), lambda i, j: C[i, j] + 1, "E"),
                lambda s: s[C].compute_at("E", "j"),
                lambda s: s[TWICE].compute_at("E", "i"),
            ),
            lambda s: s["E"].split("j", 2),
            "E.split(j, factor=2): C is attached at axis j; split and fuse before compute_at",
        ),
        (on(C), lambda s: s[C].compute_inline(), "C.compute_inline(): C is an output; it has to be computed"),
        (
            on(te.compute((10, 12), lambda i, j: C[i, j] + 1, "E")),
            lambda s: s[C].compute_inline(),
            "C.compute_inline(): C is a sum; attach it by compute_at",
        ),
        (
            on(C, lambda s: s[TWICE].split("i", 2)),
            lambda s: s[TWICE].compute_inline(),
            "T.compute_inline(): the loops of T are scheduled already; compute_inline comes first",
        ),
        (
            on(C, lambda s: s[C].split("i", 2)),
            lambda s: s.cache_write(C, "acc"),
            "cache_write(C, acc): the loops of C are scheduled already; cache_write comes first",
        ),
        (
            on(C),
            lambda s: s.cache_write(C, "cache"),
            "cache_write(C, cache): scope 'cache' is unknown; "
            "choose one of global, inp, wgt, acc, out, param, table, local",
        ),
        (
            on(C),
            lambda s: s.cache_read(A, "inp", [C]),
            "cache_read(A, inp, readers=[C]): C does not read A; its readers are T",
        ),
        (on(C), lambda s: s.cache_read(C, "inp"), "cache_read(C, inp): nothing reads C; its readers are none"),
        (
            on(SCAN),
            lambda s: s.cache_write(SCAN, "acc"),
            "cache_write(S, acc): S is a scan, which reads itself; cache what reads it instead",
        ),
        (
            on(C),
            lambda s: s[C].set_scope("acc"),
            "C.set_scope(acc): C is an output, which lies in global; use cache_write to compute it elsewhere",
        ),
        (
            on(C),
            lambda s: s[TWICE].double_buffer(),
            "T.double_buffer(): T runs once, two buffers have nothing to alternate over; "
            "attach it to a loop by compute_at",
        ),
        (
            on(C),
            lambda s: s[TWICE].pack(("k", 4), ("i", 4)),
            "T.pack(k:4, i:4): dimension i has 10 elements, no whole number of tiles of 4; pad it",
        ),
        (
            on(C),
            lambda s: s[TWICE].pack(("j", 4)),
            "T.pack(j:4): T has no dimension j; its dimensions are i, k",
        ),
        (
            on(C),
            lambda s: s[TWICE].pack(("i", 2), ("i", 5)),
            "T.pack(i:2, i:5): dimension i is named twice; name each once",
        ),
        (
            on(C),
            lambda s: s[C].pack(("i", 2)),
            "C.pack(i:2): C is an output, which lies as it is declared; cache_write it and pack the copy",
        ),
        (
            on(SCAN),
            lambda s: te.Schedule(te.compute((6, 8), lambda t, i: SCAN[t, i] + 1, "E"))["S"].compute_at("E", "t"),
            "S.compute_at(E, t): S is a scan, it is computed whole; attach what it reads to it instead",
        ),
        (on(C), lambda s: s[A], "A is an input, it has no loops; the stages are T, C"),
        (on(C), lambda s: s["Q"], "no stage computes Q; the stages are T, C"),
        (on(C), lambda s: te.Schedule(A), "output A is an input; there is nothing to compute"),
        (
            on(C),
            lambda s: te.Schedule(te.compute((2,), lambda i: te.placeholder((2,), "int32", "A")[i] + A[0, 0], "E")),
            "two tensors are named A; give each a name of its own",
        ),
    ],
)
def test_refusals(schedule, step, message):
    before, trace = schedule.loops(), list(schedule.trace)
    with pytest.raises(ScheduleError) as error:
        step(schedule)
    assert str(error.value) == message
    assert schedule.loops() == before
    assert schedule.trace == trace
