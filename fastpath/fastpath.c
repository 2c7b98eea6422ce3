/* The batch steps of the packet path, in C. They do the same as the Python code, for a run of packets.
 *
 *   wgembed_read           read packets from the tunnel device into the arena's slots, and split super-packets
 *   wgembed_end_of_run     find how many slots have the same destination
 *   wgembed_seal           pad and seal a run of slots
 *   wgembed_gso_group_end  find how many messages one segmented send can carry
 *   wgembed_open           open a run of received datagrams
 *   wgembed_append         check their inner packets, in the usual case
 *   wgembed_write          write packets to the tunnel device, and join those of one flow
 *   wgembed_choose_cipher  use our ChaCha20 instead of libsodium's, where it is faster
 *   wgembed_blake2s        BLAKE2s
 *   wgembed_hkdf           HKDF with HMAC-BLAKE2s
 *
 * Replay, routing, the life of keys, timers and counters are not here. The library has no state: all state is in one
 * struct that the caller makes. Keys are read from the caller's memory, and the AEAD is the libsodium of the caller, by
 * address. The library uses only libc, and runs on every Linux, with every byte order and word size.
 */

#define _DEFAULT_SOURCE

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "primitives.h"

/* The caller fills in this struct, and the library writes results to it. Pointers are numbers, so that the layout is the
 * same on all machines. Fields are in the byte order of the machine. The struct and the arrays are aligned to the sizes of
 * their fields. The offsets are checked below, because a change of the layout is a new ABI. */
struct fastpath {
    uint64_t buffer;         /* the arena: the message of slot i is at i * stride, its packet 16 bytes later */
    uint64_t lengths;        /* int32_t[slots]: the length of the packet, or of the message after it is sealed */
    uint64_t inbox;          /* received datagrams, or a super-packet while it is split */
    uint64_t opened;         /* int32_t[datagrams]: the length of the opened packet, or -1 if the tag is wrong */
    uint64_t counters;       /* uint64_t[datagrams] */
    uint64_t packets;        /* int32_t[datagrams]: offsets of the good inner packets */
    uint64_t packet_lengths; /* int32_t[datagrams] */
    uint64_t encrypt;        /* crypto_aead_chacha20poly1305_ietf_encrypt */
    uint64_t decrypt;        /* crypto_aead_chacha20poly1305_ietf_decrypt */
    uint64_t stream;         /* crypto_stream_chacha20_ietf_xor_ic; 0 if only the two above are known. Or our own */
    uint64_t authenticate;   /* crypto_onetimeauth_poly1305 */
    uint64_t verify;         /* crypto_verify_16 */
    uint32_t buffer_size;
    uint32_t slots;
    uint32_t stride;
    uint32_t slot_size; /* the bytes for the padded packet in a slot; the tag comes after it */
    uint32_t inbox_size;
    uint32_t datagrams;
    uint32_t offload; /* the offloads that were set on the tunnel device with TUNSETOFFLOAD */
    uint32_t pending; /* wgembed_read: the inbox still has a part of a super-packet */
    /* Results */
    uint32_t appended_bytes; /* wgembed_append: the size of the good messages, in bytes */
    uint32_t appended_good;  /* wgembed_append: the number of good packets, with those that were there before */
    uint32_t in_order;    /* wgembed_open: the number of datagrams, from the first on, that are authentic and in order */
    uint32_t dropped;     /* wgembed_read: the number of invalid packets since the start */
    /* The super-packet that is being split */
    uint32_t super_size;
    uint32_t super_transport; /* offset of its TCP or UDP header */
    uint32_t super_header;    /* bytes of all headers, which each segment gets */
    uint32_t super_segment;   /* payload of each segment, in bytes */
    uint32_t super_next;      /* offset of the payload of the next segment */
    uint32_t super_count;     /* number of segments that were made */
    uint32_t abi;             /* the wgembed_abi() that the caller expects */
    uint32_t unjoined;        /* wgembed_write: the flows whose packets are not joined: UNJOINED_TCP, UNJOINED_UDP */
    uint32_t taken;           /* wgembed_read: the number of packets read, a super-packet being one */
    uint32_t emptied;         /* wgembed_read: 1 if no packet waited after them */
};

_Static_assert(offsetof(struct fastpath, buffer_size) == 96, "layout");
_Static_assert(offsetof(struct fastpath, appended_bytes) == 128, "layout");
_Static_assert(offsetof(struct fastpath, abi) == 168, "layout");
_Static_assert(sizeof(struct fastpath) == 184, "layout");

/* The header before each packet of the tunnel device (linux/virtio_net.h), in the byte order of the machine. */
struct vnet_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
};

_Static_assert(sizeof(struct vnet_header) == 10, "layout");

typedef int aead_encrypt(unsigned char *, unsigned long long *, const unsigned char *, unsigned long long,
                         const unsigned char *, unsigned long long, const unsigned char *, const unsigned char *,
                         const unsigned char *);
typedef int aead_decrypt(unsigned char *, unsigned long long *, unsigned char *, const unsigned char *,
                         unsigned long long, const unsigned char *, unsigned long long, const unsigned char *,
                         const unsigned char *);
typedef int stream_xor(unsigned char *, const unsigned char *, unsigned long long, const unsigned char *, uint32_t,
                       const unsigned char *);
typedef int onetimeauth(unsigned char *, const unsigned char *, unsigned long long, const unsigned char *);
typedef int verify_16(const unsigned char *, const unsigned char *);

enum {
    ABI_VERSION = 6,

#if defined(__x86_64__) || defined(__i386__)
    IS_X86 = 1,
#else
    IS_X86 = 0,
#endif

    /* linux/virtio_net.h */
    NEEDS_CSUM = 1,
    GSO_NONE = 0,
    GSO_TCPV4 = 1,
    GSO_TCPV6 = 4,
    GSO_UDP_L4 = 5,
    GSO_ECN = 0x80,
    /* linux/if_tun.h */
    TUN_F_USO4 = 0x20,
    TUN_F_USO6 = 0x40,

    IPV4_HEADER = 20,
    IPV4_LENGTH = 2,
    IPV4_ID = 4,
    IPV4_FRAGMENT = 6,
    IPV4_PROTOCOL = 9,
    IPV4_CHECKSUM = 10,
    IPV4_SOURCE = 12,
    IPV4_DESTINATION = 16,
    IPV4_DF = 0x4000,
    IPV4_MF_AND_OFFSET = 0x3FFF,

    IPV6_HEADER = 40,
    IPV6_LENGTH = 4,
    IPV6_NEXT = 6,
    IPV6_SOURCE = 8,
    IPV6_DESTINATION = 24,

    TCP = 6,
    TCP_HEADER = 20,
    TCP_SEQUENCE = 4,
    TCP_ACKNOWLEDGED = 8,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_URGENT = 18,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_CWR = 0x80,

    UDP = 17,
    UDP_HEADER = 8,
    UDP_LENGTH = 4,
    UDP_CHECKSUM = 6,

    MESSAGE_HEADER = 16,
    MESSAGE_COUNTER = 8,
    TAG = 16,
    OVERHEAD = MESSAGE_HEADER + TAG,
    PADDING = 16,
    NONCE = 12,
    NONCE_COUNTER = 4,
    BLOCK = 64,
    WORK = 2048,
    TEXT_MOST = WORK - BLOCK - PADDING - TAG, /* the largest text that fits into struct work */

