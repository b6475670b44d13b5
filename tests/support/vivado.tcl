# Stands in for Vivado's Tcl commands: keeps what a script makes, refuses what Vivado would refuse, and prints the design
# as lines of `kind value ...` when it is validated. Pins are those of AMD PG082, PG201, PG164 and PG247.

array set kinds {
    xilinx.com:ip:processing_system7:5.5 {
        outputs {FCLK_CLK0 FCLK_RESET0_N}
        inputs {M_AXI_GP0_ACLK S_AXI_HP0_ACLK IRQ_F2P}
        managers {M_AXI_GP0} subordinates {S_AXI_HP0}
        spaces {Data} segments {S_AXI_HP0/HP0_DDR_LOWOCM}
        rule xilinx.com:bd_rule:processing_system7
        properties {PCW_CRYSTAL_PERIPHERAL_FREQMHZ PCW_USE_M_AXI_GP0 PCW_USE_S_AXI_HP0 PCW_S_AXI_HP0_DATA_WIDTH
            PCW_EN_CLK0_PORT PCW_EN_RST0_PORT PCW_FPGA0_PERIPHERAL_FREQMHZ PCW_USE_FABRIC_INTERRUPT PCW_IRQ_F2P_INTR}
    }
    xilinx.com:ip:zynq_ultra_ps_e:3.* {
        outputs {pl_clk0 pl_resetn0}
        inputs {maxihpm0_fpd_aclk saxihp0_fpd_aclk pl_ps_irq0}
        managers {M_AXI_HPM0_FPD} subordinates {S_AXI_HP0_FPD}
        spaces {Data} segments {SAXIGP2/HP0_DDR_LOW SAXIGP2/HP0_DDR_HIGH}
        rule xilinx.com:bd_rule:zynq_ultra_ps_e
        properties {PSU__USE__M_AXI_GP0 PSU__USE__M_AXI_GP1 PSU__USE__M_AXI_GP2 PSU__MAXIGP0__DATA_WIDTH
            PSU__USE__S_AXI_GP2 PSU__SAXIGP2__DATA_WIDTH PSU__FPGA_PL0_ENABLE PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ
            PSU__USE__IRQ0}
    }
    xilinx.com:ip:proc_sys_reset:5.0 {
        outputs {interconnect_aresetn peripheral_reset peripheral_aresetn}
        inputs {slowest_sync_clk ext_reset_in}
        managers {} subordinates {} spaces {} segments {} properties {}
    }
    xilinx.com:ip:smartconnect:1.0 {
        outputs {} inputs {aclk aresetn}
        managers {M00_AXI} subordinates {S00_AXI} spaces {} segments {} properties {NUM_SI NUM_MI}
    }
    weft:accelerators:weft_accelerator:1.0 {
        outputs {irq} inputs {clk rst}
        managers {mem} subordinates {host} spaces {mem} segments {host/registers} properties {}
    }
}
array set cells {}
array set driven {}
array set joined {}
set lines {}

proc note {args} { lappend ::lines $args }
proc kind {cell} {
    if {![info exists ::cells($cell)]} { error "no cell $cell" }
    return $::kinds($::cells($cell))
}
proc one_of {what path args} {
    regexp {^([^/]+)/(.*)$} $path -> cell name
    foreach group $args { if {$name in [dict get [kind $cell] $group]} { return $path } }
    error "no $what $path"
}
proc is {path group} {
    regexp {^([^/]+)/(.*)$} $path -> cell name
    return [expr {$name in [dict get [kind $cell] $group]}]
}
proc option {arguments name} {
    set at [lsearch -exact $arguments $name]
    if {$at < 0} { error "$name is missing in: $arguments" }
    return [lindex $arguments [expr {$at + 1}]]
}

