"""Makes a verilated model skip what does not change: most of an accelerator rests while one unit works.

Verilator's code for a clock edge runs from its first statement to its last in every cycle. Here its statements are
grouped into *segments*, by the unit whose variables they write; a segment runs only if a variable that it touches has
changed since it last ran. It is a function of those variables alone, so running it again would change nothing, and the
model's values are the same in every cycle as without.

Order is kept where it matters: of two statements that share a variable which one of them writes, the earlier stays the
earlier. A segment compares what it writes with what was there before and marks whom it concerns, itself included. What
a large block under a condition writes counts as changed whenever the condition holds, which costs no comparison.

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
from heapq import heappop, heappush
from pathlib import Path

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
_LARGE_BLOCK = 8
"""Variables written under one condition from which on they are not compared."""

LEVELS = 6
"""Levels of the hierarchy below the top that make a unit."""

FILES = 4
"""Source files that the segments are spread over, so that they compile in parallel."""


class UnsupportedModelError(Exception):
    """Verilator's code is not of the form that is understood here; it runs as it is."""


@dataclass
class _Statement:
    text: str
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    assigns: str = ""
    """The variable that it sets whatever was there before, if it is an assignment."""
    unit: str = ""

    @property
    def touches(self) -> set[str]:
        return self.reads | self.writes


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
        statement.writes = set(targets)
        statement.reads = {name for name, times in touched.items() if times > targets[name]}
        for call in _INOUT_CALL.finditer(text):
            for argument in _arguments(text, call.end()):
                bare = _BARE.fullmatch(argument)
                if bare and (k := key(bare[1].partition("[")[0])):
                    statement.writes.add(k)
                    statement.reads.add(k)
        first = re.match(r"\s*(?:VL_\w+\((?:\d+,\s*)*)?((?:vlSelfRef\.)?\w+)(?=\s*[=,)])", text)
        if first and stripped[:2] != "if" and len(statement.writes) == 1:
            (written,) = statement.writes
            if key(first[1]) == written and written not in statement.reads:
                statement.assigns = written
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


