"""Makes a verilated model skip what does not change: most of an accelerator rests while one unit works.

Verilator's code for a clock edge runs from its first statement to its last in every cycle. Here its statements are
grouped into *segments*, by the unit whose variables they write; a segment runs only if a variable that it touches has
changed since it last ran. It is a function of those variables alone, so running it again would change nothing, and the
model's values are the same in every cycle as without.

Order is kept where it matters: of two statements that share a variable which one of them writes, the earlier stays the
earlier. A segment compares what it writes with what was there before and marks whom it concerns, itself included. What
a large block under a condition writes counts as changed whenever the condition holds, which costs no comparison;
statements of a segment under equal conditions are put together first.

A counter of clock cycles would wake everybody who reads it. So what is done to it is in segments of its own, and who
reads it only under a condition is not woken by it, but stays awake while the condition holds.

What inputs change without a clock edge is grouped by the inputs that it depends on, and runs if one of them changed.

Source
------
Beamer and Donofrio, "Efficiently exploiting low activity factors to accelerate RTL simulation" (ESSENT), DAC 2020;
differs in that units of the hierarchy are the partitions, and that it is done to Verilator's output.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from heapq import heappop, heappush
from operator import or_
from pathlib import Path

from .vectors import HELPERS, in_order, vectorisable

_MODEL = "Vtop___024root"
_TYPE = r"(?:CData|SData|IData|QData|VlWide<\d+>)/\*[\d:]+\*/"
_NAME = re.compile(r"(vlSelfRef\.)?\b([A-Za-z_]\w*)")
_DECLARATION = re.compile(rf"\s*({_TYPE}) (\w+);$")
_MEMBER = re.compile(r"^\s+(VL_IN\w*|VL_OUT\w*|\S.*?)(?:\(&?(\w+),[\d,]+\)| (\w+));$", re.M)
_FUNCTION = r"^void {name}\({model}\* vlSelf\) \{{\n(.*?)^\}}\n"
_TRIGGERED = re.compile(
    r"    if \(\(1ULL & vlSelfRef\.__V(?:nba|ico)Triggered\[0U\]\)\) \{\n((?:        .*\n)*)    \}\n"
)
_CLOCKED = re.compile(rf"^void {_MODEL}___(?:nba|ico)_\w+\({_MODEL}\* vlSelf\) \{{\n.*?^\}}\n", re.M | re.S)
_CALLED = re.compile(r"        \w+\(vlSelf\);")
_OUT_ARGUMENT = re.compile(r"\bVL_(?!ASSIGNSEL|ASSIGNBIT)\w+?_W\w*\((?:\d+,\s*)*((?:vlSelfRef\.)?[A-Za-z_]\w*)\b")
_CALL = re.compile(r"\b(?!if\b)[A-Za-z_]\w*\(")
_UNDERSTOOD = re.compile(rf"VL_\w+_[IQ][IQWO]*\(|VL_RED\w+\(|VL_ASSIGN(?:SEL|BIT)_\w+\(|{_OUT_ARGUMENT.pattern}")
_INOUT_CALL = re.compile(r"\bVL_ASSIGN(?:SEL|BIT)_\w+\(")
_BARE = re.compile(r"\s*((?:vlSelfRef\.)?[A-Za-z_]\w*(?:\[[^\]]*\])*)\s*")
_BRANCH = re.compile(r"((?:^    if \((?:.|\n     )*?|^    \} else(?: if \((?:.|\n     )*?)?) ?\{\n)", re.M)
_ASSIGNMENT = r"^( +){}\s+= ([^;]+);$"
_INCREMENT = re.compile(r"1ULL \+ vlSelfRef\.(\w+)\)|\(IData\)\(1U\) \+ vlSelfRef\.(\w+)\)")
_CYCLES_BITS = 40
"""A counter of so many bits counts clock cycles; no other is so wide."""
_LARGE_BLOCK = 8
"""Variables written under one condition, beyond which they are not compared."""

LEVELS = 6
"""Levels of the hierarchy below the top that make a unit."""

FILES = 2
"""Source files that the segments are spread over, so that they compile in parallel."""


class UnsupportedModelError(Exception):
    """Verilator's code is not of the form that is understood here; it runs as it is."""


