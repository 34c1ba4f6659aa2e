#!/bin/busybox sh
# First process of the Linux guest: says that user space runs, then a shell on the serial console.
# With root=DEVICE on the kernel's command line it goes on, as the same script, from that disk.
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp PS1='guest# '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
cd /tmp
for module in /modules/*.ko; do [ -e "$module" ] && insmod "$module"; done
root=$(sed -n 's/.*\broot=\([^ ]*\).*/\1/p' /proc/cmdline)
if [ -n "$root" ] && [ -d /modules ]; then
	mkdir -p /root
	mount -t ext4 "$root" /root && exec switch_root /root /init
fi
echo "GUEST-UP $(uname -r) cpus $(nproc) uptime $(cut -d' ' -f1 /proc/uptime)"
stty -F /dev/ttyS0 -echo
setsid -c sh -i </dev/ttyS0 >/dev/ttyS0 2>&1
poweroff -f
