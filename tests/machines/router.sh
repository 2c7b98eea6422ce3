# wgembed as a router from UCI, in the namespace a. In b are the kernel's WireGuard (wgk) and wireguard-go (wgg), each the peer
# of one interface of the router (wg0, wg1). `routers` goes through everything with one command of wgembed. It writes lines: "check
# LABEL-NAME ok" or "check LABEL-NAME FAILED what was seen". With
# REKEY=no it leaves out what takes two minutes, unless idle time passes at once.

. /job/network.sh
STATE=/tmp/state; LOG=/tmp/log.router
KERNEL=10.9.0.2; GO=10.8.0.2
port=5000

check() { # NAME COMMAND...: what the command writes explains why it fails
    check=$1; shift
    if "$@" >/tmp/seen 2>&1; then echo "check $label-$check ok"; else
        echo "check $label-$check FAILED $(tail -n 12 /tmp/seen | cut -c1-300 | tr '\n' '|')"
    fi
}
logged() { # PATTERN TENTHS: waits for it
    tries=0
    until grep -q -e "$1" $LOG; do
        tries=$((tries + 1)); [ $tries -lt $2 ] || { echo "not in the log: $1"; tail -n 8 $LOG; return 1; }
        sleep 0.1
    done
}
not_logged() { ! grep -e "$1" $LOG; }
near() { ip netns exec a "$@"; }
far() { nsenter -t $go -m -n "$@"; }
begin() { # COMMAND...: starts the router
    : > $LOG
    WGEMBED_STATE_DIR=$STATE LOG_LEVEL=verbose ip netns exec a "$@" run --config-dir /tmp/config >$LOG 2>&1 &
    router=$!
    logged "(run) ready" 600
}
finish() { kill $router; wait $router; }
configure() { # NAME: replaces the configuration
    mkdir -p /tmp/config; cp /job/config/$1 /tmp/config/.new; mv /tmp/config/.new /tmp/config/wgembed
}

setup_far() {
    # A folder of sockets of its own: the commands of the router must not see the other end.
    LOG_LEVEL=error ip netns exec b \
        sh -c 'mount -t tmpfs none /var/run/wireguard && exec wireguard-go -f wgg' >/tmp/log.wgg 2>&1 &
    go=$!; tries=0
    until far wg show wgg >/dev/null 2>&1; do
        tries=$((tries + 1)); [ $tries -lt 300 ] || { echo "no wireguard-go"; cat /tmp/log.wgg; return; }
        sleep 0.1
    done
    ip -n b link add wgk type wireguard
    for pair in "wgk $KERNEL 51821" "wgg $GO 51822"; do
        set -- $pair
        far wg set $1 private-key /job/far listen-port $3
        ip -n b addr add $2/24 dev $1; ip -n b link set $1 mtu 1420 up
    done
}
far_peer() { # INTERFACE ENDPOINT: the router is its peer, anew; without ENDPOINT it must wait for the router
    allowed=10.8.0.0/24; [ $1 = wgg ] || allowed=10.9.0.0/24
    far wg set $1 peer "$(cat /job/near.pub)" remove
    far wg set $1 peer "$(cat /job/near.pub)" allowed-ips $allowed ${2:+endpoint $2}
}
shake() { far wg show $1 latest-handshakes | cut -f2; }

