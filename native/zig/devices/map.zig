//! Where devices are. src/machine/map.ts says the same to the tables the guest reads; its test
//! compares the two.

pub const uart_port = 0x3f8;
pub const uart_irq = 4;
pub const pm1a_event = 0x600;
pub const pm1a_control = 0x604;
pub const pm_timer = 0x608;
pub const reset_port = 0xcf9;
pub const reset_value = 6;
pub const s5_sleep_type = 5;
pub const rtc_irq = 8;
pub const sci_irq = 9;
pub const pit_gsi = 2;
pub const io_apic_gpa = 0xfec0_0000;
pub const io_apic_pins = 24;
pub const local_apic_gpa = 0xfee0_0000;
pub const crtc_port = 0x3d4;
pub const debug_exit_port = 0xf4;
/// The test device of the built-in guest.
pub const probe_gpa = 0xfed8_0000;
pub const probe_port = 0x500;
/// PCI: configuration by ports and by memory (ECAM, bus 0), the range of the devices' memory, and
/// the I/O APIC's pins their INTA# lines are wired to.
pub const pci_address_port = 0xcf8;
pub const pci_data_port = 0xcfc;
pub const ecam_gpa = 0xe000_0000;
pub const ecam_bytes = 0x10_0000;
pub const pci_window_gpa = 0xc000_0000;
pub const pci_window_bytes = 0x2000_0000;
pub const pci_first_gsi = 16;
pub const pci_gsis = 8;
