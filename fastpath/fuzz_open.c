/* For all input: the library opens only datagrams within the received bytes. It takes only packets within their datagrams,
 * each no longer than its opened text and from the same source.
 *
 * Input: 2 bytes for the stride, 1 for the start, 1 for the number of datagrams, 1 for the good datagram; then the inbox. */

#include "fuzz.h"

static void check_taken(const struct fastpath *f, int32_t start, int32_t stride, int32_t next, const uint8_t *source,
                        uint32_t width)
{
    const int32_t *packets = ints_at(f->packets), *lengths = ints_at(f->packet_lengths);
    for (uint32_t i = 0; i < f->appended_good; i++) {
        int32_t offset = packets[i] - start - MESSAGE_HEADER, which = offset / stride;
        CHECK(offset >= 0 && offset % stride == 0 && which < next);
        CHECK(i == 0 || packets[i] > packets[i - 1]);
        CHECK(lengths[i] >= IPV4_HEADER && lengths[i] <= ints_at(f->opened)[which]);
        const uint8_t *packet = bytes_at(f->inbox) + packets[i];
        CHECK(memcmp(packet + (width == 4 ? IPV4_SOURCE : IPV6_SOURCE), source, width) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[32] = {0};
    struct input in = {data, size};
    int32_t stride = (int32_t)take_number(&in, 2), start = (int32_t)take_number(&in, 1);
    uint32_t datagrams = 1 + take_number(&in, 1) % 128, which = take_number(&in, 1);
    uint32_t inbox_size = (uint32_t)(in.size < 65536 ? in.size : 65536);
    struct fastpath *f = make_state(1, 16, inbox_size + !inbox_size, datagrams);
    take_bytes(&in, bytes_at(f->inbox), inbox_size);
    if ((uint32_t)start > inbox_size)
        start = (int32_t)inbox_size;
    int32_t count = wgembed_open(f, start, (int32_t)inbox_size, stride, key);
    CHECK(count >= 0 && (uint32_t)count <= datagrams && f->in_order <= (uint32_t)count);
    CHECK(!count || start + (int64_t)(count - 1) * stride + OVERHEAD <= inbox_size);
    for (int32_t i = 0; i < count; i++)
        CHECK(ints_at(f->opened)[i] >= -1 && ints_at(f->opened)[i] <= stride - OVERHEAD);
    if (count) {
        int32_t first = (int32_t)(which % (uint32_t)count), packet = start + first * stride + MESSAGE_HEADER;
        bool ipv4 = is_ipv4(bytes_at(f->inbox) + packet);
        uint32_t width = ipv4 ? 4 : 16, where = (uint32_t)packet + (ipv4 ? IPV4_SOURCE : IPV6_SOURCE);
        if (where + width <= inbox_size) {
            int32_t next = wgembed_append(f, packet, stride, first, count, (int32_t)where, (int32_t)width, 0);
            CHECK(next >= first && next <= count && f->appended_good <= (uint32_t)(next - first));
            check_taken(f, start, stride, next, bytes_at(f->inbox) + where, width);
        }
        CHECK(wgembed_append(f, 0, stride, count, count, 0, 4, 3) == count && f->appended_good == 3 && !f->appended_bytes);
    }
    free_state(f);
    return 0;
}

static inline size_t fuzz_sample(uint8_t *data, struct numbers *n)
{
    uint32_t payload = number_below(n, 1000), stride = payload + IPV6_HEADER + TCP_HEADER + OVERHEAD;
    bool ipv4 = number_below(n, 2);
    size_t size = 5;
    memset(data, 0, 5);
    put16(data, stride);
    data[3] = (uint8_t)number_below(n, 256);
    data[4] = number_below(n, 2) ? 0 : (uint8_t)number_below(n, 8);
    for (uint32_t i = 0, count = 1 + number_below(n, 40); i < count; i++) {
        uint8_t *message = data + size;
        memset(message, 0, stride);
        message[0] = 4;
        put_counter(message + MESSAGE_COUNTER, i);
        sample_packet(message + MESSAGE_HEADER, n, number_below(n, 16) ? ipv4 : !ipv4, true, 0, payload);
        size += stride;
    }
    return size;
}
