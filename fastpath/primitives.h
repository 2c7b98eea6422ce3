/* ChaCha20 (RFC 8439, 2.3) for CPUs on which libsodium has only portable code, and BLAKE2s (RFC 7693), which libsodium does
 * not have. No branch and no address depends on a secret. */

#ifndef PRIMITIVES_H
#define PRIMITIVES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__arm__) && !defined(__aarch64__)
#include <sys/auxv.h>
#endif

static inline uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void store_le32(uint8_t *p, uint32_t word)
{
    p[0] = (uint8_t)word;
    p[1] = (uint8_t)(word >> 8);
    p[2] = (uint8_t)(word >> 16);
    p[3] = (uint8_t)(word >> 24);
}

/* ChaCha20
 *
 * Four blocks at a time: a vector has the same word of four blocks, so that all operations are those of the specification.
 * A CPU without vectors has no such code, and uses libsodium's. */

enum {
    CHACHA_BLOCK = 64,
    CHACHA_GROUP = 4 * CHACHA_BLOCK
};

#if defined(__has_builtin) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#if __has_builtin(__builtin_shufflevector) && \
    (defined(__aarch64__) || defined(__SSE2__) || (defined(__arm__) && defined(__ARM_FP) && __ARM_ARCH >= 7))
#define HAS_VECTORS 1
#endif
#endif

#ifdef HAS_VECTORS

#ifndef __SSE2__
#include <arm_neon.h>
#endif

typedef uint32_t lanes __attribute__((vector_size(16)));

#if defined(__arm__) && !defined(__ARM_NEON)
/* The compiler may not use NEON elsewhere. The caller asks the kernel whether the CPU has it. */
#define WITH_VECTORS __attribute__((target("fpu=neon")))
#else
#define WITH_VECTORS
#endif

static inline bool has_vectors(void)
{
#if defined(__arm__) && !defined(__aarch64__)
    return getauxval(AT_HWCAP) & 1U << 12; /* HWCAP_NEON, asm/hwcap.h */
#else
    return true;
#endif
}

#ifdef __SSE2__
#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define ROTATE_16(x) ROTATE(x, 16)
#else
/* Instructions that compilers do not find by themselves: a shift, and a shift with insertion; half words exchanged. */
#ifdef __aarch64__
#define ROTATE_16(x) (lanes) vrev32q_u16((uint16x8_t)(x))
#else
#define ROTATE_16(x)                                         \
    __extension__({                                          \
        lanes turned;                                        \
        __asm__("vrev32.16 %q0, %q1" : "=w"(turned) : "w"(x)); \
        turned;                                              \
    })
#endif
#define ROTATE(x, n) (lanes) vsriq_n_u32(vshlq_n_u32((uint32x4_t)(x), n), (uint32x4_t)(x), 32 - (n))
#endif
#define QUARTER_ROUND(a, b, c, d) \
    do {                          \
        a += b;                   \
        d = ROTATE_16(d ^ a);     \
        c += d;                   \
        b ^= c;                   \
        b = ROTATE(b, 12);        \
        a += b;                   \
        d ^= a;                   \
        d = ROTATE(d, 8);         \
        c += d;                   \
        b ^= c;                   \
        b = ROTATE(b, 7);         \
    } while (0)

/* Four words of four blocks: add what the rounds began with, transpose, and apply them to 16 bytes of each block. */
#define WRITE_WORDS(first, a, b, c, d)                                                              \
    do {                                                                                            \
        lanes p, q, r, s, t;                                                                        \
        a += begin[first];                                                                          \
        b += begin[first + 1];                                                                      \
        c += begin[first + 2];                                                                      \
        d += begin[first + 3];                                                                      \
        p = __builtin_shufflevector(a, b, 0, 4, 1, 5);                                              \
        q = __builtin_shufflevector(a, b, 2, 6, 3, 7);                                              \
        r = __builtin_shufflevector(c, d, 0, 4, 1, 5);                                              \
        s = __builtin_shufflevector(c, d, 2, 6, 3, 7);                                              \
        t = __builtin_shufflevector(p, r, 0, 1, 4, 5);                                              \
        APPLY(t, 0 * CHACHA_BLOCK + 4 * (first));                                                   \
        t = __builtin_shufflevector(p, r, 2, 3, 6, 7);                                              \
        APPLY(t, 1 * CHACHA_BLOCK + 4 * (first));                                                   \
        t = __builtin_shufflevector(q, s, 0, 1, 4, 5);                                              \
        APPLY(t, 2 * CHACHA_BLOCK + 4 * (first));                                                   \
        t = __builtin_shufflevector(q, s, 2, 3, 6, 7);                                              \
        APPLY(t, 3 * CHACHA_BLOCK + 4 * (first));                                                   \
    } while (0)