class _Writer:
    """Writes segments as C++ functions."""

    def __init__(self, code: _Code, segments: list[list[_Statement]], members: dict[str, str]) -> None:
        self.code, self.segments, self.members = code, segments, members
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

    def cpp(self, name: str) -> str:
        """A variable as the functions written here call it."""
        if name in self.shared:
            return "vlSelfRef.weft_" + name.replace(".", "_")
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
        words: dict[int, int] = defaultdict(int)
        for number in numbers:
            words[number // 64] |= 1 << number % 64
        return " ".join(f"vlSelfRef.weft_changed[{w}] |= {bits:#x}ull;" for w, bits in sorted(words.items()))

    def segment(self, number: int | None, statements: list[_Statement]) -> str:
        """The body of a function; ``number`` is None for what changes of inputs run."""
        compared: dict[str, frozenset[int]] = {}
        lines: list[str] = []
        for statement in statements:
            text = statement.text
            concerns = {name: self.concerned(name, number) for name in statement.writes}
            memories = {name for name in statement.writes if self.kind(name).startswith("VlUnpacked")}
            wide = any(self.kind(name).startswith("VlWide") for name in statement.writes)
            if text.startswith("    if (") and (memories or wide or len(statement.writes) > _LARGE_BLOCK):
                text, unmarked = self._marked(text, concerns)
                compared |= {name: concerns[name] for name in sorted(unmarked) if concerns[name]}
            else:
                for name in sorted(memories):
                    lines.append("    " + self.mark(concerns.pop(name)))
                compared |= {name: who for name, who in sorted(concerns.items()) if who}
            lines.append(text)
        touched = {name for statement in statements for name in statement.touches}
        own = sorted(name for name in touched if name in self.code.locals and name not in self.shared)
        declarations = [f"    {self.code.locals[name]} {self.cpp(name)}{{}};" for name in own]
        olds = {name: f"weft_old_{k}" for k, name in enumerate(compared)}
        before = [f"    const auto {old} = {self.cpp(name)};" for name, old in olds.items()]
        by_concern: dict[frozenset[int], list[str]] = defaultdict(list)
        for name, who in compared.items():
            by_concern[who].append(name)
        after = [
            f"    if ({' | '.join(self._differs(name, olds[name]) for name in names)}) {{ {self.mark(who)} }}"
            for who, names in by_concern.items()
        ]
        return "\n".join([*declarations, *before, *lines, *after, ""])

    def _marked(self, text: str, concerns: dict[str, frozenset[int]]) -> tuple[str, set[str]]:
        """Each branch that has a condition, told to mark whom anything that it may write concerns.

        Returns also what the branch without a condition may write.
        """
        plain = {name: self.cpp(name).removeprefix("vlSelfRef.") for name in concerns}
        branches = _BRANCH.split(text)
        marked = [branches[0]]
        unmarked: set[str] = set()
        for opening, block in zip(branches[1::2], branches[2::2], strict=True):
            names = {m[2] for m in _NAME.finditer(block)}
            written = {name for name in concerns if plain[name] in names}
            if "if (" not in opening:
                unmarked = {name for name in written if not self.kind(name).startswith("VlUnpacked")}
                written -= unmarked
            marks = self.mark(set().union(*(concerns[name] for name in written)))
            marked += [opening, f"        {marks}\n" if marks else "", block]
        return "".join(marked), unmarked

    def _differs(self, name: str, old: str) -> str:
        if self.kind(name).startswith("VlWide"):
            return f"uint64_t(0 != std::memcmp(&{old}, &{self.cpp(name)}, sizeof {old}))"
        return f"uint64_t({old} ^ {self.cpp(name)})"


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
    segments = _schedule(clocked.statements)
    writer = _Writer(clocked, segments, members)
    for segment in segments:
        for statement in segment:
            statement.text = _rename_locals(statement, writer)
    constants = sorted({line for text in sources.values() for line in re.findall(r"^extern const .*;$", text, re.M)})
    preamble = "\n".join(['#include "Vtop__pch.h"', "#include <cstring>", *constants, ""])

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
    ports = [name for name, kind in members.items() if kind.startswith("VL_IN") and writer.consumers.get(name)]
    watch = "".join(
        f"    if (0 != std::memcmp(&vlSelfRef.weft_port_{p}, &vlSelfRef.{p}, sizeof vlSelfRef.{p})) {{ "
        f"std::memcpy(&vlSelfRef.weft_port_{p}, &vlSelfRef.{p}, sizeof vlSelfRef.{p}); "
        f"{writer.mark(writer.consumers[p])} }}\n"
        for p in ports
    )
    input_writer = _Writer(inputs, [inputs.statements], members)
    input_writer.consumers = defaultdict(set, {n: c for n, c in writer.consumers.items() if n not in clocked.locals})
    input_writer.shared = set()
    for statement in inputs.statements:
        statement.text = _rename_locals(statement, input_writer)
    on_input = watch + input_writer.segment(None, inputs.statements)
    prototypes = "".join(f"void weft_segment_{k}({_MODEL}* vlSelf);\n" for k in range(len(segments)))
    start = f"({_MODEL}* vlSelf) {{\n    auto& vlSelfRef = *vlSelf;\n"
    # Triggers are the harness's business: it calls these for an edge and for changed inputs only.
    (directory / "Vtop_activity.cpp").write_text(
        f"{preamble}{prototypes}void weft_edge{start}{edge}}}\nvoid weft_inputs{start}{on_input}}}\n"
    )

    everything = [(1 << min(64, len(segments) - 64 * word)) - 1 for word in range(writer.words)]
    start_value = ", ".join(f"{bits:#x}ull" for bits in everything)
    fields = [f"    uint64_t weft_changed[{writer.words}] = {{{start_value}}};"]
    fields += [f"    {clocked.locals[name]} weft_{name.replace('.', '_')}{{}};" for name in sorted(writer.shared)]
    fields += [f"    decltype({p}) weft_port_{p}{{}};" for p in ports]
    header.write_text(declarations.replace(place, "\n".join([*fields, place])))
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
