/* The common part of the fuzz targets: the library itself, memory of exact sizes, a socket pair that replaces the tunnel
 * device, an AEAD that does not encrypt, and a driver for machines without libFuzzer.
 *
 * A target includes this file and defines
 *   int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *   static size_t fuzz_sample(uint8_t *data, struct numbers *n)   makes a good input of at most SAMPLE bytes, to be spoilt
 */

#include "fastpath.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

enum { SAMPLE = 1 << 17 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rest of the input. After its end, the numbers are zero. */
struct input {
    const uint8_t *data;
    size_t size;
};

static inline uint32_t take_number(struct input *in, int bytes)
{
    uint32_t value = 0;
    for (; bytes > 0; bytes--) {
        value = value << 8 | (in->size ? *in->data : 0);
        if (in->size) {
            in->data++;
            in->size--;
        }
    }
    return value;
}

static inline size_t take_bytes(struct input *in, uint8_t *to, size_t most)
{
    size_t size = in->size < most ? in->size : most;
    if (size)
        memcpy(to, in->data, size);
    in->data += size;
    in->size -= size;
    return size;
}

/* Random numbers for the inputs of the driver (xorshift). */
struct numbers {
    uint64_t state;
};

static inline uint32_t number_below(struct numbers *n, uint32_t limit)
{
    n->state ^= n->state << 13;
    n->state ^= n->state >> 7;
    n->state ^= n->state << 17;
    return (uint32_t)(n->state >> 16) % limit;
}

/* The AEAD */

static inline int no_encrypt(unsigned char *c, unsigned long long *c_size, const unsigned char *m,
                             unsigned long long size, const unsigned char *ad, unsigned long long ad_size,
                             const unsigned char *secret, const unsigned char *nonce, const unsigned char *key)
{
    (void)c_size, (void)ad, (void)ad_size, (void)secret;
    memmove(c, m, (size_t)size);
    memset(c + size, key[0] ^ nonce[4], TAG);
    return 0;
}

/* The first byte of the tag decides whether the tag is right. */
static inline int no_decrypt(unsigned char *m, unsigned long long *m_size, unsigned char *secret, const unsigned char *c,
                             unsigned long long size, const unsigned char *ad, unsigned long long ad_size,
                             const unsigned char *nonce, const unsigned char *key)
{
    (void)m_size, (void)secret, (void)ad, (void)ad_size;
    bool is_wrong = (c[size - TAG] ^ nonce[4] ^ key[0]) == 0xBD;
    memmove(m, c, (size_t)(size - TAG));
    return is_wrong ? -1 : 0;
}

/* The parts of the AEAD, which do not encrypt either */
static inline int no_stream(unsigned char *c, const unsigned char *m, unsigned long long size, const unsigned char *nonce,
                            uint32_t block, const unsigned char *key)
{
    CHECK(block == 0);
    memcpy(c, m, (size_t)size);
    c[0] = key[0] ^ nonce[4];
    return 0;
}

static inline int no_authenticate(unsigned char *tag, const unsigned char *text, unsigned long long size,
                                  const unsigned char *key)
{
    uint8_t sum = 0;
    for (unsigned long long i = 0; i < size; i++)
        sum |= text[i];
    memset(tag, sum ? key[0] : 0, TAG);
    return 0;
}

static inline int no_verify(const unsigned char *tag, const unsigned char *other)
{
    return (tag[0] ^ other[0]) == 0xBD ? -1 : 0;
}

/* Memory */

static inline void *memory(size_t size)
{
    void *found = calloc(1, size);
    CHECK(found);
    return found;
}

/* Make a state with arrays and buffers of exactly these sizes. */
static inline struct fastpath *make_state(uint32_t slots, uint32_t room, uint32_t inbox_size, uint32_t datagrams)
{
    struct fastpath *f = memory(sizeof *f);
    f->abi = wgembed_abi();
    f->slots = slots;
    f->slot_size = room;
    f->stride = room + OVERHEAD;
    f->buffer_size = f->slots * f->stride;
    f->inbox_size = inbox_size;
    f->datagrams = datagrams;
    f->buffer = (uintptr_t)memory(f->buffer_size);
    f->lengths = (uintptr_t)memory(slots * sizeof(int32_t));
    f->inbox = (uintptr_t)memory(inbox_size);
    f->opened = (uintptr_t)memory(datagrams * sizeof(int32_t));
    f->counters = (uintptr_t)memory(datagrams * sizeof(uint64_t));
    f->packets = (uintptr_t)memory(datagrams * sizeof(int32_t));
    f->packet_lengths = (uintptr_t)memory(datagrams * sizeof(int32_t));
    f->encrypt = (uintptr_t)no_encrypt;
    f->decrypt = (uintptr_t)no_decrypt;
    f->stream = slots % 2 != datagrams % 2 ? (uintptr_t)no_stream : 0;
    f->authenticate = (uintptr_t)no_authenticate;
    f->verify = (uintptr_t)no_verify;
    CHECK(are_sizes_right(f) && are_pointers_right(f));
    return f;
}

static inline void free_state(struct fastpath *f)
{
    uint64_t pointers[] = {f->buffer, f->lengths, f->inbox, f->opened, f->counters, f->packets, f->packet_lengths};
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++)
        free((void *)(uintptr_t)pointers[i]);
    free(f);
}