#define APPLY(word, at)                      \
    do {                                     \
        lanes text;                          \
        memcpy(&text, in + (at), sizeof text);  \
        text ^= (word);                      \
        memcpy(out + (at), &text, sizeof text); \
    } while (0)

/* Apply four blocks of the key stream to 256 bytes. `begin` has the 16 words of the four blocks. */
WITH_VECTORS static void chacha20_group(uint8_t *out, const uint8_t *in, const lanes begin[16])
{
    lanes x0 = begin[0], x1 = begin[1], x2 = begin[2], x3 = begin[3], x4 = begin[4], x5 = begin[5], x6 = begin[6],
          x7 = begin[7], x8 = begin[8], x9 = begin[9], x10 = begin[10], x11 = begin[11], x12 = begin[12], x13 = begin[13],
          x14 = begin[14], x15 = begin[15];
    for (int i = 0; i < 10; i++) {
        QUARTER_ROUND(x0, x4, x8, x12);
        QUARTER_ROUND(x1, x5, x9, x13);
        QUARTER_ROUND(x2, x6, x10, x14);
        QUARTER_ROUND(x3, x7, x11, x15);
        QUARTER_ROUND(x0, x5, x10, x15);
        QUARTER_ROUND(x1, x6, x11, x12);
        QUARTER_ROUND(x2, x7, x8, x13);
        QUARTER_ROUND(x3, x4, x9, x14);
    }
    WRITE_WORDS(0, x0, x1, x2, x3);
    WRITE_WORDS(4, x4, x5, x6, x7);
    WRITE_WORDS(8, x8, x9, x10, x11);
    WRITE_WORDS(12, x12, x13, x14, x15);
}

/* The signature and the result of libsodium's crypto_stream_chacha20_ietf_xor_ic. */
WITH_VECTORS static int chacha20_xor(unsigned char *out, const unsigned char *in, unsigned long long size,
                                     const unsigned char *nonce, uint32_t counter, const unsigned char *key)
{
    static const uint32_t constants[4] = {0x61707865, 0x3320646E, 0x79622D32, 0x6B206574};
    lanes begin[16];
    for (int i = 0; i < 16; i++) {
        uint32_t word = counter;
        if (i < 4)
            word = constants[i];
        else if (i != 12)
            word = i < 12 ? load_le32(key + 4 * (i - 4)) : load_le32(nonce + 4 * (i - 13));
        begin[i] = (lanes){word, word, word, word};
    }
    begin[12] += (lanes){0, 1, 2, 3};
    for (; size >= CHACHA_GROUP; size -= CHACHA_GROUP, out += CHACHA_GROUP, in += CHACHA_GROUP) {
        chacha20_group(out, in, begin);
        begin[12] += (lanes){4, 4, 4, 4};
    }
    if (size) {
        uint8_t rest[CHACHA_GROUP] = {0};
        memcpy(rest, in, (size_t)size);
        chacha20_group(rest, rest, begin);
        memcpy(out, rest, (size_t)size);
        explicit_bzero(rest, sizeof rest);
    }
    explicit_bzero(begin, sizeof begin);
    return 0;
}

#endif

/* BLAKE2s */

enum {
    BLAKE_BLOCK = 64,
    BLAKE_HASH = 32
};

struct blake2s {
    uint32_t state[8];
    uint8_t block[BLAKE_BLOCK];
    uint32_t fill;
    uint64_t count;
    uint32_t size; /* of the digest */
};

