# Two namespaces a and b with a veth pair between them, and programs in them. For dash in a machine of tests/lab/machines.py.

ip netns add a; ip netns add b
ip link add va netns a type veth peer name vb netns b
for place in a b; do
    ip netns exec $place sh -c "echo 0 > /proc/sys/net/ipv6/conf/v$place/accept_dad"
    ip -n $place link set lo up
    ip -n $place link set v$place up
done
ip -n a addr add 10.0.0.1/24 dev va; ip -n b addr add 10.0.0.2/24 dev vb
ip -n a addr add fd00::1/64 dev va; ip -n b addr add fd00::2/64 dev vb
mkdir -p /var/run/wireguard
