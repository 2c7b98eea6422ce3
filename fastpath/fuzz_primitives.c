/* For all data, keys and cuts: ChaCha20 is the same in pieces and undoes itself, BLAKE2s is the same in pieces, and each
 * output of HKDF begins with the shorter ones.
 *
 * Input: 32 bytes of a key, 12 of a nonce, 4 of a counter, 1 for the size of a hash, 1 for that of its key, 2 for a cut;
 * then the data. */

#include "fuzz.h"

enum { MOST = 4096 };

static void check_chacha20(const uint8_t *data, uint32_t size, uint32_t cut, const uint8_t *nonce, uint32_t counter,
                           const uint8_t *key)
{
    uint8_t *whole = memory(size), *pieces = memory(size);
    /* A cut between blocks, so that the second piece begins with a counter of its own */
    cut = cut % (size + 1) / CHACHA_BLOCK * CHACHA_BLOCK;
    if (wgembed_chacha20(whole, data, size, nonce, counter, key) == 0) {
        CHECK(wgembed_chacha20(pieces, data, cut, nonce, counter, key) == 0);
        CHECK(wgembed_chacha20(pieces + cut, data + cut, size - cut, nonce, counter + cut / CHACHA_BLOCK, key) == 0);
        CHECK(memcmp(whole, pieces, size) == 0);
        CHECK(wgembed_chacha20(whole, whole, size, nonce, counter, key) == 0);
        CHECK(memcmp(whole, data, size) == 0);
    }
    free(whole);
    free(pieces);
}

static void check_blake2s(const uint8_t *data, uint32_t size, uint32_t cut, uint32_t out_size, const uint8_t *key,
                          uint32_t key_size)
{
    uint8_t *whole = memory(BLAKE_HASH), *pieces = memory(BLAKE_HASH);
    struct blake2s h;
    bool is_size = out_size >= 1 && out_size <= BLAKE_HASH && key_size <= BLAKE_HASH;
    CHECK((wgembed_blake2s(whole, out_size, key, key_size, data, size) == 0) == is_size);
    if (is_size) {
        cut %= size + 1;
        blake2s_begin(&h, out_size, key, key_size);
        blake2s_update(&h, data, cut);
        blake2s_update(&h, data + cut, size - cut);
        blake2s_end(&h, pieces);
        CHECK(memcmp(whole, pieces, out_size) == 0);
    }
    free(whole);
    free(pieces);
}

static void check_hkdf(const uint8_t *data, uint32_t size, const uint8_t *key, uint32_t key_size)
{
    uint8_t *longest = memory(3 * BLAKE_HASH), *shorter = memory(3 * BLAKE_HASH);
    CHECK(wgembed_hkdf(longest, 3 * BLAKE_HASH, key, key_size, data, size) == 0);
    for (uint32_t out_size = 0; out_size < 3 * BLAKE_HASH; out_size += 16) {
        bool is_size = out_size && out_size % BLAKE_HASH == 0;
        CHECK((wgembed_hkdf(shorter, out_size, key, key_size, data, size) == 0) == is_size);
        CHECK(!is_size || memcmp(longest, shorter, out_size) == 0);
    }
    free(longest);
    free(shorter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t *key = memory(32), *nonce = memory(12), *rest;
    take_bytes(&in, key, 32);
    take_bytes(&in, nonce, 12);
    uint32_t counter = take_number(&in, 4), out_size = take_number(&in, 1) % 40, key_size = take_number(&in, 1) % 33;
    uint32_t cut = take_number(&in, 2), count = in.size < MOST ? (uint32_t)in.size : MOST;
    rest = memory(count);
    take_bytes(&in, rest, count);
    check_chacha20(rest, count, cut, nonce, counter, key);
    check_blake2s(rest, count, cut, out_size, key, key_size);
    check_hkdf(rest, count, key, key_size);
    free(key);
    free(nonce);
    free(rest);
    return 0;
}

static inline size_t fuzz_sample(uint8_t *data, struct numbers *n)
{
    size_t size = 32 + 12 + 4 + 1 + 1 + 2 + number_below(n, 1500);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)number_below(n, 256);
    return size;
}
