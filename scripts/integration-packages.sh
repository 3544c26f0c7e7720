#!/usr/bin/env bash
# Install the programs that tests/integration runs, where they are missing: as root on Debian and Ubuntu; else say which.
set -euo pipefail

missing=()
for pair in slurmctld=slurm-wlm munged=munge cp2k=cp2k pw.x=quantum-espresso; do
	PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "${pair%=*}" >/dev/null || missing+=("${pair#*=}")
done
# A silicon potential comes with its examples, in a folder that small images leave out.
potential=/usr/share/doc/quantum-espresso/examples/XSpectra/pseudo/Si_PBE_USPP.UPF.gz
[ -e "$potential" ] || missing+=(quantum-espresso-data)
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "Install first: ${missing[*]} (on Debian and Ubuntu: sudo apt-get install ${missing[*]})" >&2
	exit 2
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends --reinstall \
	-o Dpkg::Options::=--path-include=/usr/share/doc/quantum-espresso/\* "${missing[@]}" >/dev/null