@dataclass
class _Statement:
    text: str
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    targets: Counter[str] = field(default_factory=Counter)
    """How many times each variable is written."""
    assigns: str = ""
    """The variable that it sets whatever was there before, if it is an assignment."""
    unit: str = ""
    openings: tuple[str, ...] = ()
    """The lines that open its branches, if it is a conditional one."""
    tests: tuple[str, ...] = ()
    """The variables in them."""

    @property
    def touches(self) -> set[str]:
        return self.reads | self.writes

    def touches_hot(self, hot: set[str]) -> bool:
        """Whether it writes one of these, or depends on one whatever its conditions are."""
        guarded = self.openings and "if (" in self.openings[-1] and hot.isdisjoint(self.tests)
        return not hot.isdisjoint(self.writes if guarded else self.touches)


@dataclass
class _Code:
    """The statements of one or several functions; locals are called ``number.name``."""

    statements: list[_Statement] = field(default_factory=list)
    locals: dict[str, str] = field(default_factory=dict)
    """Types by name."""


def _function(sources: dict[Path, str], name: str) -> tuple[Path, re.Match[str]]:
    pattern = re.compile(_FUNCTION.format(name=name, model=_MODEL), re.M | re.S)
    for path, text in sources.items():
        if match := pattern.search(text):
            return path, match
    raise UnsupportedModelError(name)


def _bodies(sources: dict[Path, str], name: str) -> list[str]:
    """The bodies of what ``eval_nba`` or ``eval_ico`` calls, in order, or its own, where Verilator put all there."""
    _, match = _function(sources, f"{_MODEL}___{name}")
    declarations, _, body = match[1].partition("    // Body\n")
    triggered = _TRIGGERED.fullmatch(body)
    if triggered is None:
        raise UnsupportedModelError(name)
    lines = triggered[1].splitlines()
    if all(_CALLED.fullmatch(line) for line in lines):
        return [_function(sources, line.strip().partition("(")[0])[1][1] for line in lines]
    return [declarations + "\n".join(line[4:] for line in lines)]


def _top_level(body: str) -> Iterator[str]:
    """The statements of a function's body."""
    lines: list[str] = []
    for line in body.splitlines():
        if line.startswith("    ") and line[4:5] not in (" ", "}", "") and lines:
            yield "\n".join(lines)
            lines = []
        if line.strip() and not line.lstrip().startswith("//"):
            lines.append(line)
    if lines:
        yield "\n".join(lines)


def _arguments(text: str, start: int) -> Iterator[str]:
    """The arguments of a call whose parenthesis opens right before ``start``."""
    depth, begin = 1, start
    for at in range(start, len(text)):
        depth += (text[at] in "([") - (text[at] in ")]")
        if depth == 0 or (depth == 1 and text[at] == ","):
            yield text[begin:at]
            begin = at + 1
        if depth == 0:
            return


def _assigned(text: str) -> Iterator[str]:
    """The names before the signs of assignment."""
    for sign in re.finditer(r"(?<![=!<>])=(?!=)", text):
        at = sign.start() - 1
        while True:
            while text[at] in " \n|&^+-*/%":
                at -= 1
            if text[at] != "]":
                break
            depth = 0
            while True:
                depth += (text[at] == "]") - (text[at] == "[")
                at -= 1
                if depth == 0:
                    break
        end = at + 1
        while at >= 0 and (text[at].isalnum() or text[at] in "_."):
            at -= 1
        if end == at + 1:
            raise UnsupportedModelError(text[:80])
        yield text[at + 1 : end]


