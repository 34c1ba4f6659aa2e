#!/bin/busybox sh
# First process of an emulated host: brings up /dev/kvm and the network, runs the command that the
# kernel command line carries (lab.run=, base64) on the second console, says how it ended, powers
# off. The launcher reads the lines that start with LAB-.
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
exec </dev/ttyS0 >/dev/ttyS0 2>&1

value() { tr ' ' '\n' </proc/cmdline | sed -n "s/^lab\.$1=//p"; }

# What is not there is built in.
virtio="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console"
for module in $virtio irqbypass kvm kvm-amd failover net_failover virtio_net; do
  [ -e "/modules/$module.ko" ] || continue
  insmod "/modules/$module.ko" || echo "LAB-FAILED insmod $module"
done
ip link set lo up
# One link to each other host.
links=""
for peer in $(value peers | tr ',' ' '); do
  link=eth$(echo $links | wc -w)
  ip link set $link mtu "$(value mtu)"
  ip addr add "$(value address)" peer "$peer" dev $link
  ip link set $link up
  links="$links $link"
done
# Tells tc what each link's queue does.
disturb() {
  for link in $links; do
    /sbin/tc qdisc $1 dev $link root netem $2 || echo "LAB-FAILED tc netem $2"
  done
}
queues() {
  for link in $links; do /sbin/tc -s qdisc show dev $link; done | tr -d '\n'
}
# A bad network (lab.netem=, base64: what tc calls netem's parameters), cut now and then.
netem=$(value netem | base64 -d)
if [ -n "$netem" ]; then
  insmod /modules/sch_netem.ko || echo "LAB-FAILED insmod sch_netem"
  disturb add "$netem"
  while sleep $((1 + RANDOM % 3)); do
    disturb change "loss 100%"
    usleep "$(value cut)"
    disturb change "$netem"
  done &
fi
echo 1000000 >/proc/sys/vm/max_map_count
echo 16777216 >/proc/sys/net/core/rmem_max
echo 16777216 >/proc/sys/net/core/wmem_max
[ -c /dev/kvm ] || echo "LAB-FAILED no /dev/kvm"
[ -c /dev/hvc0 ] && stty -F /dev/hvc0 raw -echo
# The launcher asks giantvm on the third console, whatever the guest does.
if [ -c /dev/hvc1 ]; then
  GIANTVM_CONTROL=/tmp/control setsid \
    sh -c 'stty raw -echo; while read -r line; do eval "$line"; done' </dev/hvc1 >/dev/hvc1 2>&1 &
fi
echo "LAB-UP $(uname -r)"

value run | base64 -d >/tmp/run.sh
# setsid -c: the second console is the command's controlling terminal, as a shell's would be.
setsid -c sh -c 'sh /tmp/run.sh 2>/dev/ttyS0; echo $? >/tmp/code' </dev/hvc0 >/dev/hvc0
[ -f /tmp/report ] && echo "LAB-REPORT $(tr -d '\n' </tmp/report)"
[ -n "$netem" ] && echo "LAB-NETEM $(queues)"
echo "LAB-EXIT $(cat /tmp/code)"
sync
poweroff -f
