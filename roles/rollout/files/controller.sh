#!/bin/sh
# Who is at work here, and is somebody who was at work still there? Runs on the controller.
#   controller.sh who          prints "<user>@<host> pid <pid> since <start time>" of the ansible-playbook that called,
#                              or no more than "<user>@<host>" where no ancestor looks like one
#   controller.sh gone TEXT    prints "gone" if TEXT names a process of this machine that no longer runs
set -eu
# One text for a start time, whoever asks.
export TZ=UTC0 LC_ALL=C
here="$(id -un)@$(uname -n)"

start_of() { ps -o lstart= -p "$1" 2>/dev/null | sed 's/^ *//; s/ *$//'; }

# The topmost ancestor that is an ansible program: lookups run in its forks.
playbook() {
  pid=$PPID found=
  while [ "$pid" -gt 1 ]; do
    case $(ps -o args= -p "$pid") in *ansible-playbook*|*"ansible playbook"*|*ansible-runner*) found=$pid ;; esac
    pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
  done
  echo "$found"
}

case $1 in
  who)
    pid=$(playbook)
    echo "$here${pid:+ pid $pid since $(start_of "$pid")}"
    ;;
  gone)
    case $2 in "$here pid "*) ;; *) exit 0 ;; esac
    pid=${2#"$here pid "} && pid=${pid%% *}
    [ "$(start_of "$pid")" = "${2#* since }" ] || echo gone
    ;;
esac