def _parse(number: int, body: str, code: _Code, top: str) -> None:
    """Add a function's statements."""
    prologue = ("VL_DEBUG_IF(", "Vtop__Syms* const __restrict vlSymsp ", "auto& vlSelfRef = ")
    own: dict[str, str] = {}
    units = re.compile(rf"{top}__DOT__((?:\w+?__DOT__){{1,{LEVELS}}})")

    def key(name: str) -> str | None:
        if name.startswith("vlSelfRef."):
            return name[10:]
        return f"{number}.{name}" if name in own else None

    for text in _top_level(body):
        stripped = text.strip()
        if stripped.startswith(prologue):
            continue
        if declaration := _DECLARATION.fullmatch(text):
            own[declaration[2]] = declaration[1]
            code.locals[f"{number}.{declaration[2]}"] = declaration[1]
            continue
        if re.search(r"\bvlSelf\b|\bvlSymsp\b|\b(?:while|for|do|goto|return)\b|\bVlUnpacked<", text):
            raise UnsupportedModelError(stripped[:80])
        for call in _CALL.finditer(text):
            if not _UNDERSTOOD.match(text, call.start()):
                raise UnsupportedModelError(call[0])
        statement = _Statement(text)
        touched = Counter(k for m in _NAME.finditer(text) if (k := key(m[0])))
        targets = Counter(k for name in _assigned(text) if (k := key(name)))
        targets.update(k for m in _OUT_ARGUMENT.finditer(text) if (k := key(m[1])))
        statement.writes, statement.targets = set(targets), targets
        statement.reads = {name for name, times in touched.items() if times > targets[name]}
        for call in _INOUT_CALL.finditer(text):
            for argument in _arguments(text, call.end()):
                bare = _BARE.fullmatch(argument)
                if bare and (k := key(bare[1].partition("[")[0])):
                    statement.writes.add(k)
                    statement.reads.add(k)
                    statement.targets[k] += 1
        first = re.match(r"\s*(?:VL_\w+\((?:\d+,\s*)*)?((?:vlSelfRef\.)?\w+)(?=\s*[=,)])", text)
        if first and stripped[:2] != "if" and len(statement.writes) == 1:
            (written,) = statement.writes
            if key(first[1]) == written and written not in statement.reads:
                statement.assigns = written
        statement.openings = tuple(_BRANCH.split(text)[1::2])
        statement.tests = tuple(k for o in statement.openings for m in _NAME.finditer(o) if (k := key(m[0])))
        names = Counter(m for name in statement.writes for m in units.findall(name))
        names = names or Counter(m for name in touched for m in units.findall(name))
        statement.unit = names.most_common(1)[0][0] if names else ""
        code.statements.append(statement)


def _drop_needless_zeros(code: _Code) -> None:
    """Leave out the zero that a local begins with, where an assignment is the next to touch it."""
    waiting: dict[str, int] = {}
    needless: set[int] = set()
    for at, statement in enumerate(code.statements):
        for name in statement.touches:
            if name in waiting:
                if statement.assigns == name:
                    needless.add(waiting[name])
                del waiting[name]
        is_zero = re.fullmatch(r"\s*(?:\w+ = 0;|VL_ZERO_W\(\d+, \w+\);)", statement.text)
        if is_zero and statement.assigns in code.locals:
            waiting[statement.assigns] = at
    needless.update(waiting.values())
    code.statements = [s for at, s in enumerate(code.statements) if at not in needless]


def _hot(code: _Code, members: dict[str, str]) -> set[str]:
    """Counters of clock cycles, which are the wide ones, and what is worked out of them: these change all the time."""
    kinds = {**members, **code.locals}
    delayed = {name.partition(".")[2]: name for name in code.locals}
    hot: set[str] = set()
    for statement in code.statements:
        for increment in _INCREMENT.finditer(statement.text):
            name = increment[1] or increment[2]
            new = name if name in statement.writes else delayed.get(f"__Vdly__{name}", f"__Vdly__{name}")
            if new in statement.writes and _width(kinds.get(name, "")) >= _CYCLES_BITS:
                hot |= {name, new}
    for statement in code.statements:
        if hot & statement.reads and statement.assigns and _width(kinds.get(statement.assigns, "")) > 1:
            hot.add(statement.assigns)
    return hot


def _width(kind: str) -> int:
    bits = re.search(r"/\*(\d+):0\*/", kind)
    return int(bits[1]) + 1 if bits else 0


