/*
 * Numbers and layouts that the Zig bindings write by hand (native/zig/sys/kvm.zig, sys/uffd.zig,
 * sys/image.zig), compared with the kernel's own headers when the library is built. Nothing here
 * runs.
 */
#include <linux/fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sys/ioctl.h>

#define SAME(a, b) _Static_assert((a) == (b), #a " differs from sys/*.zig")

SAME(KVM_API_VERSION, 12);
SAME(KVM_CREATE_VM, 0xae01);
SAME(KVM_GET_SUPPORTED_CPUID, 0xc008ae05);
SAME(KVM_SET_USER_MEMORY_REGION, 0x4020ae46);
SAME(KVM_SET_TSS_ADDR, 0xae47);
SAME(KVM_SET_IDENTITY_MAP_ADDR, 0x4008ae48);
SAME(KVM_RUN, 0xae80);
SAME(KVM_SET_SREGS, 0x4138ae84);
SAME(KVM_INTERRUPT, 0x4004ae86);
SAME(KVM_SET_MSRS, 0x4008ae89);
SAME(KVM_SET_CPUID2, 0x4008ae90);
SAME(KVM_NMI, 0xae9a);
SAME(KVM_GET_TSC_KHZ, 0xaea3);
SAME(KVM_SET_TSC_KHZ, 0xaea2);
SAME(KVM_SET_DEBUGREGS, 0x4080aea2);
SAME(offsetof(struct kvm_debugregs, dr7), 40);
SAME(KVM_SET_GUEST_DEBUG, 0x4048ae9b);
SAME(offsetof(struct kvm_guest_debug, arch.debugreg), 8);
SAME(KVM_GUESTDBG_ENABLE, 1);
SAME(KVM_GUESTDBG_SINGLESTEP, 2);
SAME(KVM_GUESTDBG_USE_SW_BP, 0x10000);
SAME(KVM_GUESTDBG_USE_HW_BP, 0x20000);
SAME(KVM_GUESTDBG_INJECT_BP, 0x80000);
SAME(KVM_EXIT_DEBUG, 4);
SAME(offsetof(struct kvm_run, debug.arch.exception), 32);
SAME(offsetof(struct kvm_run, debug.arch.pc), 40);
SAME(offsetof(struct kvm_run, debug.arch.dr6), 48);
SAME(KVM_ENABLE_CAP, 0x4068aea3);
SAME(KVM_X86_SET_MSR_FILTER, 0x4188aec6);
SAME(offsetof(struct kvm_msr_filter, ranges), 8);
SAME(sizeof(struct kvm_msr_filter_range), 24);
SAME(offsetof(struct kvm_msr_filter_range, bitmap), 16);
SAME(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, 3);
SAME(KVM_CAP_X86_MSR_FILTER, 189);
SAME(KVM_SET_DEVICE_ATTR, 0x4018aee1);
SAME(KVM_GET_DEVICE_ATTR, 0x4018aee2);
SAME(sizeof(struct kvm_regs), 144);
SAME(sizeof(struct kvm_sregs), 312);
SAME(sizeof(struct kvm_segment), 24);
SAME(offsetof(struct kvm_segment, type), 14);
SAME(offsetof(struct kvm_segment, unusable), 22);
SAME(offsetof(struct kvm_regs, rip), 128);
SAME(offsetof(struct kvm_sregs, gdt), 192);
SAME(offsetof(struct kvm_sregs, cr0), 224);
SAME(offsetof(struct kvm_sregs, apic_base), 272);
SAME(offsetof(struct kvm_cpuid2, entries), 8);
SAME(offsetof(struct kvm_userspace_memory_region, userspace_addr), 24);
SAME(offsetof(struct kvm_enable_cap, args), 8);
SAME(offsetof(struct kvm_device_attr, addr), 16);
SAME(offsetof(struct kvm_msrs, entries), 8);
SAME(sizeof(struct kvm_msr_entry), 16);
SAME(sizeof(struct kvm_cpuid_entry2), 40);
SAME(sizeof(struct kvm_vcpu_events), 64);
SAME(offsetof(struct kvm_vcpu_events, flags), 20);
SAME(KVM_VCPUEVENT_VALID_NMI_PENDING, 1);
SAME(KVM_VCPUEVENT_VALID_SHADOW, 4);
SAME(offsetof(struct kvm_run, exit_reason), 8);
SAME(offsetof(struct kvm_run, cr8), 16);
SAME(offsetof(struct kvm_run, apic_base), 24);
SAME(offsetof(struct kvm_run, io), 32);
SAME(offsetof(struct kvm_run, io.data_offset), 40);
SAME(offsetof(struct kvm_run, mmio.len), 48);
SAME(offsetof(struct kvm_run, msr.index), 44);
SAME(offsetof(struct kvm_run, msr.data), 48);
SAME(offsetof(struct kvm_run, internal.data), 40);
SAME(offsetof(struct kvm_run, emulation_failure.insn_size), 48);
SAME(KVM_INTERNAL_ERROR_EMULATION, 1);
SAME(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 1);
SAME(offsetof(struct kvm_run, kvm_valid_regs), 288);
SAME(offsetof(struct kvm_run, s), 304);
SAME(KVM_EXIT_EXCEPTION, 1);
SAME(offsetof(struct kvm_run, ex.error_code), 36);
SAME(KVM_EXIT_IO, 2);
SAME(KVM_EXIT_HLT, 5);
SAME(KVM_EXIT_MMIO, 6);
SAME(KVM_EXIT_IRQ_WINDOW_OPEN, 7);
SAME(KVM_EXIT_SHUTDOWN, 8);
SAME(KVM_EXIT_FAIL_ENTRY, 9);
SAME(KVM_EXIT_INTR, 10);
SAME(KVM_EXIT_SET_TPR, 11);
SAME(KVM_EXIT_INTERNAL_ERROR, 17);
SAME(KVM_EXIT_X86_RDMSR, 29);
SAME(KVM_EXIT_X86_WRMSR, 30);
SAME(KVM_CAP_SYNC_REGS, 74);
SAME(KVM_CAP_X86_USER_SPACE_MSR, 188);
SAME(KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 190);
SAME(KVM_CAP_PMU_CAPABILITY, 212);
SAME(KVM_PMU_CAP_DISABLE, 1);
SAME(KVM_SYNC_X86_REGS, 1);
SAME(KVM_SYNC_X86_SREGS, 2);