static const uint32_t BLAKE_IV[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                     0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

/* In which order each round takes the words of the block (RFC 7693, 2.7) */
static const uint8_t BLAKE_ORDER[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint32_t rotate_right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void blake2s_compress(struct blake2s *h, bool is_last)
{
    uint32_t v[16], m[16];
    for (int i = 0; i < 16; i++)
        m[i] = load_le32(h->block + 4 * i);
    for (int i = 0; i < 8; i++) {
        v[i] = h->state[i];
        v[i + 8] = BLAKE_IV[i];
    }
    v[12] ^= (uint32_t)h->count;
    v[13] ^= (uint32_t)(h->count >> 32);
    if (is_last)
        v[14] = ~v[14];
#define MIX(a, b, c, d, x, y)                   \
    do {                                        \
        v[a] += v[b] + m[order[x]];             \
        v[d] = rotate_right(v[d] ^ v[a], 16);   \
        v[c] += v[d];                           \
        v[b] = rotate_right(v[b] ^ v[c], 12);   \
        v[a] += v[b] + m[order[y]];             \
        v[d] = rotate_right(v[d] ^ v[a], 8);    \
        v[c] += v[d];                           \
        v[b] = rotate_right(v[b] ^ v[c], 7);    \
    } while (0)
    for (int round = 0; round < 10; round++) {
        const uint8_t *order = BLAKE_ORDER[round];
        MIX(0, 4, 8, 12, 0, 1);
        MIX(1, 5, 9, 13, 2, 3);
        MIX(2, 6, 10, 14, 4, 5);
        MIX(3, 7, 11, 15, 6, 7);
        MIX(0, 5, 10, 15, 8, 9);
        MIX(1, 6, 11, 12, 10, 11);
        MIX(2, 7, 8, 13, 12, 13);
        MIX(3, 4, 9, 14, 14, 15);
    }
#undef MIX
    for (int i = 0; i < 8; i++)
        h->state[i] ^= v[i] ^ v[i + 8];
    explicit_bzero(v, sizeof v);
    explicit_bzero(m, sizeof m);
}

static void blake2s_update(struct blake2s *h, const uint8_t *data, uint32_t size)
{
    while (size) {
        /* The last block is compressed differently, so a full block waits for more. */
        if (h->fill == BLAKE_BLOCK) {
            h->count += BLAKE_BLOCK;
            blake2s_compress(h, false);
            h->fill = 0;
        }
        uint32_t part = BLAKE_BLOCK - h->fill < size ? BLAKE_BLOCK - h->fill : size;
        memcpy(h->block + h->fill, data, part);
        h->fill += part;
        data += part;
        size -= part;
    }
}

/* Begin a hash of `size` bytes, 1 to 32; the key has at most 32 bytes. */
static void blake2s_begin(struct blake2s *h, uint32_t size, const uint8_t *key, uint32_t key_size)
{
    memset(h, 0, sizeof *h);
    memcpy(h->state, BLAKE_IV, sizeof h->state);
    h->state[0] ^= 0x01010000U ^ key_size << 8 ^ size;
    h->size = size;
    if (key_size) {
        memcpy(h->block, key, key_size);
        h->fill = BLAKE_BLOCK;
    }
}

/* Write the hash, and overwrite the state. */
static void blake2s_end(struct blake2s *h, uint8_t *out)
{
    uint8_t digest[BLAKE_HASH];
    h->count += h->fill;
    memset(h->block + h->fill, 0, BLAKE_BLOCK - h->fill);
    blake2s_compress(h, true);
    for (int i = 0; i < 8; i++)
        store_le32(digest + 4 * i, h->state[i]);
    memcpy(out, digest, h->size);
    explicit_bzero(digest, sizeof digest);
    explicit_bzero(h, sizeof *h);
}

/* The two states of HMAC after its key (RFC 2104), of at most 64 bytes */
struct hmac {
    struct blake2s inner, outer;
};

static void hmac_begin(struct hmac *h, const uint8_t *key, uint32_t size)
{
    uint8_t pad[BLAKE_BLOCK];
    for (uint32_t i = 0; i < BLAKE_BLOCK; i++)
        pad[i] = (i < size ? key[i] : 0) ^ 0x36;
    blake2s_begin(&h->inner, BLAKE_HASH, NULL, 0);
    blake2s_update(&h->inner, pad, BLAKE_BLOCK);
    for (uint32_t i = 0; i < BLAKE_BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5C;
    blake2s_begin(&h->outer, BLAKE_HASH, NULL, 0);
    blake2s_update(&h->outer, pad, BLAKE_BLOCK);
    explicit_bzero(pad, sizeof pad);
}

/* Write the HMAC of two pieces of data. `h` stays as it is, for other data with the same key. */
static void hmac_of(const struct hmac *h, const uint8_t *first, uint32_t first_size, const uint8_t *second,
                    uint32_t second_size, uint8_t *out)
{
    struct blake2s state = h->inner;
    blake2s_update(&state, first, first_size);
    blake2s_update(&state, second, second_size);
    blake2s_end(&state, out);
    state = h->outer;
    blake2s_update(&state, out, BLAKE_HASH);
    blake2s_end(&state, out);
}

/* HKDF with HMAC-BLAKE2s: 32, 64 or 96 bytes (WireGuard paper, 5.4: KDF_n) */
static void hkdf(uint8_t *out, uint32_t out_size, const uint8_t *key, uint32_t key_size, const uint8_t *data, uint32_t size)
{
    struct hmac h;
    uint8_t secret[BLAKE_HASH];
    hmac_begin(&h, key, key_size);
    hmac_of(&h, data, size, NULL, 0, secret);
    hmac_begin(&h, secret, BLAKE_HASH);
    for (uint8_t i = 0; i < out_size / BLAKE_HASH; i++) {
        uint8_t number = (uint8_t)(i + 1);
        const uint8_t *before = i ? out + BLAKE_HASH * (i - 1) : NULL;
        hmac_of(&h, before, i ? BLAKE_HASH : 0, &number, 1, out + BLAKE_HASH * i);
    }
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(&h, sizeof h);
}

#endif