def _schedule(statements: list[_Statement]) -> list[list[_Statement]]:
    """Group statements into segments, as few as a greedy order finds."""
    after: list[set[int]] = [set() for _ in statements]
    missing = [0] * len(statements)
    last_write: dict[str, int] = {}
    readers: dict[str, set[int]] = defaultdict(set)

    def order(earlier: int, later: int) -> None:
        if earlier != later and later not in after[earlier]:
            after[earlier].add(later)
            missing[later] += 1

    for at, statement in enumerate(statements):
        for name in statement.touches:
            if name in last_write:
                order(last_write[name], at)
        for name in statement.writes:
            for reader in readers.pop(name, ()):
                order(reader, at)
            last_write[name] = at
        for name in statement.reads:
            readers[name].add(at)

    ready: dict[str, list[int]] = defaultdict(list)
    for at, statement in enumerate(statements):
        if not missing[at]:
            ready[statement.unit].append(at)
    segments: list[list[_Statement]] = []
    while ready:
        unit = max(ready, key=lambda unit: len(ready[unit]))
        segment: list[_Statement] = []
        while ready.get(unit):
            at = heappop(ready[unit])
            segment.append(statements[at])
            for later in sorted(after[at]):
                missing[later] -= 1
                if not missing[later]:
                    heappush(ready[statements[later].unit], later)
        del ready[unit]
        segments.append(segment)
    return segments


def _joined(first: str, second: str) -> str:
    """Two conditional statements that open the same branches as one."""
    before, *one = _BRANCH.split(first.removesuffix("\n    }"))
    _, *other = _BRANCH.split(second.removesuffix("\n    }"))
    text = [before]
    for opening, block, more in zip(one[::2], one[1::2], other[1::2], strict=True):
        text += [opening, block.removesuffix("\n"), "\n", more]
    return "".join([*text, "\n    }"])


def _merge(segment: list[_Statement]) -> list[_Statement]:
    """Put statements under equal conditions together, each as early as what it shares variables with allows.

    So a condition is tested once, and what is written under it can count as changed as a whole, see `_LARGE_BLOCK`.
    """
    merged: list[_Statement] = []
    for statement in segment:
        for earlier in reversed(merged if statement.openings else []):
            alike = earlier.openings == statement.openings and earlier.tests == statement.tests
            if alike and not earlier.writes & set(statement.tests):
                earlier.text = _joined(earlier.text, statement.text)
                earlier.reads |= statement.reads
                earlier.writes |= statement.writes
                earlier.targets += statement.targets
                break
            if earlier.writes & statement.touches or statement.writes & earlier.reads:
                merged.append(statement)
                break
        else:
            merged.append(statement)
    return merged


def _by_inputs(
    code: _Code, members: dict[str, str], clocked: dict[str, set[int]]
) -> tuple[list[str], list[tuple[int, list[_Statement]]]]:
    """The inputs that something depends on, and the statements by the set of those that they depend on, as a mask."""
    touched = {name for statement in code.statements for name in statement.touches}
    ports = [name for name, kind in members.items() if kind.startswith("VL_IN") and (name in touched or clocked[name])]
    if len(ports) > 64:
        raise UnsupportedModelError(f"{len(ports)} inputs")
    depends = defaultdict(int, {name: 1 << k for k, name in enumerate(ports)})
    masks: list[int] = []
    while True:  # until all writers of a variable run together
        before = masks
        masks = [reduce(or_, (depends[name] for name in s.touches), 0) for s in code.statements]
        for statement, mask in zip(code.statements, masks, strict=True):
            statement.unit = f"{mask:x}"
            depends |= {name: depends[name] | mask for name in statement.writes}
        if masks == before:
            break
    return ports, [(int(group[0].unit, 16), group) for group in _schedule(code.statements)]