/* The socket pair that replaces the tunnel device: bytes sent to `kernel` are read from `tun`, and the reverse. */
struct pair {
    int tun, kernel;
};

static inline struct pair the_pair(void)
{
    static struct pair pair = {-1, -1};
    if (pair.tun < 0) {
        int ends[2], size = 1 << 22;
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
        for (int i = 0; i < 2; i++) {
            CHECK(fcntl(ends[i], F_SETFL, O_NONBLOCK) == 0);
            setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        }
        pair.tun = ends[0];
        pair.kernel = ends[1];
    }
    return pair;
}

/* Samples */

/* Write a TCP or UDP packet with right checksums. Returns its size. */
static inline uint32_t sample_packet(uint8_t *at, struct numbers *n, bool ipv4, bool tcp, uint32_t sequence, uint32_t payload)
{
    uint32_t start = ipv4 ? IPV4_HEADER : IPV6_HEADER, header = start + (tcp ? TCP_HEADER : UDP_HEADER);
    uint32_t size = header + payload;
    memset(at, 0, header);
    for (uint32_t i = header; i < size; i++)
        at[i] = (uint8_t)number_below(n, 256);
    at[0] = ipv4 ? 0x45 : 0x60;
    at[ipv4 ? IPV4_PROTOCOL : IPV6_NEXT] = tcp ? TCP : UDP;
    put16(at + (ipv4 ? IPV4_LENGTH : IPV6_LENGTH), ipv4 ? size : size - IPV6_HEADER);
    if (ipv4) {
        at[IPV4_FRAGMENT] = 0x40;
        write_ipv4_checksum(at, IPV4_HEADER);
    }
    if (tcp) {
        put32(at + start + TCP_SEQUENCE, sequence);
        at[start + TCP_OFFSET] = 0x50;
        at[start + TCP_FLAGS] = TCP_ACK;
    } else {
        put16(at + start + UDP_LENGTH, size - start);
    }
    uint32_t offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    store_word(at + start + offset, fold(sum_pseudo_header(at, tcp ? TCP : UDP, size - start)));
    complete_checksum(at, size, start, offset);
    return size;
}

#ifdef FUZZ_DRIVER

static size_t fuzz_sample(uint8_t *data, struct numbers *n);

static void spoil(uint8_t *data, size_t *size, struct numbers *n)
{
    for (uint32_t i = number_below(n, 8); i > 0 && *size; i--) {
        uint32_t at = number_below(n, (uint32_t)*size), kind = number_below(n, 5);
        if (kind == 0)
            data[at] = (uint8_t)number_below(n, 256);
        else if (kind == 1)
            data[at] ^= (uint8_t)(1U << number_below(n, 8));
        else if (kind == 2)
            data[number_below(n, *size < 64 ? (uint32_t)*size : 64)] = (uint8_t)(number_below(n, 2) - 1);
        else if (kind == 3)
            data[at] = (uint8_t)(data[at] + 1);
        else if (number_below(n, 4) == 0)
            *size = at;
    }
}

static int run_file(const char *name, uint8_t *data)
{
    FILE *file = fopen(name, "rb");
    if (!file) {
        perror(name);
        return 1;
    }
    size_t size = fread(data, 1, SAMPLE, file);
    fclose(file);
    return LLVMFuzzerTestOneInput(data, size);
}

int main(int count, char **arguments)
{
    unsigned long runs = 10000, seed = 1;
    uint8_t *data = memory(SAMPLE);
    int files = 0, result = 0;
    for (int i = 1; i < count; i++) {
        if (strncmp(arguments[i], "-runs=", 6) == 0)
            runs = strtoul(arguments[i] + 6, NULL, 10);
        else if (strncmp(arguments[i], "-seed=", 6) == 0)
            seed = strtoul(arguments[i] + 6, NULL, 10);
        else {
            files++;
            result |= run_file(arguments[i], data);
        }
    }
    struct numbers n = {seed * 0x9E3779B97F4A7C15U + 1};
    for (unsigned long i = 0; i < runs && !files; i++) {
        size_t size = fuzz_sample(data, &n);
        /* The copy has the exact size, so that the sanitizer finds a read after its end. */
        spoil(data, &size, &n);
        uint8_t *exact = memory(size + !size);
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    if (!files)
        printf("%lu runs\n", runs);
    free(data);
    return result;
}

#endif