    IP_MOST = 65535,
    HEADERS_MOST = IPV6_HEADER + 60, /* the longest headers of a packet that is joined to others */
    BATCH = 256,                     /* packets in which flows are searched for packets to join */
    MERGES = 8,                      /* flows that are joined at the same time */
    UDP_SEGMENTS = 64,               /* the number that every kernel with USO accepts */

    UNJOINED_TCP = 1,
    UNJOINED_UDP = 2,
    JOIN_REFUSED = 0x40000000, /* wgembed_write: the kernel refused joined packets */
};

/* Addresses */

static uint8_t *bytes_at(uint64_t pointer)
{
    return (uint8_t *)(uintptr_t)pointer;
}

static int32_t *ints_at(uint64_t pointer)
{
    return (int32_t *)(uintptr_t)pointer;
}

static uint8_t *message_of(const struct fastpath *f, uint32_t slot)
{
    return bytes_at(f->buffer) + (size_t)slot * f->stride;
}

static uint8_t *packet_of(const struct fastpath *f, uint32_t slot)
{
    return message_of(f, slot) + MESSAGE_HEADER;
}

/* Integers in network order, and the counter in WireGuard's order, little-endian */

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) << 16 | get16(at + 2);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint64_t get_counter(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static void put_counter(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Checksums (RFC 1071). They add 16-bit words in the byte order of the machine. The result has the same bytes. */

static uintptr_t load_wide(const uint8_t *at)
{
    uintptr_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* A sum of the widest words of the machine. A carry out of the sum counts as 1. */
struct wide_sum {
    uintptr_t sum, carries;
};

static void add_wide(struct wide_sum *s, uintptr_t word)
{
    s->sum += word;
    s->carries += s->sum < word;
}

static uint64_t sum_bytes(uint64_t sum, const uint8_t *at, size_t size)
{
    const size_t wide = sizeof(uintptr_t);
    struct wide_sum even = {0, 0}, odd = {0, 0}; /* two sums, so that the CPU can add to both at once */
    for (; size >= 4 * wide; size -= 4 * wide, at += 4 * wide) {
        add_wide(&even, load_wide(at));
        add_wide(&odd, load_wide(at + wide));
        add_wide(&even, load_wide(at + 2 * wide));
        add_wide(&odd, load_wide(at + 3 * wide));
    }
    sum += (even.sum & 0xFFFFFFFF) + ((uint64_t)even.sum >> 32) + even.carries;
    sum += (odd.sum & 0xFFFFFFFF) + ((uint64_t)odd.sum >> 32) + odd.carries;
    for (; size >= 4; size -= 4, at += 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        sum += word;
    }
    if (size) {
        uint16_t rest[2] = {0, 0};
        memcpy(rest, at, size);
        sum += (uint64_t)rest[0] + rest[1];
    }
    return sum;
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xFFFFFFFF);
    sum = (sum >> 32) + (sum & 0xFFFFFFFF);
    sum = (sum >> 16) + (sum & 0xFFFF);
    sum = (sum >> 16) + (sum & 0xFFFF);
    return (uint16_t)sum;
}

/* Return the number, which is in network order in a packet, as a word of a sum. */
static uint16_t as_word(uint32_t value)
{
    uint8_t bytes[2];
    uint16_t word;
    put16(bytes, value);
    memcpy(&word, bytes, 2);
    return word;
}

static uint16_t load_word(const uint8_t *at)
{
    uint16_t word;
    memcpy(&word, at, 2);
    return word;
}

static void store_word(uint8_t *at, uint16_t word)
{
    memcpy(at, &word, 2);
}

static bool is_ipv4(const uint8_t *packet)
{
    return packet[0] >> 4 == 4;
}

/* Return the sum of the pseudo-header for `size` bytes of a transport protocol. */
static uint64_t sum_pseudo_header(const uint8_t *packet, uint32_t protocol, uint32_t size)
{
    uint64_t sum = (uint64_t)as_word(protocol) + as_word(size);
    if (is_ipv4(packet))
        return sum_bytes(sum, packet + IPV4_SOURCE, 8);
    return sum_bytes(sum, packet + IPV6_SOURCE, 32);
}

static void write_ipv4_checksum(uint8_t *packet, uint32_t header)
{
    store_word(packet + IPV4_CHECKSUM, 0);
    store_word(packet + IPV4_CHECKSUM, (uint16_t)~fold(sum_bytes(0, packet, header)));
}

/* Complete the checksum at `start` + `offset`, which covers the packet from `start` on. Before, the field has the sum of the
 * pseudo-header. */
static void complete_checksum(uint8_t *packet, uint32_t size, uint32_t start, uint32_t offset)
{
    uint16_t checksum = (uint16_t)~fold(sum_bytes(0, packet + start, size - start));
    /* In UDP, zero means that there is no checksum. */
    if (checksum == 0 && offset == UDP_CHECKSUM)
        checksum = 0xFFFF;
    store_word(packet + start + offset, checksum);
}

/* The AEAD of RFC 8439
 *
 * libsodium makes the first block of the key stream, which is for the one-time key, separately. It also makes the blocks
 * after a multiple of 256 bytes one by one. But its code for x86 needs almost the same time for eight blocks as for one. So
 * this code combines the parts itself: a block of zeros before the text, and the whole key stream in one call. That saves a
 * quarter of the time on x86, and is as fast on other machines. */

/* Scratch memory for the packets of one run. */
struct work {
    uint8_t in[WORK];  /* zeros for the one-time key, the text, and space for its padding and lengths */
    uint8_t out[WORK]; /* the same after the key stream */
};

static void begin_work(struct work *w)
{
    memset(w->in, 0, BLOCK);
}

static void end_work(struct work *w)
{
    explicit_bzero(w, sizeof *w);
}

/* Whether the key stream is from our own ChaCha20. */
static bool is_own_stream(const struct fastpath *f)
{
#ifdef HAS_VECTORS
    return f->stream == (uintptr_t)chacha20_xor;
#else
    (void)f;
    return false;
#endif
}

/* Return the size of the key stream for `size` bytes: at least `size`, rounded up to a size that is fast. */
static uint32_t round_stream(uint32_t size, bool is_own)
{
    if (is_own) {
        uint32_t over = size % CHACHA_GROUP;
        return over ? size - over + CHACHA_GROUP : size;
    }
    uint32_t rest = size % BLOCK, step = BLOCK;
    if (IS_X86) {
        rest = size % (8 * BLOCK);
        step = rest <= BLOCK ? BLOCK : rest <= 4 * BLOCK ? 4 * BLOCK : 8 * BLOCK;
    }
    return rest ? size - rest + step : size;
}

/* Apply the key stream to the text. Then the one-time key is at the beginning of `out`, and the result follows. */
static void run_stream(const struct fastpath *f, struct work *w, const uint8_t *text, uint32_t size, const uint8_t *nonce,
                       const uint8_t *key)
{
    uint32_t whole = round_stream(BLOCK + size, is_own_stream(f));
    memcpy(w->in + BLOCK, text, size);
    memset(w->in + BLOCK + size, 0, whole - BLOCK - size);
    ((stream_xor *)(uintptr_t)f->stream)(w->out, w->in, whole, nonce, 0, key);
}

/* Make the tag of the sealed text, after which there is space for 32 bytes (RFC 8439, 2.8, without additional data). */
static void make_tag(const struct fastpath *f, struct work *w, uint8_t *sealed, uint32_t size, uint8_t *tag)
{
    uint32_t padding = -size & (PADDING - 1);
    memset(sealed + size, 0, padding + 8);
    put_counter(sealed + size + padding + 8, size);
    ((onetimeauth *)(uintptr_t)f->authenticate)(tag, sealed, size + padding + 16, w->out);
}

static bool takes_parts(const struct fastpath *f, uint32_t size)
{
    return f->stream && size <= TEXT_MOST;
}

/* Seal the text in place. The tag comes after the text. */
static void seal_text(const struct fastpath *f, struct work *w, uint8_t *text, uint32_t size, const uint8_t *nonce,
                      const uint8_t *key)
{
    if (!takes_parts(f, size)) {
        ((aead_encrypt *)(uintptr_t)f->encrypt)(text, NULL, text, size, NULL, 0, NULL, nonce, key);
        return;
    }
    run_stream(f, w, text, size, nonce, key);
    make_tag(f, w, w->out + BLOCK, size, text + size);
    memcpy(text, w->out + BLOCK, size);
}

/* Open the sealed text in place. Its tag comes after it. Returns false if the tag is wrong. */
static bool open_text(const struct fastpath *f, struct work *w, uint8_t *text, uint32_t size, const uint8_t *nonce,
                      const uint8_t *key)
{
    uint8_t tag[TAG];
    if (!takes_parts(f, size))
        return ((aead_decrypt *)(uintptr_t)f->decrypt)(text, NULL, NULL, text, size + TAG, NULL, 0, nonce, key) == 0;
    run_stream(f, w, text, size, nonce, key);
    make_tag(f, w, w->in + BLOCK, size, tag);
    if (((verify_16 *)(uintptr_t)f->verify)(tag, text + size) != 0)
        return false;
    memcpy(text, w->out + BLOCK, size);
    return true;
}

/* Reading from the tunnel device */

static uint32_t super_payload(const struct fastpath *f)
{
    uint32_t left = f->super_size - f->super_next;
    return left < f->super_segment ? left : f->super_segment;
}

static bool is_super_tcp(const struct fastpath *f)
{
    return f->super_header - f->super_transport != UDP_HEADER;
}

/* Whether the IP header of the super-packet is valid and fits to a transport header at `start`. */
static bool is_super_ip(const uint8_t *packet, uint32_t size, uint32_t start, uint32_t gso_type, uint32_t protocol)
{
    if (is_ipv4(packet))
        return gso_type != GSO_TCPV6 && size >= IPV4_HEADER && start >= IPV4_HEADER &&
               start == (packet[0] & 15U) * 4 && get16(packet + IPV4_LENGTH) == size &&
               packet[IPV4_PROTOCOL] == protocol && !(get16(packet + IPV4_FRAGMENT) & IPV4_MF_AND_OFFSET);
    /* Each segment gets a copy of the extension headers between the IPv6 header and the transport header. */
    return packet[0] >> 4 == 6 && gso_type != GSO_TCPV4 && size >= IPV6_HEADER && start >= IPV6_HEADER &&
           get16(packet + IPV6_LENGTH) + IPV6_HEADER == size &&
           (start > IPV6_HEADER || packet[IPV6_NEXT] == protocol);
}

/* Prepare to split the super-packet in the inbox. Returns false if it is not a valid one. `hdr_len` is not used, because for
 * forwarded packets kernels write the size of the first packet there. */
static bool begin_super(struct fastpath *f, const struct vnet_header *vnet, uint32_t size)
{
    const uint8_t *packet = bytes_at(f->inbox);
    uint32_t gso_type = vnet->gso_type & ~(uint32_t)GSO_ECN, start = vnet->csum_start;
    bool tcp = gso_type == GSO_TCPV4 || gso_type == GSO_TCPV6;
    if (!tcp && vnet->gso_type != GSO_UDP_L4)
        return false;
    if (!(vnet->flags & NEEDS_CSUM) || vnet->csum_offset != (tcp ? TCP_CHECKSUM : UDP_CHECKSUM) || !vnet->gso_size)
        return false;
    if (!size || !is_super_ip(packet, size, start, gso_type, tcp ? TCP : UDP))
        return false;
    if (size < start + (tcp ? TCP_HEADER : UDP_HEADER))
        return false;
    uint32_t header = tcp ? (packet[start + TCP_OFFSET] >> 4) * 4U : UDP_HEADER;
    if ((tcp && header < TCP_HEADER) || size < start + header)
        return false;
    f->super_size = size;
    f->super_transport = start;
    f->super_header = f->super_next = start + header;
    f->super_segment = vnet->gso_size;
    f->super_count = 0;
    f->pending = 1;
    return true;
}

static void write_segment_ip(const struct fastpath *f, uint8_t *packet, uint32_t size)
{
    if (is_ipv4(packet)) {
        put16(packet + IPV4_LENGTH, size);
        put16(packet + IPV4_ID, get16(packet + IPV4_ID) + f->super_count);
        write_ipv4_checksum(packet, f->super_transport);
    } else {
        put16(packet + IPV6_LENGTH, size - IPV6_HEADER);
    }
}

static void write_segment_tcp(const struct fastpath *f, uint8_t *tcp, bool is_last)
{
    put32(tcp + TCP_SEQUENCE, get32(tcp + TCP_SEQUENCE) + f->super_next - f->super_header);
    if (!is_last)
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (f->super_count)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

/* Write the next segment of the super-packet to the slot. */
static void make_segment(struct fastpath *f, uint32_t slot)
{
    const uint8_t *super = bytes_at(f->inbox);
    uint32_t payload = super_payload(f), size = f->super_header + payload, start = f->super_transport;
    bool is_tcp = is_super_tcp(f), is_last = f->super_next + payload == f->super_size;
    uint32_t offset = is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    uint8_t *packet = packet_of(f, slot), *transport = packet + start;
    memcpy(packet, super, f->super_header);
    memcpy(packet + f->super_header, super + f->super_next, payload);
    write_segment_ip(f, packet, size);
    if (is_tcp)
        write_segment_tcp(f, transport, is_last);
    else
        put16(transport + UDP_LENGTH, size - start);
    /* The field has the sum of the super-packet's pseudo-header. That of the segment only has another length. */
    uint64_t sum = (uint64_t)load_word(transport + offset) + as_word(size - start);
    store_word(transport + offset, fold(sum + (uint16_t)~as_word(f->super_size - start)));
    complete_checksum(packet, size, start, offset);
    ints_at(f->lengths)[slot] = (int32_t)size;
    f->super_next += payload;
    f->super_count++;
    f->pending = !is_last;
}

/* Fill the slots from `slot` on with the next segments of the super-packet. Returns the first slot that is free. */
static uint32_t split_super(struct fastpath *f, uint32_t slot)
{
    /* The slots can have become smaller since the super-packet was read. */
    if (f->pending && f->super_header + super_payload(f) > f->slot_size) {
        f->pending = 0;
        f->dropped++;
    }
    while (f->pending && slot < f->slots)
        make_segment(f, slot++);
    return slot;
}

/* Finish the packet that was read into the slot. Returns false if it is not valid. */
static bool finish_single(struct fastpath *f, const struct vnet_header *vnet, uint32_t slot, uint32_t size)
{
    if (!size || size > f->slot_size)
        return false;
    if (vnet->flags & NEEDS_CSUM) {
        if ((uint32_t)vnet->csum_start + vnet->csum_offset + 2 > size)
            return false;
        complete_checksum(packet_of(f, slot), size, vnet->csum_start, vnet->csum_offset);
    }
    ints_at(f->lengths)[slot] = (int32_t)size;
    return true;
}

/* Read one packet or super-packet into the slot and the next ones. Returns the first slot that is free, or -1 with errno if
 * nothing could be read. A packet that is longer than a slot continues in the inbox, at its own offset. */
static int32_t read_one(struct fastpath *f, int fd, uint32_t slot)
{
    struct vnet_header vnet;
    uint8_t *packet = packet_of(f, slot), *inbox = bytes_at(f->inbox);
    uint32_t room = f->slot_size < f->inbox_size ? f->slot_size : f->inbox_size;
    struct iovec parts[3] = {{&vnet, sizeof vnet}, {packet, room}, {inbox + room, f->inbox_size - room}};
    ssize_t got = readv(fd, parts, 3);
    if (got < 0)
        return -1;
    uint32_t next = slot;
    if ((size_t)got >= sizeof vnet) {
        uint32_t size = (uint32_t)got - (uint32_t)sizeof vnet;
        if (vnet.gso_type == GSO_NONE) {
            next += finish_single(f, &vnet, slot, size);
        } else {
            memcpy(inbox, packet, size < room ? size : room);
            if (begin_super(f, &vnet, size))
                return (int32_t)split_super(f, slot);
        }
    }
    f->dropped += next == slot;
    return (int32_t)next;
}

/* Writing to the tunnel device */

/* A packet that is to be written. */
struct packet {
    const uint8_t *at;
    uint32_t size;
    uint32_t transport; /* offset of the TCP or UDP header */
    uint32_t header;    /* bytes before the payload */
    uint32_t protocol;
    bool joinable; /* can be joined with others of its flow, if its checksum is right */
};

/* Packets of one flow that will be written as one super-packet. */
struct merge {
    struct packet head;
    uint32_t first, last; /* the first and the last packet, as numbers in the batch */
    uint32_t count;       /* the number of packets; 0 if the merge is not in use */
    uint32_t total;       /* the size of the super-packet, in bytes */
    bool checked;         /* the checksum of the head is right */
};

struct batch {
    struct fastpath *f;
    int fd;
    int32_t refused;
    int32_t join_refused; /* JOIN_REFUSED, or 0 */
    const uint8_t *base;
    const int32_t *packets, *lengths;
    uint32_t victim; /* the merge that ends when a new flow needs a place */
    struct merge merges[MERGES];
    uint8_t after[BATCH]; /* for each packet in a merge: the next packet of this merge */
};

_Static_assert(BATCH <= 256, "after");

enum flow {
    FLOW_NONE,    /* neither TCP nor UDP: never joined */
    FLOW_UNCLEAR, /* can be of any flow */
    FLOW_CLEAR,
};

static enum flow parse_tcp(struct packet *p, bool is_joined)
{
    const uint8_t *tcp = p->at + p->transport;
    if (p->size < p->transport + TCP_HEADER)
        return FLOW_UNCLEAR;
    p->header = p->transport + (tcp[TCP_OFFSET] >> 4) * 4U;
    p->joinable = is_joined && p->header >= p->transport + TCP_HEADER && p->size > p->header &&
                  !(tcp[TCP_OFFSET] & 15) && (tcp[TCP_FLAGS] & ~TCP_PSH) == TCP_ACK;
    return FLOW_CLEAR;
}

static enum flow parse_udp(struct packet *p, bool is_joined)
{
    const uint8_t *udp = p->at + p->transport;
    if (p->size < p->transport + UDP_HEADER)
        return FLOW_UNCLEAR;
    p->header = p->transport + UDP_HEADER;
    p->joinable = is_joined && p->size > p->header && get16(udp + UDP_LENGTH) == p->size - p->transport &&
                  load_word(udp + UDP_CHECKSUM);
    return FLOW_CLEAR;
}

static bool is_extension(uint32_t next)
{
    return next == 0 || next == 43 || next == 44 || next == 51 || next == 60 || next == 135 || next == 139 || next == 140;
}

/* Find the flow of the packet, and fill in the rest of `p`. */
static enum flow parse(const struct fastpath *f, struct packet *p)
{
    const uint8_t *at = p->at;
    uint32_t offload = TUN_F_USO4;
    bool is_plain;
    p->joinable = false;
    if (p->size >= IPV4_HEADER && is_ipv4(at)) {
        p->transport = IPV4_HEADER;
        p->protocol = at[IPV4_PROTOCOL];
        is_plain = at[0] == 0x45 && get16(at + IPV4_LENGTH) == p->size &&
                   !(get16(at + IPV4_FRAGMENT) & (uint32_t)~IPV4_DF);
    } else if (p->size >= IPV6_HEADER && at[0] >> 4 == 6) {
        p->transport = IPV6_HEADER;
        p->protocol = at[IPV6_NEXT];
        offload = TUN_F_USO6;
        is_plain = get16(at + IPV6_LENGTH) + IPV6_HEADER == p->size;
        if (is_extension(p->protocol))
            return FLOW_UNCLEAR;
    } else {
        return FLOW_NONE;
    }
    if (p->protocol != TCP && p->protocol != UDP)
        return FLOW_NONE;
    if (!is_plain)
        return FLOW_UNCLEAR;
    if (p->protocol == TCP)
        return parse_tcp(p, !(f->unjoined & UNJOINED_TCP));
    return parse_udp(p, f->offload & offload && !(f->unjoined & UNJOINED_UDP));
}

static uint32_t payload_of(const struct packet *p)
{
    return p->size - p->header;
}

static bool is_pushed(const struct packet *p)
{
    return p->protocol == TCP && p->at[p->transport + TCP_FLAGS] & TCP_PSH;
}

/* Whether the checksums of the packet are right. A checksum of all ones equals zero, but a split would write zero. So all
 * ones are only accepted for UDP. */
static bool is_intact(const struct packet *p)
{
    uint32_t size = p->size - p->transport;
    if (p->transport == IPV4_HEADER &&
        (load_word(p->at + IPV4_CHECKSUM) == 0xFFFF || fold(sum_bytes(0, p->at, IPV4_HEADER)) != 0xFFFF))
        return false;
    if (p->protocol == TCP && load_word(p->at + p->transport + TCP_CHECKSUM) == 0xFFFF)
        return false;
    return fold(sum_bytes(sum_pseudo_header(p->at, p->protocol, size), p->at + p->transport, size)) == 0xFFFF;
}

static bool is_same_flow(const struct packet *a, const struct packet *b)
{
    if (a->transport != b->transport || a->protocol != b->protocol ||
        memcmp(a->at + a->transport, b->at + b->transport, 4) != 0)
        return false;
    if (a->transport == IPV4_HEADER)
        return memcmp(a->at + IPV4_SOURCE, b->at + IPV4_SOURCE, 8) == 0;
    return memcmp(a->at + IPV6_SOURCE, b->at + IPV6_SOURCE, 32) == 0;
}

/* Whether a split would make the IP header of `p` from that of the head. */
static bool is_next_ip(const struct merge *m, const struct packet *p)
{
    const uint8_t *a = m->head.at, *b = p->at;
    if (p->transport == IPV6_HEADER)
        return memcmp(a, b, 4) == 0 && a[IPV6_NEXT + 1] == b[IPV6_NEXT + 1];
    if (a[1] != b[1] || memcmp(a + IPV4_FRAGMENT, b + IPV4_FRAGMENT, 4) != 0)
        return false;
    /* The ID of a packet that is never fragmented has no meaning (RFC 6864). */
    return get16(b + IPV4_FRAGMENT) & IPV4_DF || (uint16_t)(get16(a + IPV4_ID) + m->count) == get16(b + IPV4_ID);
}

static bool is_next_tcp(const struct merge *m, const struct packet *p)
{
    const uint8_t *a = m->head.at + m->head.transport, *b = p->at + p->transport;
    uint32_t sequence = get32(a + TCP_SEQUENCE) + m->total - m->head.header;
    return m->head.header == p->header && get32(b + TCP_SEQUENCE) == sequence &&
           memcmp(a + TCP_ACKNOWLEDGED, b + TCP_ACKNOWLEDGED, 5) == 0 &&
           memcmp(a + TCP_FLAGS + 1, b + TCP_FLAGS + 1, 2) == 0 &&
           memcmp(a + TCP_URGENT, b + TCP_URGENT, p->header - p->transport - TCP_URGENT) == 0;
}

/* Whether the packet, which is of the same flow, can be the next one of the merge. */
static bool is_next(const struct merge *m, const struct packet *p)
{
    uint32_t payload = payload_of(p);
    if (!p->joinable || payload > payload_of(&m->head) || m->total + payload > IP_MOST)
        return false;
    if (p->protocol == UDP && m->count == UDP_SEGMENTS)
        return false;
    return is_next_ip(m, p) && (p->protocol == UDP || is_next_tcp(m, p));
}

static void write_plain(struct batch *b, uint32_t index)
{
    struct vnet_header vnet = {0};
    struct iovec parts[2];
    parts[0] = (struct iovec){&vnet, sizeof vnet};
    parts[1] = (struct iovec){(void *)(uintptr_t)(b->base + b->packets[index]), (size_t)b->lengths[index]};
    if (writev(b->fd, parts, 2) < 0)
        b->refused++;
}

/* Make the headers of the super-packet: `headers`, and the virtio header. */
static void make_headers(const struct merge *m, bool is_pushed, uint8_t *headers, struct vnet_header *vnet)
{
    const struct packet *head = &m->head;
    uint8_t *transport = headers + head->transport;
    bool is_tcp = head->protocol == TCP;
    uint32_t size = m->total - head->transport;
    memcpy(headers, head->at, head->header);
    if (head->transport == IPV4_HEADER) {
        put16(headers + IPV4_LENGTH, m->total);
        write_ipv4_checksum(headers, IPV4_HEADER);
        vnet->gso_type = GSO_TCPV4;
    } else {
        put16(headers + IPV6_LENGTH, m->total - IPV6_HEADER);
        vnet->gso_type = GSO_TCPV6;
    }
    if (is_tcp) {
        transport[TCP_FLAGS] |= is_pushed ? TCP_PSH : 0;
    } else {
        put16(transport + UDP_LENGTH, size);
        vnet->gso_type = GSO_UDP_L4;
    }
    vnet->flags = NEEDS_CSUM;
    vnet->hdr_len = (uint16_t)head->header;
    vnet->gso_size = (uint16_t)payload_of(head);
    vnet->csum_start = (uint16_t)head->transport;
    vnet->csum_offset = is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    store_word(transport + vnet->csum_offset, fold(sum_pseudo_header(headers, head->protocol, size)));
}

static void write_one_by_one(struct batch *b, const struct merge *m)
{
    uint32_t index = m->first;
    for (uint32_t i = 0; i < m->count; i++, index = b->after[index])
        write_plain(b, index);
}

/* The kernel refused the joined packets: write them one by one. If it accepts that, packets of this protocol are not joined
 * any more, because the kernel would refuse them again (6.6.44 refuses those with a short last segment). */
static void write_apart(struct batch *b, const struct merge *m)
{
    int32_t refused = b->refused;
    bool is_invalid = errno == EINVAL;
    write_one_by_one(b, m);
    if (is_invalid && b->refused == refused) {
        b->f->unjoined |= m->head.protocol == TCP ? UNJOINED_TCP : UNJOINED_UDP;
        b->join_refused = JOIN_REFUSED;
    }
}

/* Write the packets of the merge. The merge is free after that. */
static void end_merge(struct batch *b, struct merge *m)
{
    uint8_t headers[HEADERS_MOST];
    struct vnet_header vnet;
    struct iovec parts[2 + BATCH];
    uint32_t index = m->first, size = m->head.header;
    if (m->count > 1) {
        const uint8_t *last = b->base + b->packets[m->last];
        bool pushed = m->head.protocol == TCP && last[m->head.transport + TCP_FLAGS] & TCP_PSH;
        make_headers(m, pushed, headers, &vnet);
        parts[0] = (struct iovec){&vnet, sizeof vnet};
        parts[1] = (struct iovec){headers, size};
        for (uint32_t i = 0; i < m->count; i++, index = b->after[index])
            parts[2 + i] = (struct iovec){(void *)(uintptr_t)(b->base + b->packets[index] + size),
                                          (size_t)b->lengths[index] - size};
    }
    if (m->count == 1)
        write_plain(b, m->first);
    else if (writev(b->fd, parts, (int)(2 + m->count)) < 0)
        write_apart(b, m);
    m->count = 0;
}

static void end_all(struct batch *b)
{
    for (uint32_t i = 0; i < MERGES; i++)
        if (b->merges[i].count)
            end_merge(b, &b->merges[i]);
}

static struct merge *find_merge(struct batch *b, const struct packet *p)
{
    for (uint32_t i = 0; i < MERGES; i++)
        if (b->merges[i].count && is_same_flow(&b->merges[i].head, p))
            return &b->merges[i];
    return NULL;
}

static void begin_merge(struct batch *b, const struct packet *p, uint32_t index)
{
    struct merge *m = NULL;
    for (uint32_t i = 0; i < MERGES && !m; i++)
        if (!b->merges[i].count)
            m = &b->merges[i];
    if (!m) {
        m = &b->merges[b->victim++ % MERGES];
        end_merge(b, m);
    }
    m->head = *p;
    m->first = m->last = index;
    m->count = 1;
    m->total = p->size;
    m->checked = false;
}

static void join(struct batch *b, struct merge *m, const struct packet *p, uint32_t index)
{
    b->after[m->last] = (uint8_t)index;
    m->last = index;
    m->count++;
    m->total += payload_of(p);
    if (is_pushed(p) || payload_of(p) < payload_of(&m->head))
        end_merge(b, m);
}

/* Write the packet, or add it to a merge. */
static void take_packet(struct batch *b, uint32_t index)
{
    struct packet p = {.at = b->base + b->packets[index], .size = (uint32_t)b->lengths[index]};
    enum flow flow = parse(b->f, &p);
    struct merge *m = flow == FLOW_CLEAR ? find_merge(b, &p) : NULL;
    if (flow == FLOW_UNCLEAR)
        end_all(b);
    if (m) {
        if (is_next(m, &p) && (m->checked || is_intact(&m->head))) {
            m->checked = true;
            p.joinable = is_intact(&p);
            if (p.joinable) {
                join(b, m, &p, index);
                return;
            }
        }
        end_merge(b, m);
    }
    if (p.joinable && !is_pushed(&p))
        begin_merge(b, &p, index);
    else
        write_plain(b, index);
}

/* The functions for the caller. Slots and datagrams are numbered from 0. A run does not include its `end` or `count`. */

uint32_t wgembed_abi(void);
int32_t wgembed_self_test(const struct fastpath *f);
int32_t wgembed_read(struct fastpath *f, int32_t fd, int32_t most);
uint32_t wgembed_seal(struct fastpath *f, int32_t first, int32_t end, const uint8_t *key, const uint8_t *header,
                      uint64_t counter, uint32_t mtu);
int32_t wgembed_end_of_run(const struct fastpath *f, int32_t first, int32_t count, const uint8_t *own, uint32_t own_size);
int32_t wgembed_gso_group_end(const struct fastpath *f, int32_t first, int32_t end);
int32_t wgembed_open(struct fastpath *f, int32_t start, int32_t end, int32_t stride, const uint8_t *key);
int32_t wgembed_append(struct fastpath *f, int32_t packet, int32_t stride, int32_t first, int32_t count, int32_t where,
                     int32_t width, int32_t good);
int32_t wgembed_write(struct fastpath *f, int32_t fd, const uint8_t *base, int32_t count);
int32_t wgembed_choose_cipher(struct fastpath *f, int32_t always);
int32_t wgembed_blake2s(uint8_t *out, uint32_t size, const uint8_t *key, uint32_t key_size, const uint8_t *data,
                        uint32_t data_size);
int32_t wgembed_hkdf(uint8_t *out, uint32_t out_size, const uint8_t *key, uint32_t key_size, const uint8_t *data,
                     uint32_t data_size);
int32_t wgembed_chacha20(uint8_t *out, const uint8_t *in, uint32_t size, const uint8_t *nonce, uint32_t counter,
                         const uint8_t *key);

/* Returns the version of this interface in the upper 16 bits, and the size of struct fastpath in the lower 16 bits. */
uint32_t wgembed_abi(void)
{
    return (uint32_t)ABI_VERSION << 16 | (uint32_t)sizeof(struct fastpath);
}

static bool are_sizes_right(const struct fastpath *f)
{
    return f->slots && f->slot_size && f->stride >= (uint64_t)f->slot_size + OVERHEAD &&
           (uint64_t)f->slots * f->stride <= f->buffer_size && f->datagrams && f->inbox_size;
}

static bool are_pointers_right(const struct fastpath *f)
{
    return f->buffer && f->inbox && f->lengths && f->opened && f->counters && f->packets && f->packet_lengths &&
           !(f->lengths & 3) && !(f->opened & 3) && !(f->packets & 3) && !(f->packet_lengths & 3) && !(f->counters & 7);
}

static bool is_checksum_right(void)
{
    /* The sample of RFC 1071, 3, alone, and repeated at byte 32 with an odd byte at the end */
    static const uint8_t sample[8] = {0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7};
    uint8_t long_sample[41] = {0};
    memcpy(long_sample, sample, 8);
    memcpy(long_sample + 32, sample, 8);
    long_sample[40] = 0x12;
    return fold(sum_bytes(0, sample, 8)) == as_word(0xDDF2) &&
           fold(sum_bytes(0, long_sample, 41)) == as_word((0xDDF2 * 2 + 0x1200) % 0xFFFF);
}

static bool is_aead_right(const struct fastpath *f)
{
    /* The tag of an empty text, sealed with a key of zeros */
    static const uint8_t tag[TAG] = {0x4E, 0xB9, 0x72, 0xC9, 0xA8, 0xFB, 0x3A, 0x1B,
                                     0x38, 0x2B, 0xB4, 0xD3, 0x6F, 0x5F, 0xFA, 0xD1};
    uint8_t zeros[32] = {0}, sealed[TAG] = {0};
    aead_encrypt *encrypt = (aead_encrypt *)(uintptr_t)f->encrypt;
    aead_decrypt *decrypt = (aead_decrypt *)(uintptr_t)f->decrypt;
    if (!encrypt || !decrypt)
        return false;
    encrypt(sealed, NULL, sealed, 0, NULL, 0, NULL, zeros, zeros);
    if (memcmp(sealed, tag, TAG) != 0 || decrypt(sealed, NULL, NULL, sealed, TAG, NULL, 0, zeros, zeros) != 0)
        return false;
    sealed[0] ^= 1;
    return decrypt(sealed, NULL, NULL, sealed, TAG, NULL, 0, zeros, zeros) != 0;
}

/* Whether the parts of the AEAD give the same result as the whole. */
static bool are_parts_right(const struct fastpath *f)
{
    uint8_t key[32], nonce[NONCE] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, sealed[205 + TAG], other[205 + TAG];
    uint32_t size = 205; /* neither whole blocks nor whole words */
    struct work work;
    if (!f->stream)
        return true;
    if (!f->authenticate || !f->verify)
        return false;
    for (uint32_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(7 * i);
    for (uint32_t i = 0; i < size; i++)
        sealed[i] = other[i] = (uint8_t)i;
    begin_work(&work);
    ((aead_encrypt *)(uintptr_t)f->encrypt)(sealed, NULL, sealed, size, NULL, 0, NULL, nonce, key);
    seal_text(f, &work, other, size, nonce, key);
    if (memcmp(sealed, other, size + TAG) != 0)
        return false;
    other[size] ^= 1;
    if (open_text(f, &work, other, size, nonce, key) || !open_text(f, &work, sealed, size, nonce, key))
        return false;
    for (uint32_t i = 0; i < size; i++)
        if (sealed[i] != (uint8_t)i)
            return false;
    return true;
}

/* Whether BLAKE2s of the text "abc" is that of RFC 7693, appendix B. */
static bool is_hash_right(void)
{
    static const uint8_t of_abc[BLAKE_HASH] = {0x50, 0x8C, 0x5E, 0x8C, 0x32, 0x7C, 0x14, 0xE2, 0xE1, 0xA7, 0x2B,
                                               0xA3, 0x4E, 0xEB, 0x45, 0x2F, 0x37, 0x45, 0x8B, 0x20, 0x9E, 0xD6,
                                               0x3A, 0x29, 0x4D, 0x99, 0x9B, 0x4C, 0x86, 0x67, 0x59, 0x82};
    uint8_t out[BLAKE_HASH];
    wgembed_blake2s(out, sizeof out, NULL, 0, (const uint8_t *)"abc", 3);
    return memcmp(out, of_abc, sizeof out) == 0;
}

/* Checks the library and the struct of the caller. Returns 0, or the number of the first error: 1 the layout, 2 sizes,
 * 3 pointers or their alignment, 4 checksums, 5 the functions of libsodium, 6 the hash. Writes nothing. */
int32_t wgembed_self_test(const struct fastpath *f)
{
    if ((uintptr_t)f % 8 || f->abi != wgembed_abi())
        return 1;
    if (!are_sizes_right(f))
        return 2;
    if (!are_pointers_right(f))
        return 3;
    if (!is_checksum_right())
        return 4;
    if (!is_aead_right(f) || !are_parts_right(f))
        return 5;
    return is_hash_right() ? 0 : 6;
}

#ifdef HAS_VECTORS

/* Return the shortest of three times for a key stream as long as a packet, in nanoseconds. */
static uint64_t time_of(stream_xor *stream, struct work *w, const uint8_t *key)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        stream(w->out, w->in, 6 * CHACHA_GROUP, key, 0, key);
        clock_gettime(CLOCK_MONOTONIC, &end);
        uint64_t took = (uint64_t)(end.tv_sec - begin.tv_sec) * 1000000000U + (uint64_t)end.tv_nsec - (uint64_t)begin.tv_nsec;
        if (took < least)
            least = took;
    }
    return least;
}

/* Whether our ChaCha20 gives the bytes of libsodium's, also in a part of a group and where the counter has a carry. */
static bool is_own_right(stream_xor *theirs, struct work *w, const uint8_t *key)
{
    static const uint32_t sizes[] = {1, 64, 205, 256, 257, WORK / 2 - 1};
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t counter = i % 2 ? 0 : 0xFFFFFFF0U;
        memset(w->out, 0, WORK);
        theirs(w->out, w->in, sizes[i], key + 3, counter, key);
        chacha20_xor(w->out + WORK / 2, w->in, sizes[i], key + 3, counter, key);
        if (memcmp(w->out, w->out + WORK / 2, WORK / 2) != 0)
            return false;
    }
    return true;
}

#endif

/* Use our ChaCha20 for key streams, if the CPU has vectors, and if it gives the bytes of libsodium's in less time, or
 * `always`. On x86, libsodium uses wider vectors. `stream` must be libsodium's before. Returns 1 if ours is used. */
int32_t wgembed_choose_cipher(struct fastpath *f, int32_t always)
{
#ifdef HAS_VECTORS
    stream_xor *theirs = (stream_xor *)(uintptr_t)f->stream;
    uint8_t key[32];
    struct work w;
    if (!theirs || !has_vectors())
        return 0;
    for (uint32_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(11 * i + 1);
    for (uint32_t i = 0; i < WORK; i++)
        w.in[i] = (uint8_t)(i ^ i >> 8);
    if (!is_own_right(theirs, &w, key))
        return 0;
    if (!always && (IS_X86 || time_of(chacha20_xor, &w, key) >= time_of(theirs, &w, key)))
        return 0;
    f->stream = (uintptr_t)chacha20_xor;
    return 1;
#else
    (void)f, (void)always;
    return 0;
#endif
}

/* Our ChaCha20, as libsodium's crypto_stream_chacha20_ietf_xor_ic. Returns -1 if there is none for this CPU. */
int32_t wgembed_chacha20(uint8_t *out, const uint8_t *in, uint32_t size, const uint8_t *nonce, uint32_t counter,
                         const uint8_t *key)
{
#ifdef HAS_VECTORS
    return has_vectors() ? chacha20_xor(out, in, size, nonce, counter, key) : -1;
#else
    (void)out, (void)in, (void)size, (void)nonce, (void)counter, (void)key;
    return -1;
#endif
}

/* Write BLAKE2s of the data to `out`: `size` bytes, 1 to 32. The key has at most 32 bytes. Returns 0, or -1 for other sizes. */
int32_t wgembed_blake2s(uint8_t *out, uint32_t size, const uint8_t *key, uint32_t key_size, const uint8_t *data,
                        uint32_t data_size)
{
    struct blake2s h;
    if (!size || size > BLAKE_HASH || key_size > BLAKE_HASH)
        return -1;
    blake2s_begin(&h, size, key, key_size);
    blake2s_update(&h, data, data_size);
    blake2s_end(&h, out);
    return 0;
}

/* Write HKDF with HMAC-BLAKE2s to `out`: 32, 64 or 96 bytes. The key has at most 64 bytes. Returns 0, or -1 for other sizes. */
int32_t wgembed_hkdf(uint8_t *out, uint32_t out_size, const uint8_t *key, uint32_t key_size, const uint8_t *data,
                     uint32_t data_size)
{
    if (!out_size || out_size > 3 * BLAKE_HASH || out_size % BLAKE_HASH || key_size > BLAKE_BLOCK)
        return -1;
    hkdf(out, out_size, key, key_size, data, data_size);
    return 0;
}

/* Read packets from the tunnel device `fd` into the slots, from the first on. The device is non-blocking and has IFF_NO_PI
 * and IFF_VNET_HDR. The function reads at most `most` times. It stops when no packet waits, or when fewer slots are free
 * than the last read needed. It splits TCP and UDP super-packets, and completes checksums.
 *
 * While `pending` is set, the caller must not change the inbox, because the next call continues with a super-packet.
 * Returns the number of slots that were filled. If there are none and the error does not pass by itself: -errno. */
int32_t wgembed_read(struct fastpath *f, int32_t fd, int32_t most)
{
    uint32_t slot = split_super(f, 0), last = 0;
    f->taken = f->emptied = 0;
    for (int32_t reads = 0; reads < most && slot < f->slots && f->slots - slot >= last; reads++) {
        int32_t next = read_one(f, fd, slot);
        if (next < 0) {
            f->emptied = 1;
            return slot || errno == EAGAIN || errno == EINTR ? (int32_t)slot : -errno;
        }
        f->taken++;
        last = (uint32_t)next - slot;
        slot = (uint32_t)next;
    }
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (f->taken)
        f->emptied = poll(&waiting, 1, 0) == 0;
    return (int32_t)slot;
}

/* Pad and seal the packets in the slots `first` to `end` - 1 in place, as transport messages.
 *
 *   key      32 bytes
 *   header   the first 8 bytes of each message: the type and the receiver index
 *   counter  the counter of the first message; it increases by one for each message
 *   mtu      a packet is padded with zeros to a multiple of 16 bytes, but not beyond the MTU
 *
 * Returns the total size of the messages, in bytes. */
uint32_t wgembed_seal(struct fastpath *f, int32_t first, int32_t end, const uint8_t *key, const uint8_t *header,
                      uint64_t counter, uint32_t mtu)
{
    int32_t *lengths = ints_at(f->lengths);
    uint8_t nonce[NONCE] = {0};
    struct work work;
    uint32_t total = 0;
    if (mtu > f->slot_size)
        mtu = f->slot_size;
    begin_work(&work);
    for (int32_t slot = first; slot < end; slot++, counter++) {
        uint8_t *message = message_of(f, (uint32_t)slot), *packet = message + MESSAGE_HEADER;
        uint32_t size = (uint32_t)lengths[slot];
        if (size < mtu) {
            uint32_t padding = -size & (PADDING - 1);
            if (padding > mtu - size)
                padding = mtu - size;
            memset(packet + size, 0, padding);
            size += padding;
        }
        memcpy(message, header, MESSAGE_COUNTER);
        put_counter(message + MESSAGE_COUNTER, counter);
        put_counter(nonce + NONCE_COUNTER, counter);
        seal_text(f, &work, packet, size, nonce, key);
        lengths[slot] = (int32_t)(size + OVERHEAD);
        total += size + OVERHEAD;
    }
    end_work(&work);
    return total;
}

/* Whether the packet is UDP to the address and port in `own`. */
static bool goes_to(const uint8_t *packet, uint32_t size, const uint8_t *own, uint32_t own_size)
{
    uint32_t start = IPV6_HEADER, destination = IPV6_DESTINATION, protocol = IPV6_NEXT, width = 16;
    if (is_ipv4(packet)) {
        start = (packet[0] & 15U) * 4;
        destination = IPV4_DESTINATION;
        protocol = IPV4_PROTOCOL;
        width = 4;
    }
    return packet[protocol] == UDP && own_size == width + 2 && size >= start + 4 &&
           memcmp(packet + start + 2, own + width, 2) == 0 && memcmp(packet + destination, own, width) == 0;
}

/* Return the first slot after `first` whose packet does not belong to the same run, or `count`. This packet has another
 * destination, another family or other ECN bits, it is too short, or it is UDP to `own`, so it can be our own datagram.
 *
 *   first          a slot that has an IP packet with a whole header
 *   own, own_size  4 or 16 bytes of address and 2 of port, in network order; 0 bytes if there is no such address */
int32_t wgembed_end_of_run(const struct fastpath *f, int32_t first, int32_t count, const uint8_t *own, uint32_t own_size)
{
    const int32_t *lengths = ints_at(f->lengths);
    const uint8_t *packet = packet_of(f, (uint32_t)first);
    bool ipv4 = is_ipv4(packet);
    int32_t header = ipv4 ? IPV4_HEADER : IPV6_HEADER;
    uint32_t ecn = ipv4 ? 0x03 : 0x30, where = ipv4 ? IPV4_DESTINATION : IPV6_DESTINATION, width = ipv4 ? 4 : 16;
    for (int32_t slot = first + 1; slot < count; slot++) {
        const uint8_t *other = packet_of(f, (uint32_t)slot);
        if (lengths[slot] < header || (other[0] ^ packet[0]) & 0xF0 || (uint32_t)(other[1] ^ packet[1]) & ecn ||
            memcmp(other + where, packet + where, width) != 0 || goes_to(other, (uint32_t)lengths[slot], own, own_size))
            return slot;
    }
    return count;
}

/* Return the end of the messages from slot `first` on that one segmented send can carry, at most `end`. All have the same
 * length; only the last one can be shorter. */
int32_t wgembed_gso_group_end(const struct fastpath *f, int32_t first, int32_t end)
{
    const int32_t *lengths = ints_at(f->lengths);
    int32_t size = lengths[first], stop = first + 1;
    while (stop < end && lengths[stop] == size)
        stop++;
    return stop < end && lengths[stop] < size ? stop + 1 : stop;
}

/* Open, in place, the datagrams of the inbox that have the same type and receiver index as the one at `start`.
 *
 *   end     the end of the received bytes
 *   stride  the distance between two datagrams; the last one can be shorter
 *   key     32 bytes
 *
 * Fills in `counters`, `opened` and `in_order`. Returns the number of datagrams in the run. The run ends before the first
 * datagram that has another header or less than 32 bytes, and has at most `datagrams` of them. */
int32_t wgembed_open(struct fastpath *f, int32_t start, int32_t end, int32_t stride, const uint8_t *key)
{
    const uint8_t *first = bytes_at(f->inbox) + start;
    uint64_t *counters = (uint64_t *)(uintptr_t)f->counters;
    int32_t *opened = ints_at(f->opened);
    uint8_t nonce[NONCE] = {0};
    uint32_t taken = 0, in_order = 0;
    struct work work;
    begin_work(&work);
    for (; end - start >= OVERHEAD && stride >= OVERHEAD && taken < f->datagrams; start += stride, taken++) {
        uint8_t *message = bytes_at(f->inbox) + start, *packet = message + MESSAGE_HEADER;
        uint32_t size = (uint32_t)(end - start < stride ? end - start : stride);
        if (memcmp(message, first, MESSAGE_COUNTER) != 0)
            break;
        counters[taken] = get_counter(message + MESSAGE_COUNTER);
        put_counter(nonce + NONCE_COUNTER, counters[taken]);
        bool is_right = open_text(f, &work, packet, size - OVERHEAD, nonce, key);
        opened[taken] = is_right ? (int32_t)(size - OVERHEAD) : -1;
        if (is_right && in_order == taken && counters[taken] == counters[0] + taken)
            in_order++;
    }
    end_work(&work);
    f->in_order = in_order;
    return (int32_t)taken;
}

/* Return the length of an IP packet from its header. Return 0 if its header is not whole, if the packet is longer than the
 * `size` bytes that were received, or if its source is not the address at `source`, of `width` bytes. */
static uint32_t length_if_from(const uint8_t *packet, uint32_t size, const uint8_t *source, uint32_t width)
{
    uint32_t length, header, where;
    if (width == 4) {
        header = IPV4_HEADER;
        where = IPV4_SOURCE;
        if (size < header || !is_ipv4(packet))
            return 0;
        length = get16(packet + IPV4_LENGTH);
    } else {
        header = IPV6_HEADER;
        where = IPV6_SOURCE;
        if (size < header || packet[0] >> 4 != 6)
            return 0;
        length = get16(packet + IPV6_LENGTH) + IPV6_HEADER;
    }
    return header <= length && length <= size && memcmp(packet + where, source, width) == 0 ? length : 0;
}

/* Append the good inner packet at the offset `packet` of the inbox, and the next ones, to the good packets. Stop at a packet
 * that the caller must check, because it is malformed or from another source.
 *
 *   stride        as in wgembed_open
 *   first, count  the number of this datagram in the opened run, and the number of datagrams in the run
 *   where, width  the offset of its source address in the inbox, and the size of the address, 4 or 16
 *   good          the number of packets that are already in `packets` and `packet_lengths`
 *
 * Fills in `appended_good` and `appended_bytes`. Returns the number of the first datagram that was not appended. */
int32_t wgembed_append(struct fastpath *f, int32_t packet, int32_t stride, int32_t first, int32_t count, int32_t where,
                     int32_t width, int32_t good)
{
    const int32_t *opened = ints_at(f->opened);
    int32_t *packets = ints_at(f->packets), *packet_lengths = ints_at(f->packet_lengths);
    const uint8_t *inbox = bytes_at(f->inbox), *source = inbox + where;
    uint32_t bytes = 0;
    for (; first < count; first++, packet += stride) {
        if (opened[first] > 0) {
            uint32_t length = length_if_from(inbox + packet, (uint32_t)opened[first], source, (uint32_t)width);
            if (!length)
                break;
            packets[good] = packet;
            packet_lengths[good++] = (int32_t)length;
        }
        if (opened[first] >= 0)
            bytes += (uint32_t)opened[first] + OVERHEAD;
    }
    f->appended_good = (uint32_t)good;
    f->appended_bytes = bytes;
    return first;
}

/* Write the first `count` of `packets`, with offsets from `base`, to the tunnel device `fd`. Packets of one TCP flow are
 * joined to a super-packet if a split would make the same packets from it; those of UDP too if the device has this offload
 * (USO). The packets of a flow keep their order. Returns the number of packets that the kernel refused. JOIN_REFUSED is added
 * if it refused joined packets with EINVAL and accepted them one by one. Then their protocol is set in `unjoined`. */
int32_t wgembed_write(struct fastpath *f, int32_t fd, const uint8_t *base, int32_t count)
{
    struct batch b;
    b.f = f;
    b.fd = fd;
    b.refused = b.join_refused = 0;
    b.base = base;
    b.victim = 0;
    for (uint32_t i = 0; i < MERGES; i++)
        b.merges[i].count = 0;
    for (int32_t done = 0; done < count; done += BATCH) {
        b.packets = ints_at(f->packets) + done;
        b.lengths = ints_at(f->packet_lengths) + done;
        for (int32_t i = 0; i < BATCH && done + i < count; i++)
            take_packet(&b, (uint32_t)i);
        end_all(&b);
    }
    return b.refused | b.join_refused;
}