proc create_bd_design {name} { note design $name; return $name }
proc create_bd_cell {args} {
    set vlnv [option $args -vlnv]
    set name [lindex $args end]
    if {![info exists ::kinds($vlnv)]} { error "no IP $vlnv in the catalogue" }
    if {[info exists ::cells($name)]} { error "cell $name is there already" }
    set ::cells($name) $vlnv
    note cell $name $vlnv
    return $name
}
proc apply_bd_automation {args} {
    set cell [lindex $args end]
    if {[option $args -rule] ne [dict get [kind $cell] rule]} { error "no such rule for $cell" }
    note automation $cell {*}[option $args -config]
}
proc set_property {args} {
    set target [lindex $args end]
    if {[lindex $args 0] ne "-dict"} { note set {*}$args; return }
    foreach {name value} [lindex $args 1] {
        regexp {^CONFIG\.(.*)$} $name -> plain
        if {$plain ni [dict get [kind $target] properties]} { error "$target has no property $name" }
        note property $target $plain $value
    }
}
proc get_bd_cells {name} { kind $name; return $name }
proc get_bd_pins {path} { return [one_of pin $path outputs inputs] }
proc get_bd_intf_pins {path} { return [one_of interface $path managers subordinates] }
proc get_bd_addr_spaces {path} { return [one_of {address space} $path spaces] }
proc get_bd_addr_segs {path} { return [one_of {address segment} $path segments] }
proc connect_bd_net {a b} {
    if {![is $a outputs] || ![is $b inputs]} { error "$a does not drive $b" }
    if {[info exists ::driven($b)]} { error "$b is driven by $::driven($b) already" }
    set ::driven($b) $a
    note net $a $b
}
proc connect_bd_intf_net {a b} {
    if {![is $a managers] || ![is $b subordinates]} { error "$a does not lead to $b" }
    foreach end [list $a $b] {
        if {[info exists ::joined($end)]} { error "$end is connected already" }
        set ::joined($end) 1
    }
    note bus $a $b
}
proc assign_bd_address {args} {
    set offset [option $args -offset]
    set range [option $args -range]
    if {$range < 4096 || $range & ($range - 1) || $offset % $range} { error "no region: $offset, $range" }
    note address [option $args -target_address_space] [lindex $args end] $offset $range
}
proc validate_bd_design {} {
    foreach cell [array names ::cells] {
        foreach pin [dict get [kind $cell] inputs] {
            if {![info exists ::driven($cell/$pin)]} { error "nothing drives $cell/$pin" }
        }
        foreach group {managers subordinates} {
            foreach pin [dict get [kind $cell] $group] {
                if {![info exists ::joined($cell/$pin)]} { error "$cell/$pin leads nowhere" }
            }
        }
    }
    note validated
}
proc save_bd_design {} { note saved }

# The rest of a project: runs do nothing; a test sets what they end with.
if {![info exists slack_ns]} { set slack_ns 0.25 }
if {![info exists progress]} { set progress 100% }
if {![info exists boards]} { set boards {} }
proc create_project {args} { note project {*}$args }
proc get_board_parts {quiet} { return $::boards }
proc current_project {} { return project }
proc current_fileset {} { return sources_1 }
proc get_files {name} { return $name }
proc get_runs {name} { return $name }
proc get_property {name of} {
    switch $name {
        PROGRESS { return $::progress }
        STATUS { return "place_design ERROR" }
        STATS.WNS { return $::slack_ns }
    }
    error "no property $name"
}
proc update_ip_catalog {} {
    if {![file exists ip/component.xml]} { error "no IP in [pwd]/ip" }
}
proc make_wrapper {args} { return weft_wrapper.v }
proc add_files {args} {
    if {"constrs_1" in $args && ![file exists [lindex $args end]]} { error "no file [lindex $args end]" }
}
proc update_compile_order {args} {}
proc launch_runs {args} { note launch {*}$args }
proc wait_on_run {name} {
    file mkdir vivado/weft.runs/impl_1 vivado/weft.gen/sources_1/bd/weft/hw_handoff
    foreach path {vivado/weft.runs/impl_1/weft_wrapper.bit vivado/weft.gen/sources_1/bd/weft/hw_handoff/weft.hwh} {
        set file [open $path w]
        puts $file "stands for [file tail $path]"
        close $file
    }
}
proc open_run {name} {}
proc report_timing_summary {args} {}
proc report_utilization {args} {}
proc dump {} { foreach line $::lines { puts [join $line "\t"] } }
