//! Every bound of the data plane in one place, with the relations between them checked at compile
//! time. A queue that has no line here has no business existing.

pub const page_size = 4096;
pub const nodes_max = 64;
pub const vcpus_max = 255;
/// Local threads that may fault: vCPUs, the image loader, native test threads.
pub const threads_max = 256;

comptime {
    if (threads_max < vcpus_max + 1) @compileError("each vCPU and the loader need a thread slot");
}
