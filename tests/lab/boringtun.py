"""Run one of the two Python packages of boringtun as a WireGuard peer, without a tunnel device: TCP/IP ends in this process.

    boringtun.py responder CONFIGURATION HOST      echoes TCP and UDP from the tunnel, on every port
    boringtun.py initiator CONFIGURATION V4 V6     connects to an echo on command; see Initiator

CONFIGURATION is the text of a file for `wg setconf`. HOST is the address at which the responder listens. V4 and V6 are the
addresses of the initiator in the tunnel.
"""

import asyncio
import configparser
import json
import sys
import time

STREAM_BYTES = 1 << 18


def parse(text):
    configuration = configparser.ConfigParser()
    configuration.read_string(text)
    return configuration["Interface"], configuration["Peer"]


async def echo(stream):
    while data := await stream.read(65536):
        stream.write(data)
        await stream.drain()
    stream.close()


async def responder(text, host):
    """mitmproxy's server: boringtun with smoltcp behind it, without preshared keys, deaf to IPv6 pings."""
    from mitmproxy_rs import wireguard

    interface, peer = parse(text)
    server = await wireguard.start_wireguard_server(
        host, int(interface["ListenPort"]), interface["PrivateKey"], [peer["PublicKey"]], echo, echo
    )
    print("ready", flush=True)
    await server.wait_closed()


class Initiator:
    """The tunnel of wireguard-requests. It reads commands, one for each line, and answers each with a line of JSON.

    stream ADDRESS PORT          send 256 KB to an echo; the answer is how many bytes came back unchanged
    datagrams ADDRESS PORT N HZ  send numbered datagrams to an echo; the answer is the numbers that did not come back
    """

    def __init__(self, text, v4, v6):
        from wireguard_requests._native import WgConfig, WgPeer, WgTunnel

        interface, peer = parse(text)
        allowed = [prefix.strip() for prefix in peer["AllowedIPs"].split(",")]
        remote = WgPeer(peer["PublicKey"], peer["Endpoint"], allowed, None, peer.get("PresharedKey"))
        self._tunnel = WgTunnel(
            WgConfig(interface["PrivateKey"], v4, [remote], prefix_len=24, address_v6=v6, prefix_len_v6=64)
        )

    def serve(self):
        print("ready", flush=True)
        for line in sys.stdin:
            name, *args = line.split()
            print("answer", json.dumps(getattr(self, name)(*args)), flush=True)

    def stream(self, address, port):
        stream = self._tunnel.create_stream(address, int(port))
        stream.set_timeout(10)
        same = 0
        for chunk in range(STREAM_BYTES // 4096):
            sent = bytes([chunk % 251]) * 4096
            stream.sendall(sent)
            back = b""
            while len(back) < len(sent):
                back += stream.recv(len(sent) - len(back))
            same += len(back) if back == sent else 0
        stream.close()
        return same

    def datagrams(self, address, port, count, rate):
        count, gap = int(count), 1 / float(rate)
        end = self._tunnel.create_udp_socket(0)
        end.set_timeout(5)
        missing = set(range(count))
        begin = time.monotonic()
        for number in range(count):
            time.sleep(max(0, begin + number * gap - time.monotonic()))
            end.send_to(str(number).encode(), (address, int(port)))
            try:
                missing.discard(int(end.recv_from(100)[0]))
            except TimeoutError:
                pass
        end.close()
        return sorted(missing)


if __name__ == "__main__":
    role, *args = sys.argv[1:]
    if role == "responder":
        asyncio.run(responder(*args))
    else:
        Initiator(*args).serve()
