#!/bin/sh
# Runs programs on an emulated processor with AVX-512, for machines that have none: the tests of every
# level. Nothing is downloaded. Needs bochs with bochs-term, isolinux,
# syslinux-common, xorriso, cpio, busybox-static, and a Linux kernel image for PCs; names are Debian's.
#
# Usage: emulate.sh KERNEL 'COMMAND' [FILE...]
#   KERNEL   vmlinuz, for instance out of the package linux-image-cloud-amd64
#   COMMAND  what the guest's shell runs; files stand in its root directory
#   FILE     programs (their shared libraries come along) and data
#
# CPU=corei3_cnl      has AVX-512 F BW CD DQ VL and VBMI; corei7_skylake_x has no VBMI
# SECONDS_MOST=1200   how long to wait
#
# The exit status is that of COMMAND. Time in the guest says nothing about speed.
#
#   cargo test -p g7xx --release --no-run
#   benches/emulate.sh vmlinuz 'G7XX_FRAMES=14 ./levels-*; G7XX_FRAMES=60 ./batch-*' target/release/deps/{levels,batch}-<hash>
set -eu
kernel=$1
command=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/tmp" "$work/disc"
cp "$(command -v busybox)" "$root/bin/busybox"
for file in "$@"; do
    cp "$file" "$root/"
    if ldd "$file" >/dev/null 2>&1; then
        strip "$root/$(basename "$file")"
        ldd "$file" | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp -L "$library" "$root$library"
        done
    fi
done
cat >"$root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install /bin
export PATH=/bin
mount -t proc none /proc
mount -t devtmpfs none /dev
cd /
sh /command 2>&1
echo "exit status $?"
sleep 1
poweroff -f
EOF
printf '%s\n' "$command" >"$root/command"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/disc/initrd"
cp "$kernel" "$work/disc/linux"
cp "${ISOLINUX:-/usr/lib/ISOLINUX/isolinux.bin}" "$work/disc/isolinux.bin"
cp "${SYSLINUX:-/usr/lib/syslinux/modules/bios}/ldlinux.c32" "$work/disc/"
# The sizes that this emulator gives for compressed register states and for protection keys are not
# consistent; Linux would do without vectors then.
cat >"$work/disc/isolinux.cfg" <<'EOF'
default emulated
label emulated
 kernel linux
 append initrd=initrd console=ttyS0 quiet nokaslr mitigations=off nosmp acpi=off pci=off tsc=reliable panic=-1 8250.nr_uarts=1 clearcpuid=xsaves,xsavec,pku
EOF
cd "$work"
xorriso -as mkisofs -quiet -o disc.iso -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table disc >xorriso.log 2>&1
bios=${BOCHS_SHARE:-/usr/share/bochs}
cat >bochsrc <<EOF
plugin_ctrl: unmapped=1, biosdev=1, extfpuirq=1, serial=1
config_interface: textconfig
display_library: term
cpu: model=${CPU:-corei3_cnl}, count=1, ips=100000000, reset_on_triple_fault=0
megs: 512
romimage: file=$bios/BIOS-bochs-latest
vgaromimage: file=$bios/VGABIOS-lgpl-latest
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="disc.iso", status=inserted
com1: enabled=1, mode=file, dev="serial.txt"
clock: sync=none
log: bochs.log
panic: action=fatal
EOF
echo c >start
# The emulator wants a terminal, and may not end by itself.
touch serial.txt
TERM=xterm timeout "${SECONDS_MOST:-1200}" script -qfc 'bochs -q -f bochsrc -rc start' /dev/null \
    >bochs.out 2>&1 </dev/null &
emulator=$!
tail -f --pid=$emulator serial.txt &
reader=$!
while kill -0 $emulator 2>/dev/null && ! grep -q 'reboot: \|Kernel panic' serial.txt; do sleep 1; done
kill $emulator 2>/dev/null || true
wait $emulator 2>/dev/null || true
kill $reader 2>/dev/null || true
status=$(tr -d '\r' <serial.txt | sed -n 's/^exit status //p' | tail -1)
exit "${status:-99}"
