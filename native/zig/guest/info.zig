//! What the guest is told about the machine it runs on: one block of 64-bit words in memory, made
//! by src/machine/builtin.ts in this very layout. The guest only reads it, so every node keeps a
//! shared copy and no check is disturbed by it.

pub const magic: u64 = 0x5453_4555_474d_5647; // "GVMGUEST"
pub const version: u64 = 2;
pub const nodes_max = 64;
pub const vcpus_max = 255;
pub const page = 4096;

/// Text of `--append`, ended by a zero byte; where Linux has its command line, too.
pub const command_line_gpa = 0x20000;

/// Pages at the start of each node's area that checks write to; the vCPUs' own pages follow.
pub const test_pages = 1088;
/// The last of them are for checks that need pages nobody has touched yet.
pub const fresh_pages = 1024;
/// Pages per vCPU: one of ring 0 (tables, counters, stack), one with its result, two of stack.
pub const cpu_pages = 4;

pub const Node = extern struct {
    first_vcpu: u64,
    vcpus: u64,
    ram_gpa: u64,
    ram_bytes: u64,
    /// Test pages, then the pages of the node's vCPUs; in the node's own memory.
    area_gpa: u64,
};

pub const Info = extern struct {
    magic: u64,
    version: u64,
    nodes: u64,
    vcpus: u64,
    device_node: u64,
    seed: u64,
    tsc_khz: u64,
    /// Ticks per millisecond of the local APIC timer at divisor 1.
    apic_timer_khz: u64,
    /// How long a vCPU waits for another before the check has failed.
    wait_limit_ms: u64,
    /// Rounds of every check are multiplied by this over 100.
    scale_percent: u64,
    /// Checks that see a broken rule only by luck multiply their rounds by this: 1, more where a
    /// rule is switched off.
    hunt: u64,
    /// MMIO probe device: registers, counter, FIFO, console byte, power-off.
    probe_gpa: u64,
    /// First of its port twins.
    probe_port: u64,
    node: [nodes_max]Node,
    /// Page of ring 0 of each vCPU.
    cpu_area: [256]u64,

    pub fn nodeOf(info: *const Info, vcpu: u64) u64 {
        var n: u64 = 0;
        while (n + 1 < info.nodes and vcpu >= info.node[n + 1].first_vcpu) n += 1;
        return n;
    }

    /// The first vCPU of a node; nodes are counted in a ring.
    pub fn first(info: *const Info, node: u64) u64 {
        return info.node[node % info.nodes].first_vcpu;
    }

    pub fn last(info: *const Info, node: u64) u64 {
        const n = &info.node[node % info.nodes];
        return n.first_vcpu + n.vcpus - 1;
    }

    /// Test page `index` in the memory of `node`; nodes are counted in a ring.
    pub fn testPage(info: *const Info, node: u64, index: u64) u64 {
        return info.node[node % info.nodes].area_gpa + index * page;
    }
};

comptime {
    if (@sizeOf(Info) != 8 * (13 + 5 * nodes_max + 256)) @compileError("the layout has holes");
}
