#!/usr/bin/env bash
# The whole stack in five minutes: pull, run, logs, a published port, both daemons killed under a live
# container, the runtime swapped. Private folders and a private network namespace; all gone at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$PWD/target/release
export PATH=$bin:$PATH
dir=$(mktemp -d /var/tmp/engine-demo-XXXXXX)
ns=demo$$
pids=()

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
timed() {  # runs a command, shows it, its output and its wall time
  printf '  \033[36m$ %s\033[0m\n' "${SHOW:-$*}"
  local start end
  start=$(date +%s%N)
  "$@" 2>&1 | sed 's/^/    /'
  end=$(date +%s%N)
  printf '    \033[2m(%d ms)\033[0m\n' $(((end - start) / 1000000))
}
exec_inside() { exec nsenter --net=/run/netns/$ns "$@"; }  # only with & behind it
inside() { nsenter --net=/run/netns/$ns "$@"; }
engine() { inside "$bin/engine" -H "unix://$dir/engined.sock" "$@"; }
e() { SHOW="engine $*" timed engine "$@"; }
wait_for() {
  for _ in $(seq 500); do "$@" >/dev/null 2>&1 && return; sleep 0.02; done
  echo "demo: never came: $*" >&2; exit 1
}
# Not by `engine version`: without a daemon, that starts one.
engined_answers() { curl -fs --unix-socket "$dir/engined.sock" http://localhost/_ping; }
start_containerd() {
  # exec: the pid is the daemon's own, not that of a shell around it.
  exec_inside containerd-rs --root "$dir/root" --state "$dir/state" --address "$dir/containerd.sock" >>"$dir/containerd-rs.log" 2>&1 &
  containerd_pid=$!; pids+=($!)
}
# crun 1.8 refuses a hybrid machine's cgroups whatever it is told: there it sees version 2 alone and makes none.
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then crun=$(command -v crun); crun_arguments='[]'; else
  crun=$dir/crun; crun_arguments='["--cgroup-manager=disabled"]'
  cat >"$crun" <<'EOF'
#!/bin/sh
exec unshare -m --propagation slave sh -c 'umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec crun "$@"' sh "$@"
EOF
  chmod +x "$crun"
fi
printf '{"runtimes": {"crun": {"path": "%s", "runtimeArgs": %s}}}' "$crun" "$crun_arguments" >"$dir/daemon.json"
start_engined() {
  exec_inside engined -H "unix://$dir/engined.sock" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/engined.pid" --config-file "$dir/daemon.json" --containerd "$dir/containerd.sock" >>"$dir/engined.log" 2>&1 &
  engined_pid=$!; pids+=($!)
}
cleanup() {
  local status=$?
  trap - EXIT
  engine ps -aq 2>/dev/null | while read -r id; do engine rm -f "$id" >/dev/null 2>&1 || true; done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del $ns 2>/dev/null || true
  if [ $status != 0 ]; then
    echo "demo: failed; the daemons' last words:" >&2
    tail -n 15 "$dir"/*.log >&2 || true
  fi
  rm -rf --one-file-system "$dir"
  exit $status
}
trap cleanup EXIT

say "1  A registry on loopback with images made of this machine's own packages"
if [ ! -e target/demo/debian.tar.gz ]; then echo "  debootstrap makes a Debian, once; that takes most of a minute …"; fi
integration-tests/demo/debian-layer
ip netns add $ns && ip -n $ns link set lo up
exec_inside integration-tests/demo/registry --debian >"$dir/registry.log" 2>&1 & pids+=($!)
wait_for grep -q "all images" "$dir/registry.log"
grep served "$dir/registry.log" | grep -v '^all' | sed 's/^/  /'
image=127.0.0.1:5000/busybox:1
debian=127.0.0.1:5000/debian:12

say "2  The daemons"
start_containerd
wait_for ctr -a "$dir/containerd.sock" version
start_engined
wait_for engined_answers
echo "  containerd-rs ($containerd_pid) and engined ($engined_pid) listen"

say "3  Pull, run, look"
e pull $image
e run --rm $image echo "hello, world"
e pull $debian
SHOW="engine pull 127.0.0.1:5000/motd:1   # the same Debian, and a small layer on top" timed engine pull 127.0.0.1:5000/motd:1
e run --rm 127.0.0.1:5000/motd:1 bash -c '. /etc/os-release; echo "$PRETTY_NAME, $(dpkg -l | grep -c ^ii) packages"; cat /etc/motd'
e images
e run -d --name web -p 8080:80 $image httpd -f -h /www
e ps
SHOW="curl http://127.0.0.1:8080/" timed inside curl -s --retry 5 --retry-connrefused http://127.0.0.1:8080/

say "4  Both daemons are killed with -9 while a container writes a line every 2 ms"
e run -d --name writer $image sh -c 'i=0; while :; do echo line $i; i=$((i+1)); usleep 2000; done'
pid=$(engine inspect -f '{{.State.Pid}}' writer)
# Together, and mute: the shell would tell of each.
{ kill -9 $engined_pid $containerd_pid; wait $engined_pid $containerd_pid || true; } 2>/dev/null
if pgrep -f "^(containerd-rs|engined) .*$dir" >/dev/null; then echo "  A DAEMON STILL LIVES"; exit 1; fi
echo "  both daemons are dead"
sleep 2
[ -d /proc/$pid ] && echo "  the container (pid $pid) lives and goes on writing"
start_containerd; wait_for ctr -a "$dir/containerd.sock" version
start_engined; wait_for engined_answers
e ps
e exec writer echo "still here"
e stop -t 0 writer
engine logs writer >"$dir/lines"
awk '{ if ($2 != NR-1) { bad=1 } } END { if (bad) { print "  LINES ARE MISSING"; exit 1 } print "  " NR " lines in the log: none missing, none double" }' "$dir/lines"

say "5  The low-level runtime, swapped"
for runtime in runc-rs runc crun; do
  e run --rm --runtime $runtime $image sh -c "echo made by $runtime"
done

say "6  Cleaning up"
e rm -f web writer
e ps -a
left=$(grep -c "$dir" /proc/self/mounts || true)
echo "  mounts left behind: $left"
[ "$left" = 0 ]
say "done"
