/* For all frames of the tunnel device: the slots have packets of at most `room` bytes, as many as the function returned. It
 * writes no other memory, and each super-packet comes to its end.
 *
 * Input: 1 byte for the slots, 1 for `room`, 1 for the reads; then frames, each with 2 bytes of length before it. */

#include "fuzz.h"

enum { GUARD = 0xA5 };

static void fill(struct fastpath *f)
{
    memset(bytes_at(f->buffer), GUARD, f->buffer_size);
}

static void check_slots(struct fastpath *f, int32_t count)
{
    CHECK(count >= 0 && (uint32_t)count <= f->slots);
    CHECK(!f->pending || (uint32_t)count == f->slots);
    for (uint32_t slot = 0; slot < f->slots; slot++) {
        const uint8_t *message = message_of(f, slot);
        if (slot < (uint32_t)count)
            CHECK(ints_at(f->lengths)[slot] > 0 && (uint32_t)ints_at(f->lengths)[slot] <= f->slot_size);
        for (uint32_t i = 0; i < f->stride; i++)
            CHECK((i >= MESSAGE_HEADER && i < MESSAGE_HEADER + f->slot_size) || message[i] == GUARD);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct pair pair = the_pair();
    uint32_t slots = 1 + take_number(&in, 1) % 64, room = 8 * (1 + take_number(&in, 1)), most = 1 + take_number(&in, 1) % 64;
    struct fastpath *f = make_state(slots, room, 65536, 1);
    static uint8_t frame[65546];
    uint32_t frames = 0, filled = 0;
    while (in.size) {
        size_t got = take_bytes(&in, frame, take_number(&in, 2));
        if (send(pair.kernel, frame, got, 0) < 0)
            break;
        frames++;
    }
    for (uint32_t calls = 0;; calls++) {
        fill(f);
        int32_t count = wgembed_read(f, pair.tun, (int32_t)most);
        check_slots(f, count);
        filled += (uint32_t)count;
        /* Each segment has a byte of payload, or it is the only segment. */
        CHECK(filled <= size + frames && calls <= size + frames + 1);
        char one;
        if (!f->pending && recv(pair.tun, &one, 1, MSG_PEEK) < 0)
            break;
    }
    CHECK(f->dropped <= frames && (filled > 0 || f->dropped == frames));
    free_state(f);
    return 0;
}

static inline size_t fuzz_sample(uint8_t *data, struct numbers *n)
{
    size_t size = 3;
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)number_below(n, 256);
    for (uint32_t i = 1 + number_below(n, 4); i > 0; i--) {
        bool ipv4 = number_below(n, 2), tcp = number_below(n, 2), is_super = number_below(n, 4);
        uint32_t payload = number_below(n, number_below(n, 8) ? 2000 : 20000), start = ipv4 ? IPV4_HEADER : IPV6_HEADER;
        uint8_t *frame = data + size + 2, *packet = frame + sizeof(struct vnet_header);
        struct vnet_header vnet = {.flags = NEEDS_CSUM, .csum_start = (uint16_t)start};
        uint32_t total = sample_packet(packet, n, ipv4, tcp, 0, payload);
        vnet.csum_offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
        vnet.gso_type = !is_super ? GSO_NONE : !tcp ? GSO_UDP_L4 : ipv4 ? GSO_TCPV4 : GSO_TCPV6;
        vnet.gso_size = is_super ? (uint16_t)(1 + number_below(n, 1400)) : 0;
        memcpy(frame, &vnet, sizeof vnet);
        total += (uint32_t)sizeof vnet;
        put16(data + size, total);
        size += 2 + total;
    }
    return size;
}
