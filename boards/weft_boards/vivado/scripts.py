"""``build.tcl`` and the constraints.

The processor's own settings (DDR timing, pins) come from Vivado's files of the board where they are installed. Without
them the design still works on a board that was booted: its boot loader has set the processor up, and pynq sets clocks
and port widths when it loads a bitstream. A warning says so.
"""

from __future__ import annotations

from ..board import Board
from ..overlay import FOLDER
from .block_design import DESIGN
from .component import NAME


def build_tcl(board: Board, clock_mhz: float) -> str:
    """The script for ``vivado -mode batch``; it leaves ``weft.bit`` and ``weft.hwh`` only if the clock is met."""
    return f"""\
# Builds the bitstream for {board.title}: vivado -mode batch -source build.tcl
set here [file dirname [file normalize [info script]]]
cd $here
foreach product {{{DESIGN}.bit {DESIGN}.hwh timing.rpt utilisation.rpt}} {{ file delete $product }}
foreach product {{{DESIGN}.bit {DESIGN}.hwh}} {{ file delete {FOLDER}/$product }}

create_project -force {DESIGN} vivado -part {board.device}
# Vendors spell their boards' names with capitals in some versions of the files, and without in others.
set known [lsearch -all -inline -nocase [get_board_parts -quiet] *:{board.board_files}:part0:*]
set board_files [expr {{[llength $known] > 0}}]
if {{$board_files}} {{
    set_property board_part [lindex [lsort $known] end] [current_project]
}} else {{
    puts "WARNING: Vivado has no files of the board {board.board_files}: its boot image must set the processor up"
}}
set_property ip_repo_paths [list [file join $here ip]] [current_project]
update_ip_catalog
source block_design.tcl
set wrapper [make_wrapper -files [get_files {DESIGN}.bd] -top]
add_files -norecurse $wrapper
set_property top {DESIGN}_wrapper [current_fileset]
add_files -fileset constrs_1 -norecurse constraints.xdc
update_compile_order -fileset sources_1

launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {{[get_property PROGRESS [get_runs impl_1]] ne "100%"}} {{
    error "implementation stopped at: [get_property STATUS [get_runs impl_1]]"
}}
open_run impl_1
report_timing_summary -file timing.rpt
report_utilization -hierarchical -file utilisation.rpt
set slack [get_property STATS.WNS [get_runs impl_1]]
if {{$slack < 0}} {{
    set reached [expr {{1000.0 / ({1000 / clock_mhz:.6f} - $slack)}}]
    set way_out "build again with --clock [expr {{int($reached)}}]"
    error "the clock of {clock_mhz:g} MHz is missed by [expr {{-$slack}}] ns: $way_out"
}}
set runs [file join $here vivado {DESIGN}.runs impl_1]
file copy -force [file join $runs {DESIGN}_wrapper.bit] {DESIGN}.bit.part
set handoffs [glob -nocomplain [file join $here vivado {DESIGN}.* sources_1 bd {DESIGN} hw_handoff {DESIGN}.hwh]]
if {{[llength $handoffs] == 0}} {{ error "Vivado wrote no hardware handoff ({DESIGN}.hwh)" }}
file copy -force [lindex $handoffs 0] {DESIGN}.hwh
file rename -force {DESIGN}.bit.part {DESIGN}.bit
foreach product {{{DESIGN}.bit {DESIGN}.hwh}} {{ file copy -force $product {FOLDER} }}
puts "weft: $here/{DESIGN}.bit and {DESIGN}.hwh, worst slack $slack ns"
"""


def constraints_xdc() -> str:
    """Constraints of the whole design: the processor's IP brings the clock's, and the logic has no pins."""
    return "set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]\n"


def accelerator_xdc(clock_mhz: float) -> str:
    """The clock of the packaged accelerator where it is synthesised by itself."""
    return f"create_clock -name clk -period {1000 / clock_mhz:.6f} [get_ports clk]\n"


def readme(board: Board, config_name: str, clock_mhz: float) -> str:
    """What a person finds in the directory."""
    return f"""\
Weft on {board.title}: configuration {config_name}, {clock_mhz:g} MHz, IP {NAME}

Build (about an hour, Vivado 2020.2 or newer):    vivado -mode batch -source build.tcl
It leaves weft.bit and weft.hwh here, or an error if the clock is missed.

It also copies them into overlay/, a package for the board (as root, in its image's Python):
    pip install weft ./overlay && pynq get-notebooks weft
or without it:
    weft.open_device("pynq", "config.toml", bitstream="weft.bit")
"""