answered() { # NAMESPACE ADDRESS COUNT INTERVAL: all pings are answered
    ip netns exec $1 ping -c $3 -i $4 -W 5 $2 >/tmp/ping.$1.$2 2>&1
    grep -q "^$3 packets transmitted, $3 packets received" /tmp/ping.$1.$2 || { tail -n 3 /tmp/ping.$1.$2; return 1; }
}
router_begins() { # INTERFACE ADDRESS FAMILY: of the far end, which knows no endpoint
    answered a $2 2 0.2 || return
    case $3 in 4) outside=10.0.0.1:51820 ;; 6) outside=\\[fd00::1]:51820 ;; esac
    [ $1 = wgk ] || outside=${outside%0}9
    far wg show $1 endpoints | grep -q -e "$outside\$" || { far wg show $1 endpoints; return 1; }
    logged "sending initiation to" 1 && logged "response received, keypair created" 1
}
far_begins() { # INTERFACE ROUTER-ADDRESS FAMILY
    case $3 in 4) outside=10.0.0.1:51820 ;; 6) outside=[fd00::1]:51820 ;; esac
    [ $1 = wgk ] || outside=${outside%0}9
    before=$(grep -c "initiation received, sending response" $LOG)
    far_peer $1 $outside
    answered b $2 2 0.2 || return
    [ "$(grep -c "initiation received, sending response" $LOG)" -gt $before ] || { tail -n 5 $LOG; return 1; }
}
stream_from() { # NAMESPACE OF-SENDER NAMESPACE OF-RECEIVER ADDRESS $BYTES
    port=$((port + 1))
    ip netns exec $2 stream take $port $4 >/tmp/took 2>&1 &
    taker=$!; sleep 0.3
    ip netns exec $1 timeout 60 stream give $3 $port $4 && wait $taker && cat /tmp/took
}
reloaded() { # pings through both tunnels, while the configuration changes and changes back
    answered a $KERNEL 30 0.1 >/tmp/reload.a 2>&1 & first=$!
    answered b 10.8.0.1 30 0.1 >/tmp/reload.b 2>&1 & second=$!
    for config in more-$1 router-$1; do
        sleep 0.6; configure $config; count=$(grep -c "configuration applied" $LOG); kill -HUP $router
        tries=0
        until [ "$(grep -c "configuration applied" $LOG)" -gt $count ]; do
            tries=$((tries + 1)); [ $tries -lt 200 ] || { tail -n 5 $LOG; return 1; }
            sleep 0.1
        done
        near wg show wg0 peers | wc -l
    done >/tmp/peers
    wait $first || { cat /tmp/reload.a; return 1; }
    wait $second || { cat /tmp/reload.b; return 1; }
    [ "$(tr '\n' ' ' </tmp/peers)" = "2 1 " ] || { echo "peers: $(cat /tmp/peers)"; return 1; }
}
flooded() { # a stream, while strangers send initiations with a valid MAC, and junk
    ip netns exec b hostile flood 10.0.0.1 51820 /job/initiations 148 200 & one=$!
    ip netns exec b hostile flood 10.0.0.1 51829 /job/initiations 148 200 & two=$!
    ip netns exec b hostile flood 10.0.0.1 51820 /job/junk 100 200 & three=$!
    sleep 1
    stream_from a b $KERNEL 131072 && stream_from b a 10.8.0.1 131072; status=$?
    kill $one $two $three
    return $status
}
remembered() { # the commands say that there was a flood
    near "$@" status --json >/tmp/json || return
    # A slow CPU drops initiations before it looks at them.
    for reason in "hs_[a-z_]*" rx_malformed; do
        grep -q "\"$reason\": *[1-9]" /tmp/json || { echo "no $reason"; cut -c1-2000 /tmp/json; return 1; }
    done
}
hungry() { # the kernel ends the process that took all memory, and nothing else
    hostile eat & eater=$!
    wait $eater; status=$?
    [ $status = 137 ] || { echo "the eater: $status"; return 1; }
    kill -0 $router || { echo "the router is gone"; dmesg | tail -n 5; return 1; }
    # The kernel has dropped the code of all programs, and reads it again from the disk.
    tries=0
    until answered a $KERNEL 2 0.2 && answered a $GO 2 0.2; do
        tries=$((tries + 1)); [ $tries -lt 10 ] || return 1
        sleep 1
    done
}
status_up() {
    near "$@" status >/tmp/status && [ "$(grep -c ": up, handshake" /tmp/status)" = 2 ] || { cat /tmp/status; return 1; }
}
diagnosed() { # both interfaces and both peers; an initiation that the flood began may still have no answer
    tries=0
    until near "$@" diagnose >/tmp/diagnosis && [ "$(grep -c "no problem found" /tmp/diagnosis)" = 4 ]; do
        tries=$((tries + 1)); [ $tries -lt 10 ] || { cat /tmp/diagnosis; return 1; }
        answered a $KERNEL 1 1 && answered a $GO 1 1
        sleep 1
    done
}
shown() { # `wg show` and ours write the same
    for name in wg0 wg1; do
        near wg show $name dump | cut -f1,2,3,4,9 >/tmp/theirs; near "$@" show $name dump | cut -f1,2,3,4,9 >/tmp/ours
        cmp /tmp/theirs /tmp/ours || { cat /tmp/theirs /tmp/ours; return 1; }
        [ "$(wc -l </tmp/theirs)" = 2 ] || { cat /tmp/theirs; return 1; }
    done
}
in_1970() { # the router starts anew with a clock that was never set, and has only its flash
    now=$(date +%s); finish; rm -rf /var/run/wgembed
    [ -s $STATE/clock ] || { ls -l $STATE; return 1; }
    date -s @1000 >/dev/null
    begin "$@" && answered a $KERNEL 2 0.2 && answered a $GO 2 0.2; status=$?
    date -s @$((now + 10)) >/dev/null
    return $status
}
rekeyed() { # the router began both sessions: it begins the next ones after two minutes, and no ping is lost
    logged "sending initiation" 1; before=$(grep -c "response received, keypair created" $LOG)
    answered a $KERNEL 65 2 >/tmp/rekey.a 2>&1 & first=$!
    answered a $GO 65 2 >/tmp/rekey.b 2>&1 & second=$!
    wait $first || { cat /tmp/rekey.a; return 1; }
    wait $second || { cat /tmp/rekey.b; return 1; }
    after=$(grep -c "response received, keypair created" $LOG)
    [ $after = $((before + 2)) ] || { echo "$before handshakes, then $after"; tail -n 5 $LOG; return 1; }
}

routers() { # LABEL FAMILY EXPECTED COMMAND...: the family of the tunnel to the kernel, and what the log says of the C library
    label=$1; family=$2; expected=$3; shift 3
    other=$((10 - family))
    rm -rf $STATE /var/run/wgembed; mkdir -p $STATE
    configure router-$family; far_peer wgk; far_peer wgg
    check ready begin "$@"
    kill -0 $router || return
    check library logged "$expected" 1
    check kernel-router-begins router_begins wgk $KERNEL $family
    check go-router-begins router_begins wgg $GO $other
    check kernel-begins far_begins wgk 10.9.0.1 $family
    check go-begins far_begins wgg 10.8.0.1 $other
    check stream-to-kernel stream_from a b $KERNEL $BYTES
    check stream-from-kernel stream_from b a 10.9.0.1 $BYTES
    check stream-to-go stream_from a b $GO $BYTES
    check stream-from-go stream_from b a 10.8.0.1 $BYTES
    check reload reloaded $family
    check flood flooded
    check status status_up "$@"
    check dropped remembered "$@"
    check diagnose diagnosed "$@"
    check wg-show shown "$@"
    check memory hungry
    check clock-1970 in_1970 env WGEMBED_CHACHA20=0 "$@"
    check plain-cipher not_logged "its ChaCha20"
    [ "$REKEY" = no ] || check rekey rekeyed
    check stream-afterwards stream_from a b $KERNEL 65536
    check no-failure not_logged "Traceback\|MemoryError"
    finish
}
