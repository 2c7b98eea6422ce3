/* For all packets in the slots: runs and groups end at a valid slot, and messages stay within their slots.
 *
 * Input: 1 byte for the slots, 1 for `room`, 2 for the MTU, 18 for an address and a port; then packets, each with 2 bytes of
 * length before it. */

#include "fuzz.h"

enum { OWN = 18 };

static void check_seal(struct fastpath *f, int32_t count, uint32_t mtu)
{
    static const uint8_t key[32] = {1}, header[8] = {4};
    int32_t sizes[64];
    uint32_t total = 0;
    memcpy(sizes, ints_at(f->lengths), (size_t)count * sizeof *sizes);
    uint32_t said = wgembed_seal(f, 0, count, key, header, UINT64_MAX - 3, mtu);
    for (int32_t slot = 0; slot < count; slot++) {
        int32_t size = ints_at(f->lengths)[slot];
        CHECK(size >= sizes[slot] + OVERHEAD && (uint32_t)size <= f->slot_size + OVERHEAD);
        CHECK(size < sizes[slot] + OVERHEAD + PADDING && (size == sizes[slot] + OVERHEAD || (uint32_t)size <= mtu + OVERHEAD));
        CHECK(get_counter(message_of(f, (uint32_t)slot) + MESSAGE_COUNTER) == UINT64_MAX - 3 + (uint64_t)slot);
        total += (uint32_t)size;
    }
    CHECK(said == total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint32_t slots = 1 + take_number(&in, 1) % 64, room = 4 * (8 + take_number(&in, 1)), mtu = take_number(&in, 2);
    struct fastpath *f = make_state(slots, room, 1, 1);
    uint8_t *own = memory(OWN);
    int32_t count = 0;
    take_bytes(&in, own, OWN);
    while (in.size && (uint32_t)count < slots) {
        size_t most = take_number(&in, 2) % (room + 1);
        ints_at(f->lengths)[count] = (int32_t)take_bytes(&in, packet_of(f, (uint32_t)count), most);
        count++;
    }
    for (int32_t first = 0; first < count; first++) {
        const uint8_t *packet = packet_of(f, (uint32_t)first);
        int32_t length = ints_at(f->lengths)[first], end = wgembed_gso_group_end(f, first, count);
        CHECK(end > first && end <= count);
        for (int32_t slot = first; slot < end - 1; slot++)
            CHECK(ints_at(f->lengths)[slot] == length);
        if (length < IPV4_HEADER || (!is_ipv4(packet) && length < IPV6_HEADER))
            continue;
        for (uint32_t own_size = 0; own_size <= OWN; own_size += 6) {
            end = wgembed_end_of_run(f, first, count, own, own_size);
            CHECK(end > first && end <= count);
        }
    }
    check_seal(f, count, mtu);
    free(own);
    free_state(f);
    return 0;
}

static inline size_t fuzz_sample(uint8_t *data, struct numbers *n)
{
    size_t size = 4 + OWN;
    bool ipv4 = number_below(n, 2), tcp = number_below(n, 2);
    memset(data, 0, size);
    data[0] = (uint8_t)number_below(n, 256);
    data[1] = (uint8_t)number_below(n, 256);
    put16(data + 2, number_below(n, 1600));
    for (uint32_t i = number_below(n, 64); i > 0; i--) {
        uint32_t total = sample_packet(data + size + 2, n, ipv4, tcp, 0, number_below(n, 1000));
        put16(data + size, total);
        size += 2 + total;
    }
    return size;
}