SAME(F_OFD_SETLK, 37);
SAME(F_RDLCK, 0);
SAME(F_WRLCK, 1);
SAME(sizeof(struct flock), 32);
SAME(offsetof(struct flock, l_start), 8);
SAME(offsetof(struct flock, l_pid), 24);

SAME(UFFDIO_API, 0xc018aa3f);
SAME(UFFDIO_REGISTER, 0xc020aa00);
SAME(UFFDIO_WAKE, 0x8010aa02);
SAME(UFFDIO_COPY, 0xc028aa03);
SAME(UFFDIO_WRITEPROTECT, 0xc018aa06);
SAME(UFFDIO_CONTINUE, 0xc020aa07);
SAME(UFFD_EVENT_PAGEFAULT, 0x12);
SAME(UFFD_PAGEFAULT_FLAG_WRITE, 1);
SAME(UFFD_PAGEFAULT_FLAG_WP, 2);
SAME(UFFD_FEATURE_MISSING_SHMEM, 1 << 5);
SAME(UFFD_FEATURE_THREAD_ID, 1 << 8);
SAME(UFFD_FEATURE_MINOR_SHMEM, 1 << 10);
SAME(UFFD_FEATURE_WP_HUGETLBFS_SHMEM, 1 << 12);
SAME(UFFD_FEATURE_WP_UNPOPULATED, 1 << 13);
SAME(UFFDIO_REGISTER_MODE_MISSING, 1);
SAME(UFFDIO_REGISTER_MODE_WP, 2);
SAME(UFFDIO_REGISTER_MODE_MINOR, 4);
SAME(UFFDIO_COPY_MODE_WP, 2);
SAME(UFFDIO_CONTINUE_MODE_WP, 2);
SAME(UFFDIO_WRITEPROTECT_MODE_WP, 1);
SAME(offsetof(struct uffdio_register, mode), 16);
SAME(offsetof(struct uffdio_copy, mode), 24);
SAME(offsetof(struct uffdio_copy, copy), 32);
SAME(offsetof(struct uffdio_continue, mode), 16);
SAME(offsetof(struct uffdio_continue, mapped), 24);
SAME(offsetof(struct uffdio_writeprotect, mode), 16);
SAME(sizeof(struct uffd_msg), 32);
SAME(offsetof(struct uffd_msg, arg.pagefault.address), 16);
SAME(offsetof(struct uffd_msg, arg.pagefault.feat.ptid), 24);