class _Writer:
    """Writes segments as C++ functions."""

    def __init__(
        self,
        code: _Code,
        segments: list[list[_Statement]],
        members: dict[str, str],
        hot: set[str] | None = None,
        prefix: str = "weft_",
    ) -> None:
        self.code, self.segments, self.members, self.prefix = code, segments, members, prefix
        self.hot = hot = hot or set()
        self.consumers: dict[str, set[int]] = defaultdict(set)
        """Whom a change of a variable concerns."""
        self.only_written: set[tuple[int, str]] = set()
        """What a segment writes whatever it was before: not its own concern."""
        for number, segment in enumerate(segments):
            assigned: set[str] = set()
            reads: set[str] = set()
            for statement in segment:
                reads |= statement.reads - assigned
                assigned.add(statement.assigns)
                for name in statement.touches:
                    if name not in hot or statement.touches_hot({name}):
                        self.consumers[name].add(number)
            writes = {name for statement in segment for name in statement.writes}
            self.only_written |= {(number, name) for name in writes - reads}
        self.words = (len(segments) + 63) // 64
        places: dict[str, set[int]] = defaultdict(set)
        for number, segment in enumerate(segments):
            for statement in segment:
                for name in statement.touches & code.locals.keys():
                    places[name].add(number)
        self.shared = {name for name, numbers in places.items() if len(numbers) > 1}

    def member(self, name: str) -> str:
        """What a local that several functions use is called as a member of the model."""
        return self.prefix + name.replace(".", "_")

    def cpp(self, name: str) -> str:
        """A variable as the functions written here call it."""
        if name in self.shared:
            return f"vlSelfRef.{self.member(name)}"
        if name in self.code.locals:  # functions may call different things the same
            number, _, plain = name.partition(".")
            return f"{plain}_of_{number}"
        return f"vlSelfRef.{name}"

    def kind(self, name: str) -> str:
        return self.code.locals.get(name) or self.members.get(name, "")

    def concerned(self, name: str, writer: int | None) -> frozenset[int]:
        if name in self.code.locals and name not in self.shared:
            return frozenset()
        numbers = self.consumers.get(name, set())
        return frozenset(numbers - {writer} if (writer, name) in self.only_written else numbers)

    def mark(self, numbers: frozenset[int] | set[int]) -> str:
        """Statements that mark segments, in the function's own copy of the marks, see `segment`."""
        words: dict[int, int] = defaultdict(int)
        for number in numbers:
            words[number // 64] |= 1 << number % 64
        return " ".join(f"weft_mark_{w} |= {bits:#x}ull;" for w, bits in sorted(words.items()))

    def mark_now(self, numbers: set[int]) -> str:
        """The same for what is no function of `segment`."""
        return re.sub(r"weft_mark_(\d+)", r"vlSelfRef.weft_changed[\1]", self.mark(numbers))

    def segment(self, number: int | None, statements: list[_Statement]) -> str:
        """The body of a function; ``number`` is None for what changes of inputs run.

        Marks are gathered in local variables: the array of them would be a chain of loads that wait for stores.
        """
        differences: dict[frozenset[int], str] = {}
        compared: dict[str, str] = {}
        lines: list[str] = []

        def difference(name: str) -> str:
            return differences.setdefault(self.concerned(name, number), f"weft_difference_{len(differences)}")

        for statement in statements:
            text = statement.text
            concerns = {name: who for name in statement.writes if (who := self.concerned(name, number))}
            memories = {name for name in concerns if self.kind(name).startswith("VlUnpacked")}
            wide = {name for name in statement.writes if self.kind(name).startswith(("VlWide", "VL_OUTW"))}
            polled: frozenset[int] = frozenset()
            if number is not None and statement.reads & self.hot and not statement.touches_hot(self.hot):
                polled = frozenset({number})
            if text.startswith("    if (") and (memories or wide or polled or len(statement.writes) > _LARGE_BLOCK):
                text, concerns = self._marked(statement, concerns, polled)
            else:
                for name in sorted(memories):
                    lines.append("    " + self.mark(concerns.pop(name)))
            before: list[str] = []
            after: list[str] = []
            for name in sorted(concerns):
                if name in wide:
                    compared[name] = difference(name)
                    continue
                plain, count = re.compile(_ASSIGNMENT.format(re.escape(self.cpp(name))), re.M), statement.targets[name]
                if len(plain.findall(text)) == count:
                    variable = self.cpp(name)
                    new = f"{{ const decltype({variable}) weft_new = \\g<2>; "
                    new += f"{difference(name)} |= weft_new ^ {variable}; {variable} = weft_new; }}"
                    text = plain.sub(rf"\g<1>{new}", text)
                else:
                    old = f"weft_old_{len(lines)}_{len(before)}"
                    before.append(f"    const auto {old} = {self.cpp(name)};")
                    after.append(f"    {difference(name)} |= {old} ^ {self.cpp(name)};")
            lines += [*before, text, *after]
        touched = {name for statement in statements for name in statement.touches}
        own = sorted(name for name in touched if name in self.code.locals and name not in self.shared)
        head = [f"    {self.code.locals[name]} {self.cpp(name)}{{}};" for name in own]
        head += [f"    uint64_t {name} = 0;" for name in differences.values()]
        head += [f"    const auto weft_old_{k} = {self.cpp(name)};" for k, name in enumerate(compared)]
        for k, (name, differs) in enumerate(compared.items()):
            lines.append(
                f"    {differs} |= 0 != std::memcmp(&weft_old_{k}, &{self.cpp(name)}, sizeof {self.cpp(name)});"
            )
        lines += [f"    if ({name}) {{ {self.mark(who)} }}" for who, name in differences.items()]
        words = sorted({int(word) for line in lines for word in re.findall(r"\bweft_mark_(\d+) ", line)})
        head += [f"    uint64_t weft_mark_{word} = 0;" for word in words]
        lines += [f"    vlSelfRef.weft_changed[{word}] |= weft_mark_{word};" for word in words]
        return "\n".join([*head, *lines, ""])

    def _marked(
        self, statement: _Statement, concerns: dict[str, frozenset[int]], polled: frozenset[int]
    ) -> tuple[str, dict[str, frozenset[int]]]:
        """Each branch that has a condition, told to mark whom anything that it may write concerns.

        One that reads what changes in every cycle marks ``polled``. Returns also what the branch without a condition
        may write, and whom that concerns.
        """
        plain = {name: self.cpp(name).removeprefix("vlSelfRef.") for name in {*concerns, *self.hot}}
        branches = _BRANCH.split(statement.text)
        marked = [branches[0]]
        rest: set[str] = set()
        for opening, block in zip(branches[1::2], branches[2::2], strict=True):
            names = {m[2] for m in _NAME.finditer(block)}
            written = {name for name in concerns if plain[name] in names}
            if "if (" not in opening:
                rest = {name for name in written if not self.kind(name).startswith("VlUnpacked")}
                written -= rest
            who: set[int] = set().union(*(concerns[name] for name in written))
            if any(plain[name] in names for name in self.hot):
                who |= polled
            marks = self.mark(who)
            marked += [opening, f"        {marks}\n" if marks else "", block]
        return "".join(marked), {name: concerns[name] for name in rest}


def skip_what_rests(directory: Path, top: str) -> None:
    """Rewrite a verilated model, prefix ``Vtop``, in place.

    Parameters
    ----------
    directory : Path
        Verilator's output.
    top : str
        The top module's name.

    Raises
    ------
    UnsupportedModelError
        If the code has not the expected form; nothing was changed.
    """
    sources = {path: path.read_text() for path in sorted(directory.glob("Vtop*.cpp"))}
    header = directory / f"{_MODEL}.h"
    declarations = header.read_text()
    place = "    // INTERNAL VARIABLES\n"
    if declarations.count(place) != 1:
        raise UnsupportedModelError(header.name)
    members = {m[2] or m[3]: m[1] for m in _MEMBER.finditer(declarations)}
    clocked, inputs = _Code(), _Code()
    for code, name in ((clocked, "eval_nba"), (inputs, "eval_ico")):
        for number, body in enumerate(_bodies(sources, name)):
            _parse(number, body, code, top)
        _drop_needless_zeros(code)
    hot = _hot(clocked, members)
    for statement in clocked.statements:
        if statement.touches_hot(hot):
            statement.unit += "cycles"
    segments = [_merge(segment) for segment in _schedule(clocked.statements)]
    writer = _Writer(clocked, segments, members, hot)
    for segment in segments:
        for statement in segment:
            statement.text = vectorisable(_rename_locals(statement, writer))
    constants = sorted({line for text in sources.values() for line in re.findall(r"^extern const .*;$", text, re.M)})
    preamble = "\n".join(['#include "Vtop__pch.h"', "#include <cstring>", HELPERS, *constants, ""])

    bodies = [writer.segment(number, segment) for number, segment in enumerate(segments)]
    groups: list[list[int]] = [[] for _ in range(FILES)]
    for number in sorted(range(len(segments)), key=lambda number: -len(bodies[number])):
        min(groups, key=lambda group: sum(len(bodies[k]) for k in group)).append(number)
    for file_number, group in enumerate(groups):
        text = "".join(
            f"void weft_segment_{k}({_MODEL}* vlSelf) {{\n    auto& vlSelfRef = *vlSelf;\n{bodies[k]}}}\n"
            for k in sorted(group)
        )
        (directory / f"Vtop_segments_{file_number}.cpp").write_text(preamble + text)

    table = ", ".join(f"weft_segment_{k}" for k in range(len(segments)))
    # In order; a segment may mark later ones of this edge, and earlier ones for the next.
    edge = (
        f"    static void (*const segments[])({_MODEL}*) = {{{table}}};\n"
        f"    for (unsigned word = 0; word < {writer.words}; ++word) {{\n"
        "        uint64_t later = ~0ull;\n"
        "        while (const uint64_t marked = vlSelfRef.weft_changed[word] & later) {\n"
        "            later = ~(marked ^ (marked - 1));\n"
        "            vlSelfRef.weft_changed[word] &= ~(marked & -marked);\n"
        "            segments[64 * word + __builtin_ctzll(marked)](vlSelf);\n        }\n    }\n"
    )
    ports, groups_of_inputs = _by_inputs(inputs, members, writer.consumers)
    input_writer = _Writer(inputs, [group for _, group in groups_of_inputs], members, prefix="weft_input_")
    input_writer.consumers = defaultdict(set, {n: c for n, c in writer.consumers.items() if n not in clocked.locals})
    on_input = "".join(
        f"    if (0 != std::memcmp(&vlSelfRef.weft_port_{p}, &vlSelfRef.{p}, sizeof vlSelfRef.{p})) {{ "
        f"std::memcpy(&vlSelfRef.weft_port_{p}, &vlSelfRef.{p}, sizeof vlSelfRef.{p}); "
        f"vlSelfRef.weft_ports |= {1 << k:#x}ull; {writer.mark_now(writer.consumers[p])} }}\n"
        for k, p in enumerate(ports)
    )
    for mask, group in groups_of_inputs:
        for statement in group:
            statement.text = _rename_locals(statement, input_writer)
        on_input += f"    if (vlSelfRef.weft_ports & {mask:#x}ull) {{\n{input_writer.segment(None, group)}    }}\n"
    on_input += "    vlSelfRef.weft_ports = 0;\n"
    prototypes = "".join(f"void weft_segment_{k}({_MODEL}* vlSelf);\n" for k in range(len(segments)))
    start = f"({_MODEL}* vlSelf) {{\n    auto& vlSelfRef = *vlSelf;\n"
    # Triggers are the harness's business: it calls these for an edge and for changed inputs only.
    (directory / "Vtop_activity.cpp").write_text(
        f"{preamble}{prototypes}void weft_edge{start}{edge}}}\nvoid weft_inputs{start}{on_input}}}\n"
    )

    everything = [(1 << min(64, len(segments) - 64 * word)) - 1 for word in range(writer.words)]
    start_value = ", ".join(f"{bits:#x}ull" for bits in everything)
    fields = [f"    uint64_t weft_changed[{writer.words}] = {{{start_value}}};"]
    for each in (writer, input_writer):
        fields += [f"    {each.kind(name)} {each.member(name)}{{}};" for name in sorted(each.shared)]
    fields += [f"    decltype({p}) weft_port_{p}{{}};" for p in ports]
    fields += ["    uint64_t weft_ports = ~0ull;"]
    header.write_text(in_order(declarations).replace(place, "\n".join([*fields, place])))
    for name, replacement in (("eval_nba", "weft_edge"), ("eval_ico", "weft_inputs")):
        path, match = _function(sources, f"{_MODEL}___{name}")
        body = f"    {replacement}(vlSelf);\n"
        triggered = "nba" if name == "eval_nba" else "ico"
        function = (
            f"void {replacement}({_MODEL}* vlSelf);\nvoid {_MODEL}___{name}({_MODEL}* vlSelf) {{\n"
            f"    if (1ULL & vlSelf->__V{triggered}Triggered[0U]) {{\n    {body}    }}\n}}\n"
        )
        sources[path] = sources[path].replace(match[0], function)
    for path, text in sources.items():
        path.write_text(_CLOCKED.sub("", text))


def _rename_locals(statement: _Statement, writer: _Writer) -> str:
    """The statement's text with locals named as `_Writer.cpp` has them."""
    names = {name.partition(".")[2]: writer.cpp(name) for name in statement.touches & writer.code.locals.keys()}
    if not names:
        return statement.text
    return _NAME.sub(lambda m: m[0] if m[1] or m[2] not in names else names[m[2]], statement.text)
