/* For all packets: each is written once and complete, either alone, or in a super-packet that the device splits into the
 * same number of packets with the same total payload. The input of the function does not change.
 *
 * Input: 1 byte for the offloads and for what is not joined; then packets, each with 2 bytes of length before it. */

#include "fuzz.h"

enum { PACKETS = 300 };

/* Return the number of packets that the device makes from the frame. Their sizes are added to `sum`. */
static uint32_t count_packets(const uint8_t *frame, uint32_t size, uint64_t *sum)
{
    struct vnet_header vnet;
    memcpy(&vnet, frame, sizeof vnet);
    size -= (uint32_t)sizeof vnet;
    if (vnet.gso_type == GSO_NONE) {
        CHECK(!vnet.flags && !vnet.gso_size);
        *sum += size;
        return 1;
    }
    const uint8_t *packet = frame + sizeof vnet;
    bool ipv4 = is_ipv4(packet);
    CHECK(vnet.flags == NEEDS_CSUM && vnet.gso_size && vnet.hdr_len < size && size <= IP_MOST);
    CHECK(size == (ipv4 ? get16(packet + IPV4_LENGTH) : get16(packet + IPV6_LENGTH) + IPV6_HEADER));
    uint32_t payload = size - vnet.hdr_len, count = (payload + vnet.gso_size - 1) / vnet.gso_size;
    CHECK(count > 1);
    *sum += payload + (uint64_t)count * vnet.hdr_len;
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t offload[4] = {0, TUN_F_USO4, TUN_F_USO6, TUN_F_USO4 | TUN_F_USO6};
    static uint8_t frame[70000];
    struct input in = {data, size};
    struct pair pair = the_pair();
    struct fastpath *f = make_state(1, 16, 65536, PACKETS);
    uint8_t *inbox = bytes_at(f->inbox), *before = memory(65536);
    uint32_t place = 0, count = 0;
    uint64_t bytes = 0;
    uint32_t choice = take_number(&in, 1);
    f->offload = offload[choice % 4];
    f->unjoined = choice / 4 % 4;
    while (in.size && count < PACKETS && place < 65536) {
        size_t got = take_bytes(&in, inbox + place, take_number(&in, 2) % (65536 - place));
        ints_at(f->packets)[count] = (int32_t)place;
        ints_at(f->packet_lengths)[count++] = (int32_t)got;
        place += (uint32_t)got;
        bytes += got;
    }
    memcpy(before, inbox, 65536);
    uint32_t refused = (uint32_t)wgembed_write(f, pair.tun, inbox, (int32_t)count), written = 0;
    CHECK(memcmp(before, inbox, 65536) == 0);
    uint64_t arrived = 0;
    for (ssize_t got; (got = recv(pair.kernel, frame, sizeof frame, 0)) > 0;)
        written += count_packets(frame, (uint32_t)got, &arrived);
    /* The socket can be full, and then packets are refused. */
    CHECK(written + refused == count && (refused ? arrived < bytes : arrived == bytes));
    free(before);
    free_state(f);
    return 0;
}

static inline size_t fuzz_sample(uint8_t *data, struct numbers *n)
{
    size_t size = 1;
    uint32_t sequence[2] = {0, 0}, payload = 1 + number_below(n, 1000);
    bool ipv4 = number_below(n, 2), tcp = number_below(n, 4);
    data[0] = (uint8_t)number_below(n, 256);
    for (uint32_t i = number_below(n, 40); i > 0; i--) {
        uint32_t which = number_below(n, 4) == 0, length = number_below(n, 16) ? payload : number_below(n, 1000);
        uint32_t total = sample_packet(data + size + 2, n, ipv4 ^ which, tcp, sequence[which], length);
        sequence[which] += length;
        put16(data + size, total);
        size += 2 + total;
    }
    return size;
}
